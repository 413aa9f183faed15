#!/usr/bin/env python3
"""Write the generated files of deploy/observability/ and the parts of the docs that follow from the same tables.

usage: scripts/observability_files.py [--check]

--check: write nothing; exit 1 when a file differs or is not generated any more. Needs the project's environment.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deploy.observability.source import alert_docs, rule_tests, rules  # noqa: E402
from deploy.observability.source.dashboards import files as dashboards  # noqa: E402
from deploy.observability.source.dashboards.picture import svg  # noqa: E402

DEPLOY = Path("deploy") / "observability"
PICTURES = Path("docs") / "dashboards"

Files = Mapping[Path, str]
"""Path below the root of the repository, and content."""


def prometheus_rules() -> Files:
    return {DEPLOY / "prometheus" / "rules" / "opslab.yml": rules.rule_file()}


def prometheus_rule_tests() -> Files:
    folder = DEPLOY / "prometheus" / "tests"
    return {folder / f"{name}.yml": text for name, text in rule_tests.test_files().items()}


def table_of_alerts() -> Files:
    page = Path("docs") / "observability.md"
    return {page: alert_docs.with_table((ROOT / page).read_text(encoding="utf-8"))}


def grafana_dashboards() -> Files:
    """With a picture of the layout of each."""
    texts = dashboards.json_files()
    folder = DEPLOY / "grafana" / "dashboards"
    pictures = {PICTURES / f"{name.removesuffix('.json')}.svg": svg(text) for name, text in texts.items()}
    return {folder / name: text for name, text in texts.items()} | pictures


GENERATORS: tuple[Callable[[], Files], ...] = (
    prometheus_rules,
    prometheus_rule_tests,
    table_of_alerts,
    grafana_dashboards,
)
GENERATED_FOLDERS = (
    DEPLOY / "prometheus" / "rules",
    DEPLOY / "prometheus" / "tests",
    DEPLOY / "grafana" / "dashboards",
    PICTURES,
)
"""Folders without any other file."""


def main() -> int:
    check = "--check" in sys.argv
    files = {path: text for generate in GENERATORS for path, text in generate().items()}
    old = {path.relative_to(ROOT) for folder in GENERATED_FOLDERS for path in (ROOT / folder).rglob("*.*")} - set(files)
    differing = {path: text for path, text in files.items() if _content(ROOT / path) != text}
    for path, text in sorted(differing.items()):
        if not check:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path} {'differs' if check else 'written'}\n")
    for path in sorted(old):
        if not check:
            (ROOT / path).unlink()
        sys.stdout.write(f"{path} {'is not generated' if check else 'removed'}\n")
    return int(check and bool(differing or old))


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
