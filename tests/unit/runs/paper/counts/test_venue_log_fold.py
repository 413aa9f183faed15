"""Faults and margin calls of a dead run: the venue's log adds what the journal does not have."""

import json
from pathlib import Path
from typing import Any

from opslab.model.journal.fault_events import FaultEnded, FaultStarted
from opslab.model.journal.venue_events import MarginCall
from opslab.runs.paper.counts.venue_log_fold import FaultFold, MarginCallFold, add_logged_events
from opslab.store.venues.venue_files import VENUE_LOG_NAME


def at(second: int) -> str:
    return f"2026-11-21T10:00:{second:02}.000000Z"


def entry(second: int, event: str, number: int, **fields: Any) -> str:
    return json.dumps({"time": at(second), "monotonic_s": 1.0, "event": event, "number": number, **fields})


def test_starts_and_ends_after_the_journal_are_added_and_known_ones_are_not_counted_again(tmp_path: Path) -> None:
    fold = FaultFold()
    for number in (1, 2):
        fold.started(FaultStarted(fault="delay", number=number, terms={"ms": 5}, venue_start=2), at(11))
    fold.ended(FaultEnded(fault="delay", number=1, reason="failed_to_start", venue_start=2), at(12))
    log = tmp_path / VENUE_LOG_NAME
    log.parent.mkdir()
    lines = [
        entry(5, "fault_started", 1, fault="reset", terms={}),  # of the venue's first start
        entry(11, "fault_started", 1, fault="delay", terms={"ms": 5}),
        entry(11, "fault_started", 2, fault="delay", terms={"ms": 5}),
        entry(12, "fault_ended", 1, fault="delay", reason="failed_to_start"),
        entry(20, "control_lost", 0),
        entry(21, "fault_started", 3, fault="drop", terms={}),
        entry(30, "fault_ended", 2, fault="delay", reason="venue_closing"),
        '{"time": "torn',
    ]
    log.write_text("\n".join(lines))
    add_logged_events(tmp_path, fold, MarginCallFold(), 2, at(10))
    assert fold.count == 2
    assert [(one.name, one.started_at, one.ended_at, one.ended_by) for one in fold.facts()] == [
        ("delay", at(11), at(30), "venue_closing"),
        ("drop", at(21), None, None),
    ]


CALL = {
    "position": "0.005",
    "mark_price": "42000.00000000",
    "wallet_balance": "100.00000000",
    "unrealized_profit": "-1.00000000",
    "maintenance_margin": "0.84000000",
}


def test_a_margin_call_after_the_journal_is_added_and_a_known_one_is_not_counted_again(tmp_path: Path) -> None:
    calls = MarginCallFold()
    calls.add(MarginCall(number=1, venue_start=1, **CALL), at(4))
    calls.add(MarginCall(number=1, venue_start=2, **CALL), at(11))
    log = tmp_path / VENUE_LOG_NAME
    log.parent.mkdir()
    lines = [entry(second, "margin_call", number, **CALL) for second, number in ((4, 1), (11, 1), (12, 2))]
    log.write_text("\n".join(lines))
    add_logged_events(tmp_path, FaultFold(), calls, 2, at(10))
    assert (calls.count, calls.first) == (3, at(4))


def test_without_a_log_nothing_is_added(tmp_path: Path) -> None:
    fold, calls = FaultFold(), MarginCallFold()
    add_logged_events(tmp_path, fold, calls, 1, at(10))
    assert (fold.count, calls.count, calls.first) == (0, 0, None)
