"""Generated files of the stack: they are fresh; each alert has cases, a runbook, and selects what the exporter has."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
from deploy.observability.source.alerts import ALERTS, Alert
from deploy.observability.source.rule_cases import CASES

from opslab.drills.metrics import STATES
from opslab.lab.metrics.families import FAMILIES
from opslab.model.checks.connectivity import ProbeState
from opslab.model.messages.paper_messages import FeedState
from opslab.model.run.live_status import Phase
from opslab.model.run.metadata import Status
from opslab.reconciliation.result import State
from tests.drivers.promql import names_of

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "observability_files.py"
ALWAYS_FIRES = "Watchdog"
RUNBOOKS = ROOT / "docs" / "runbooks"
PAGES = sorted(RUNBOOKS.glob("*.md"))
HEADINGS = ["Symptom", "Meaning", "Impact", "Diagnosis", "Mitigation", "Verification", "Do not", "Drill"]
KNOWN = {family.name: set(family.labels) for family in FAMILIES}
TARGET = {"job", "instance"}
"""Labels that Prometheus adds."""
EVERYWHERE = {"up"}
"""A series that Prometheus makes of each target."""


def words(alias: Any) -> set[str]:
    return set(get_args(getattr(alias, "__value__", alias)))


VALUES = {
    "opslab_run_state": words(Status),
    "opslab_feed_state": words(FeedState),
    "opslab_run_phase": words(Phase),
    "opslab_reconciliation_state": words(State),
    "opslab_probe_state": words(ProbeState),
    "opslab_kill_switch_state": {"absent", "active", "cleared"},
    "opslab_halt_seconds": {"gate", "no_orders", "flat"},
    "opslab_halt_escalation": {"none", "sigterm", "sigkill"},
    "opslab_drill_state": set(STATES),
    "opslab_run_acknowledged": set(),
}
"""Values of the label that is no id."""


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


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_the_runbook_of_an_alert_exists_and_names_it(alert: Alert) -> None:
    page = (RUNBOOKS / f"{alert.page}.md").read_text(encoding="utf-8")
    assert f"The alert `{alert.name}`" in page


@pytest.mark.parametrize("page", [path for path in PAGES if path.stem != "index"], ids=lambda path: path.stem)
def test_a_runbook_has_its_headings_in_their_order(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == HEADINGS


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_expression_selects_what_the_exporter_has(alert: Alert) -> None:
    names = names_of(alert.expression)
    for selector in names.selectors:
        if selector.name in EVERYWHERE:
            continue
        labels = KNOWN[selector.name]
        assert {label for label, _, _ in selector.matchers} <= labels | TARGET
    selected = {label for selector in names.selectors for label in KNOWN.get(selector.name, set())}
    assert names.labels <= selected | TARGET


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_value_that_an_expression_selects_is_one_that_the_exporter_has(alert: Alert) -> None:
    for selector in names_of(alert.expression).selectors:
        for label, _, value in selector.matchers:
            if selector.name in VALUES:
                assert set(value.split("|")) <= VALUES[selector.name], (selector.name, label)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_text_names_labels_that_the_alert_has(alert: Alert) -> None:
    firing = [set(labels) for case in CASES[alert.name] for one in case.expected for labels in one.firing]
    for text in (alert.summary, alert.description):
        always = re.sub(r"\{\{ if .*?\}\}.*?\{\{ end \}\}", "", text)
        assert all(set(re.findall(r"\$labels\.(\w+)", always)) <= labels for labels in firing)


@pytest.mark.parametrize("name", CASES)
def test_a_case_has_series_of_the_exporter(name: str) -> None:
    for case in CASES[name]:
        for text in case.series:
            (selector,) = names_of(text).selectors
            labels = {label for label, _, _ in selector.matchers}
            assert selector.name in KNOWN.keys() | EVERYWHERE
            assert labels == KNOWN.get(selector.name, set()) | TARGET
