"""The alerting rules under the engines that evaluate them: Prometheus and, where it is installed, VictoriaMetrics."""

import shutil
import subprocess
from pathlib import Path

import pytest
from deploy.observability.source.alerts import ALERTS

from tests.drivers.tools import need_tools

FOLDER = Path(__file__).parents[2] / "deploy" / "observability" / "prometheus"
RULES = FOLDER / "rules" / "opslab.yml"
NAMES = [alert.name for alert in ALERTS]


def test_promtool_accepts_the_rules() -> None:
    need_tools("promtool")
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


def test_promtool_accepts_the_configuration() -> None:
    need_tools("promtool")
    config = FOLDER / "prometheus.yml"
    done = subprocess.run(["promtool", "check", "config", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_amtool_accepts_the_configuration_and_routes_the_alerts() -> None:
    """The watchdog has a receiver of its own."""
    need_tools("amtool")
    config = FOLDER.parent / "alertmanager" / "alertmanager.yml"
    checked = subprocess.run(["amtool", "check-config", config], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for alert in ALERTS:
        words = ["amtool", "config", "routes", "test", f"--config.file={config}"]
        labels = [f"alertname={alert.name}", f"severity={alert.severity}"]
        routed = subprocess.run([*words, *labels], capture_output=True, text=True, check=True)
        assert routed.stdout.strip() == ("watchdog" if alert.name == "Watchdog" else "operator")


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_fires_and_does_not_fire(name: str) -> None:
    need_tools("promtool")
    test_file = FOLDER / "tests" / f"{name}.yml"
    done = subprocess.run(["promtool", "test", "rules", test_file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_case_that_does_not_hold_is_found(tmp_path: Path) -> None:
    """promtool reports an alert that fires without being expected."""
    need_tools("promtool")
    text = (FOLDER / "tests" / "Watchdog.yml").read_text(encoding="utf-8").replace("../rules/opslab.yml", str(RULES))
    silent = text.partition("    exp_alerts:")[0] + "    exp_alerts: []\n"
    (tmp_path / "silent.yml").write_text(silent, encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "silent.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Watchdog" in done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_fires_and_does_not_fire_in_victoria_metrics(name: str) -> None:
    """A second implementation of the language, with the same files. Debian 12 does not have it."""
    if shutil.which("vmalert-tool") is None:
        pytest.skip("vmalert-tool is missing (Debian package victoria-metrics, from Debian 13 on)")
    done = subprocess.run(
        ["vmalert-tool", "unittest", "--disableAlertgroupLabel", "--files", FOLDER / "tests" / f"{name}.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
