"""docs/failure-modes.md: each name in its table exists; each drill, alert, warning and failure event is in it."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from deploy.observability.source.alerts import ALERTS

from opslab.drills.registry import DRILLS
from opslab.lab.metrics.families import FAMILIES
from opslab.model.journal.registry import EVENTS
from opslab.model.run.metadata import Status
from opslab.model.run.warning import WarningCode

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "failure-modes.md"
NONE = "none"
FAILURES = {
    "run_safety_blocked",
    "paper_safety_blocked",
    "run_failed",
    "run_halted",
    "run_interrupted",
    "connectivity_readiness_evaluated",
    "connectivity_probe_evaluated",
    "reconciliation_checked",
    "failure_drill_executed",
    "subscription_unserved",
    "feed_state_changed",
    "socket_state_changed",
    "bar_out_of_order",
    "gate_closed",
    "forced_close",
    "venue_lost",
    "ledger_write_failed",
    "margin_call",
    "engine_lost",
    "engine_restarted",
    "kill_switch_observed",
    "trading_halted",
    "orders_canceled",
    "positions_flattened",
    "fault_started",
    "order_event",
    "order_gated",
    "journal_torn_end_kept",
}
"""Events that report a failure, some depending on their payload: a state, a type, `flat`."""
ORDINARY = {
    "run_initialized",
    "run_started",
    "paper_safety_checked",
    "run_completed",
    "run_acknowledged",
    "engine_started",
    "scenario_registered",
    "scenario_action_triggered",
    "data_verified",
    "venue_started",
    "engine_ended",
    "paper_heartbeat",
    "run_stopping",
    "fault_ended",
}
"""Events of every healthy run, and of the end of a failure."""


class Row(NamedTuple):
    failure: str
    trigger: str
    journal: str
    metric: str
    alert: str
    end: str
    action: str
    drill: str


def rows() -> list[Row]:
    table = PAGE.read_text(encoding="utf-8").partition("\n## Table\n")[2].strip().splitlines()
    assert table[0].strip("| ").split(" | ") == list(Row._fields)
    return [Row(*(cell.strip() for cell in line[1:-1].split("|"))) for line in table[2:]]


ROWS = rows()


def words_of(alias: Any) -> set[str]:
    return set(get_args(getattr(alias, "__value__", alias)))


def names(cells: Iterable[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`([\w-]+)`", cell)}


def events(cell: str) -> set[str]:
    """Names in the part before the warnings, without fields of an event's payload."""
    return names([re.sub(r"with `[^`]*`|by `[^`]*`", "", cell.partition("warning ")[0])])


def test_an_event_is_of_a_failure_or_ordinary() -> None:
    """A new event has to be classified, and gets a row if it reports a failure."""
    assert set(EVENTS) == FAILURES | ORDINARY
    assert not FAILURES & ORDINARY


def test_the_table_has_the_events_of_failures_and_no_other() -> None:
    assert set().union(*(events(row.journal) for row in ROWS)) == FAILURES


def test_the_table_has_every_warning_and_no_other() -> None:
    assert names(row.journal.partition("warning ")[2] for row in ROWS) == words_of(WarningCode)


def test_the_table_has_every_alert_and_no_other() -> None:
    assert names(row.alert for row in ROWS) == {alert.name for alert in ALERTS}


def test_the_table_has_every_drill_and_no_other() -> None:
    assert names(row.drill for row in ROWS) == set(DRILLS)


def test_every_metric_exists() -> None:
    assert names(row.metric for row in ROWS) <= {family.name for family in FAMILIES}


def test_the_table_has_every_exit_code_and_no_other() -> None:
    codes = set(re.findall(r"^\| (\d+) \|", (DOCS / "exit-codes.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert {code for row in ROWS for code in re.findall(r"\b\d+\b", row.end)} == codes - {"0"}


def test_every_status_exists() -> None:
    ends = [re.sub(r"`(--strict|mismatch)`", "", row.end) for row in ROWS]
    assert names(ends) <= words_of(Status)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.failure)
def test_a_row_is_complete(row: Row) -> None:
    """A cell is never empty; only a bug in `tc` has no trigger."""
    assert all(row._replace(trigger=row.trigger or "unknown"))
    assert "](" in row.action or "70" in row.end
    assert row.drill == NONE or names([row.drill])


def test_a_failure_has_one_row() -> None:
    failures = [row.failure for row in ROWS]
    assert len(failures) == len(set(failures))


def test_a_drill_links_to_its_runbook() -> None:
    """As in the table of docs/drills.md."""
    page = (DOCS / "drills.md").read_text(encoding="utf-8")
    of_drill = dict(re.findall(r"^\| `([\w-]+)` \|.*\]\((runbooks/[\w-]+\.md)\) \|$", page, re.MULTILINE))
    assert set(of_drill) == set(DRILLS)
    for name, runbook in of_drill.items():
        assert any(runbook in row.action for row in ROWS if name in names([row.drill])), name
