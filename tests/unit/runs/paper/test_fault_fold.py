"""Faults of a dead run: the venue's log adds what the journal does not have."""

import json
from pathlib import Path
from typing import Any

from opslab.model.journal.fault_events import FaultEnded, FaultStarted
from opslab.runs.paper.fault_fold import FaultFold, add_logged_faults
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
    add_logged_faults(tmp_path, fold, 2, at(10))
    assert fold.count == 2
    assert [(one.name, one.started_at, one.ended_at, one.ended_by) for one in fold.facts()] == [
        ("delay", at(11), at(30), "venue_closing"),
        ("drop", at(21), None, None),
    ]


def test_without_a_log_nothing_is_added(tmp_path: Path) -> None:
    fold = FaultFold()
    add_logged_faults(tmp_path, fold, 1, at(10))
    assert fold.count == 0
