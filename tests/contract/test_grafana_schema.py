"""The committed dashboards have the types of Grafana 13: `@grafana/schema`, by its own compiler.

`tests/grafana_schema/` has the types, the versions and their digests. Without Node.js, or without the registry from
which it installs them, these tests are skipped; nothing else needs either.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.drivers.grafana import DASHBOARDS, Json, load, panels

SOURCE = Path(__file__).parents[1] / "grafana_schema"
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
COMPILE = ("node", "node_modules/typescript/bin/tsc", "--project", ".")
LIMIT_SECONDS = 200.0


def _run(words: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)


def _first(dashboard: Json, kind: str) -> Json:
    panel: Json = next(panel for panel in panels(dashboard) if panel["type"] == kind)
    return panel


WRONG: dict[str, tuple[Callable[[Json], object], str]] = {
    "option": (lambda content: _first(content, "table")["options"].update(footer={}), "'\"footer\"' does not exist"),
    "value": (lambda content: _first(content, "stat")["options"].update(colorMode="loud"), "'\"loud\"'"),
    "missing": (lambda content: _first(content, "timeseries")["options"].pop("legend"), "'legend' is missing"),
    "place": (lambda content: _first(content, "text").update(gridPos={"x": "0", "y": 0, "w": 1, "h": 1}), "'string'"),
    "top": (lambda content: content.update(schemaVersion="42"), "'string'"),
}
"""Change of a dashboard, and what the compiler reports."""


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the compiler reports of the committed dashboards, and of the wrong ones."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: the types of the dashboards are not checked")
    folder = tmp_path_factory.mktemp("grafana-schema")
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    installed = _run(INSTALL, folder)
    if installed.returncode:
        pytest.skip(f"npm cannot install the types of Grafana: {installed.stderr.strip().splitlines()[-1:]}")
    for path in DASHBOARDS:
        _write(folder, path.stem, load(path))
    for name, (change, _) in WRONG.items():
        content = load(DASHBOARDS[0])
        change(content)
        _write(folder, name, content)
    compiled = _run(COMPILE, folder)
    assert compiled.returncode, "the wrong dashboards are not reported"
    return [line for line in compiled.stdout.splitlines() if not line.startswith(" ")]


def _write(folder: Path, name: str, content: Json) -> None:
    (folder / f"{name}.ts").write_text(
        'import type { ProvisionedDashboard } from "./types.js";\n'
        f"export const dashboard: ProvisionedDashboard = {json.dumps(content, indent=2)};\n"
    )


def test_the_dashboards_have_the_types_of_grafana(errors: list[str]) -> None:
    wrong = tuple(f"{name}.ts(" for name in WRONG)
    assert not [error for error in errors if not error.startswith(wrong)]


@pytest.mark.parametrize("name", WRONG)
def test_a_dashboard_with_other_types_is_reported(errors: list[str], name: str) -> None:
    assert any(error.startswith(f"{name}.ts(") and WRONG[name][1] in error for error in errors), errors
