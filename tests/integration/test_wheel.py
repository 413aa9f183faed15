"""The built wheel does the job by itself, in an empty environment outside the repository."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from opslab.settings import child_environment

ROOT = Path(__file__).parents[2]


def uv() -> str:
    """The uv that made this environment: the project's private one, or the one on the path."""
    private = ROOT / ".tools" / "uv" / "bin" / "uv"
    found = str(private) if private.exists() else shutil.which("uv")
    assert found, "scripts/bootstrap.sh installs uv"
    return found


@pytest.fixture(scope="module")
def wheel_tc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tc` from the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    packages = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "PYTHON"))}

    def call(*words: str) -> None:
        done = subprocess.run([uv(), *words], cwd=folder, env=packages, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    python = os.path.realpath(ROOT / ".venv" / "bin" / "python")
    call("build", "--quiet", "--system-certs", "--wheel", "--python", python, "--out-dir", str(folder), str(ROOT))
    call("venv", "--quiet", "--python", python, str(folder / "venv"))
    (wheel,) = folder.glob("*.whl")
    target = str(folder / "venv" / "bin" / "python")
    call("pip", "install", "--quiet", "--system-certs", "--prerelease", "allow", "--python", target, str(wheel))
    return folder / "venv" / "bin" / "tc"


def test_the_wheel_prepares_runs_and_reports(wheel_tc: Path, tmp_path: Path) -> None:
    def call(*words: str) -> str:
        done = subprocess.run(
            [str(wheel_tc), *words], cwd=tmp_path, env=child_environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    spec = tmp_path / "spec.yaml"
    shutil.copy(ROOT / "examples" / "order-lifecycle.yaml", spec)
    call("data", "prepare", "--dataset", "btcusdt-sample")
    run = json.loads(call("run", "backtest", "--spec", str(spec), "--run-id", "r1", "--json"))
    assert run["status"] == "completed"
    assert "r1" in call("run", "list")
    assert (tmp_path / "artifacts/runs/r1/report.md").read_text().startswith("# Run r1")
