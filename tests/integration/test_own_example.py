"""The example of an own strategy: its own test passes, from a copy of its folder and nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-strategy"


def test_the_examples_own_test_passes_in_a_copy_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "own-strategy"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith(("TC_", "PYTEST"))},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
