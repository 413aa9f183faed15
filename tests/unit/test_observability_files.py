"""Generated files of the stack: they are fresh, and each alert has its cases."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from deploy.observability.source.alerts import ALERTS, Alert
from deploy.observability.source.rule_cases import CASES

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "observability_files.py"
ALWAYS_FIRES = "Watchdog"


def test_the_generated_files_are_fresh() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}: run scripts/observability_files.py"


def test_alerts_have_different_names() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_has_cases_in_which_it_fires_and_cases_in_which_it_does_not(alert: Alert) -> None:
    expected = [[one.firing for one in case.expected] for case in CASES[alert.name]]
    assert any(any(times) for times in expected)
    assert any(not any(times) for times in expected) or alert.name == ALWAYS_FIRES


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_with_times_has_cases_before_and_after_them(alert: Alert) -> None:
    """After `for`: nothing, then an alert. After `keep_firing_for`: an alert, then nothing."""
    orders = [[bool(one.firing) for one in case.expected] for case in CASES[alert.name]]
    pairs = {pair for order in orders for pair in pairwise(order)}
    assert not alert.for_seconds or (False, True) in pairs
    assert not alert.keep_firing_seconds or (True, False) in pairs
