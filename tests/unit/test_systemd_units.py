"""The user units of the nightly drills."""

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from opslab.cli.app import app

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(FOLDER.iterdir())


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((FOLDER / name).read_text(encoding="utf-8"))
    return parser


def test_the_timer_starts_the_service_of_its_name() -> None:
    assert [path.name for path in UNITS] == ["opslab-drills.service", "opslab-drills.timer"]
    timer = unit("opslab-drills.timer")
    assert "Unit" not in timer["Timer"]  # systemd then takes the service of the same name
    assert timer["Timer"]["Persistent"] == "true"
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_the_service_runs_a_command_that_tc_has() -> None:
    service = unit("opslab-drills.service")["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert (program, words) == ("/usr/bin/env", ["tc", "drill", "run", "--all"])
    group = typer.main.get_command(app).commands["drill"]  # type: ignore[attr-defined]
    assert "--all" in {name for param in group.commands["run"].params for name in param.opts}


def test_the_service_is_ended_by_a_signal_to_tc_alone() -> None:
    service = unit("opslab-drills.service")["Service"]
    assert service["Type"] == "oneshot"
    assert service["KillMode"] == "mixed"


def test_the_file_of_variables_may_be_missing() -> None:
    assert unit("opslab-drills.service")["Service"]["EnvironmentFile"].startswith("-%E/opslab/")


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing (Debian package systemd)")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    words = ["systemd-analyze", "verify", "--user", "--man=no", *map(str, UNITS)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    calendar = unit("opslab-drills.timer")["Timer"]["OnCalendar"]
    words = ["systemd-analyze", "calendar", calendar]
    assert subprocess.run(words, capture_output=True, check=False, env=environment, timeout=60).returncode == 0
