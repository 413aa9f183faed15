"""A run's state is a fold over its journal, and a dead owner is never shown as running."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opslab.errors import Corrupt
from opslab.model.journal.journal_event import RecordedEvent
from opslab.model.journal.run_events import RUN_EVENTS
from opslab.model.pipe.messages import EngineResult
from opslab.model.run.event import Event
from opslab.model.run.metadata import Acknowledgement, EngineCost, Failure, Owner
from opslab.runs.backtest.closing_event import EngineReport, failure_of
from opslab.runs.record.journal_events import decoded
from opslab.runs.record.state import as_seen, project
from tests.fakes.run_payloads import INTENT, OWNER


def events(*told: tuple[str, dict[str, Any]]) -> Iterator[RecordedEvent]:
    lines = [
        Event(seq=seq, time=f"2026-01-01T00:00:0{seq}.000000Z", event=name, payload=payload, prev=None)
        for seq, (name, payload) in enumerate(told, 1)
    ]
    return decoded(Path("r1"), lines, RUN_EVENTS)


class Table:
    """A process table in which one owner lives, or nobody."""

    def __init__(self, alive: Owner | None) -> None:
        self._alive = alive

    def this_process(self) -> Owner:
        raise NotImplementedError

    def is_alive(self, owner: Owner, run_id: str) -> bool:
        return owner == self._alive


STARTED: list[tuple[str, dict[str, Any]]] = [("run_initialized", INTENT), ("run_started", {"owner": OWNER})]


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (("run_completed", {"result_digest": "sha256:1"}), "completed"),
        (("run_failed", {"failure": {"kind": "engine", "message": "x"}}), "failed"),
        (("run_interrupted", {"ended_by": "SIGINT"}), "interrupted"),
    ],
)
def test_the_last_lifecycle_event_decides(last: tuple[str, dict[str, Any]], status: str) -> None:
    run = project(events(*STARTED, ("order_event", {"type": "OrderFilled"}), last))
    assert run is not None
    assert (run.status, run.ended_at) == (status, "2026-01-01T00:00:04.000000Z")


def test_before_its_first_event_there_is_no_run_and_another_beginning_is_corrupt() -> None:
    assert project([]) is None
    with pytest.raises(Corrupt):
        project(events(("run_started", {"owner": OWNER})))


def test_running_is_said_only_while_that_very_owner_lives() -> None:
    run = project(events(*STARTED))
    assert run is not None
    owner = Owner.model_validate(OWNER)
    assert as_seen(run, Table(owner)).status == "running"
    for other in ({"pid": 8}, {"process_start": 10}, {"boot_id": "c"}):
        seen = as_seen(run, Table(owner.model_copy(update=other)))
        assert (seen.status, seen.ended_by) == ("interrupted", "owner_gone")
    assert as_seen(run, Table(None)).status == "interrupted"


ENDED: list[tuple[str, dict[str, Any]]] = [*STARTED, ("run_failed", {"failure": {"kind": "engine", "message": "x"}})]
ACKNOWLEDGED = ("run_acknowledged", {"reason": "disk was full", "actor": "op"})


def reconciled(state: str) -> tuple[str, dict[str, Any]]:
    return ("reconciliation_checked", {"state": state, "artifact": None, "digest": None})


def test_the_last_acknowledgement_is_in_the_metadata_and_the_end_stays() -> None:
    assert (run := project(events(*ENDED))) is not None
    assert run.acknowledged is None
    assert (after := project(events(*ENDED, ACKNOWLEDGED))) is not None
    expected = Acknowledgement(at="2026-01-01T00:00:04.000000Z", actor="op", reason="disk was full")
    assert after == run.with_changes(acknowledged=expected)
    twice = project(events(*ENDED, ACKNOWLEDGED, ("run_acknowledged", {"reason": "again", "actor": "b"})))
    assert twice is not None
    assert twice.acknowledged == Acknowledgement(at="2026-01-01T00:00:05.000000Z", actor="b", reason="again")


@pytest.mark.parametrize("state", ["ok", "warning", "unknown", "mismatch"])
def test_a_later_mismatch_alone_takes_the_acknowledgement_back(state: str) -> None:
    run = project(events(*ENDED, ACKNOWLEDGED, reconciled(state)))
    assert run is not None
    assert (run.acknowledged is None) == (state == "mismatch")
    before = project(events(*ENDED, reconciled(state), ACKNOWLEDGED))
    assert before is not None
    assert before.acknowledged is not None
    probed = project(events(*ENDED, ACKNOWLEDGED, ("connectivity_probe_evaluated", {"state": "probe_timeout"})))
    assert probed is not None
    assert probed.acknowledged is not None


def report(bars: int) -> EngineReport:
    cost = EngineCost(elapsed_seconds=1.0, bars_per_second=1.0, peak_memory_bytes=1)
    return EngineReport(
        result=EngineResult(bars=bars, actions=0, gated={}, cost=cost, dropped=0), saw_all_data=bars == 10
    )


def test_a_run_that_missed_bars_or_died_did_not_complete() -> None:
    death = Failure(kind="engine", message="dead")
    assert failure_of(report(10), None, 10, None) is None
    assert failure_of(report(9), None, 10, None) is not None
    assert failure_of(report(9), None, None, None) is not None, "of a strategy that need not see every bar"
    assert failure_of(report(9), None, None, "SIGINT") is None
    assert failure_of(EngineReport(), None, 10, None) is not None
    assert failure_of(EngineReport(), death, 10, None) == death
    assert failure_of(EngineReport(), death, 10, "SIGINT") is None
