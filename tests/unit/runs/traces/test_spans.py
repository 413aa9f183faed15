"""The spans of a run follow from its journal."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.model.journal import check_events as checks
from opslab.model.journal import engine_events as engine
from opslab.model.journal import run_events as run
from opslab.model.journal.fault_events import FaultEnded, FaultStarted
from opslab.model.journal.journal_event import JournalEvent, RecordedEvent
from opslab.model.journal.venue_events import VenueStarted
from opslab.model.primitives.instant import NS_PER_SECOND, iso, parse_iso
from opslab.model.run.metadata import Failure, Trace
from opslab.runs.traces import spans as module
from opslab.runs.traces.spans import RunSpans, Span, spans_of
from tests.fakes.journal_events import ACCOUNT, EXAMPLES, FAILURE, HALT, OWNER, PAPER, RESULTS, SAFETY

TRACE = Trace(trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331")
BEGIN_NS = parse_iso("2026-01-01T00:00:00.000000Z")
INITIALIZED = EXAMPLES[run.RunInitialized]
STARTED = run.RunStarted(owner=OWNER, trace=TRACE)
VERIFIED = EXAMPLES[engine.DataVerified]
VENUE = EXAMPLES[VenueStarted]
COMPLETED = run.RunCompleted(**RESULTS)
PAPER_INTENT = INITIALIZED.model_copy(update={"mode": "paper"})


def at(second: float) -> str:
    return iso(BEGIN_NS + round(second * NS_PER_SECOND))


def journal(*events: JournalEvent) -> Iterator[RecordedEvent]:
    """One event a second; the first is of second 0."""
    for number, event in enumerate(events):
        yield RecordedEvent(number + 1, at(number), event.EVENT, event)


def spans(*events: JournalEvent) -> RunSpans:
    found = spans_of(journal(*events))
    assert found is not None
    return found


def seconds(span: Span) -> tuple[float, float]:
    return (span.start_ns - BEGIN_NS) / NS_PER_SECOND, (span.end_ns - BEGIN_NS) / NS_PER_SECOND


def named(found: RunSpans) -> dict[str, Span]:
    by_name = {span.name: span for span in found.spans}
    assert len(by_name) == len(found.spans)
    return by_name


def started(number: int = 1) -> engine.EngineStarted:
    return engine.EngineStarted(engine="nautilus", version="2.0.0rc7", engine_number=number)


def reconciled(state: Any = "ok", occasion: Any = "periodic", **times: Any) -> checks.ReconciliationChecked:
    return checks.ReconciliationChecked(occasion=occasion, state=state, first_finding="positions differ", **times)


def test_a_run_without_a_trace_or_without_an_end_has_no_spans() -> None:
    assert spans_of(journal(INITIALIZED, run.RunStarted(owner=OWNER), VERIFIED, COMPLETED)) is None
    assert spans_of(journal(INITIALIZED, STARTED, VERIFIED, started())) is None
    assert spans_of(journal(INITIALIZED, EXAMPLES[run.RunSafetyBlocked])) is None
    assert spans_of([]) is None


def test_a_backtest_is_a_span_with_its_engine() -> None:
    found = spans(INITIALIZED, STARTED, VERIFIED, started(), COMPLETED)
    assert (found.run_id, found.trace) == ("r1", TRACE)
    root, of_engine = found.spans
    assert (root.name, root.span_id, root.parent_id) == ("run backtest", TRACE.span_id, None)
    assert (seconds(root), root.is_ok, root.error) == ((1, 4), True, None)
    assert root.attributes["opslab.run.id"] == "r1"
    assert root.attributes["opslab.run.status"] == "completed"
    assert root.attributes["opslab.run.strategy"] == "ops_smoke_demo v1"
    assert root.attributes["opslab.run.input_digest"] == "sha256:5"
    assert root.attributes["opslab.run.bars_seen"] == 9
    assert "opslab.run.result_digest" not in root.attributes
    assert (of_engine.name, of_engine.parent_id, seconds(of_engine)) == ("engine", TRACE.span_id, (2, 4))
    assert of_engine.attributes == {"opslab.engine.number": 1, "opslab.engine.version": "2.0.0rc7"}
    assert [(event.name, event.time_ns) for event in of_engine.events] == [("engine_started", BEGIN_NS + 3 * 10**9)]


def test_ids_follow_from_the_journal_and_a_later_check_changes_nothing() -> None:
    events = (PAPER_INTENT, STARTED, VENUE, started(), reconciled(), reconciled(), COMPLETED)
    found = spans(*events)
    assert spans(*events, reconciled("mismatch"), run.RunAcknowledged(reason="x", actor="op")) == found
    ids = [span.span_id for span in found.spans]
    assert len(set(ids)) == len(ids) == 4
    assert all(re.fullmatch(r"[0-9a-f]{16}", one) for one in ids)
    other = STARTED.model_copy(update={"trace": TRACE.model_copy(update={"trace_id": "1" * 32})})
    assert not {span.span_id for span in spans(PAPER_INTENT, other, *events[2:]).spans[1:]} & set(ids)


def test_the_parent_of_the_run_is_the_recorded_one() -> None:
    trace = TRACE.model_copy(update={"parent_span_id": "00f067aa0ba902b7"})
    found = spans(INITIALIZED, STARTED.model_copy(update={"trace": trace}), VERIFIED, started(), COMPLETED)
    assert [span.parent_id for span in found.spans] == ["00f067aa0ba902b7", TRACE.span_id]


def test_each_engine_of_a_paper_run_is_a_span_with_its_own_events() -> None:
    lost = engine.EngineLost(engine_number=1, bars=3, ended_by="SIGKILL", failure=FAILURE)
    feed = engine.FeedStateChanged(
        number=1, feed="bars", from_state="live", to="silent", noticed_after_seconds=1.0, age_seconds=None
    )
    found = spans(
        PAPER_INTENT,
        STARTED,
        VENUE,
        started(),
        feed,
        lost,
        engine.EngineRestarted(engine_number=2, max_engines=4),
        started(2),
        feed.model_copy(update={"engine_number": 2}),
        engine.EngineEnded(engine_number=2, bars=6),
        COMPLETED,
    )
    root, first, second = found.spans
    assert (seconds(root), seconds(first), seconds(second)) == ((1, 10), (2, 5), (6, 9))
    assert (first.error, first.attributes["error.type"]) == (FAILURE.message, "engine")
    assert first.attributes["opslab.engine.ended_by"] == "SIGKILL"
    assert (second.error, second.attributes["opslab.engine.ended_by"]) == (None, "stopped")
    assert second.attributes["opslab.engine.bars"] == 6
    for span in (first, second):
        assert [event.name for event in span.events] == ["engine_started", "feed_state_changed"]
    assert first.events[1].attributes["opslab.from"] == "live"
    assert [event.name for event in root.events] == ["venue_started", "engine_restarted"]


def test_an_engine_that_died_before_it_reported_is_a_span() -> None:
    failed = run.RunFailed(failure=FAILURE)
    assert seconds(named(spans(INITIALIZED, STARTED, VERIFIED, failed))["engine"]) == (2, 3)
    lost = engine.EngineLost(engine_number=1, failure=FAILURE)
    assert seconds(named(spans(PAPER_INTENT, STARTED, VENUE, lost, failed))["engine"]) == (2, 3)
    by_control = run.RunFailed(failure=Failure(kind="lab", message="OSError"))
    assert [span.name for span in spans(INITIALIZED, STARTED, VERIFIED, by_control).spans] == ["run backtest"]


def test_a_halt_lasts_from_the_activation_until_the_account_is_flat() -> None:
    halted = engine.TradingHalted(
        scope="all",
        activated_at=at(3.5),
        seen_at=at(3.6),
        gate_closed_at=at(3.75),
        seconds_to_gate=0.25,
        by="engine",
    )
    canceled = EXAMPLES[engine.OrdersCanceled].model_copy(update={"reason": "kill_switch"})
    flat = engine.PositionsFlattened(by="engine", reason="kill_switch", flat=True, venue=ACCOUNT)
    end = run.RunHalted(ended_by="kill_switch", halt=HALT.model_copy(update={"flat": True, "seconds_to_flat": 2.5}))
    found = named(spans(PAPER_INTENT, STARTED, VENUE, started(), halted, canceled, flat, end))
    halt = found["halt"]
    assert seconds(halt) == (3.5, 6)
    assert [(event.name, event.time_ns) for event in halt.events] == [("gate_closed", parse_iso(at(3.75)))]
    assert halt.attributes["opslab.halt.scope"] == "all"
    assert halt.attributes["opslab.halt.seconds_to_flat"] == 2.5
    assert halt.attributes["opslab.halt.flat"] is True
    assert (halt.error, found["run paper"].error, found["run paper"].is_ok) == (None, None, False)
    still_open = end.model_copy(update={"halt": HALT.model_copy(update={"flat": False})})
    assert named(spans(PAPER_INTENT, STARTED, VENUE, halted, still_open))["halt"].error == "the account is not flat"


def test_a_halt_that_only_the_recovery_recorded_is_a_span() -> None:
    facts = HALT.model_copy(update={"activated_at": at(2.5), "flat": True})
    end = run.RunHalted(ended_by="kill_switch", halt=facts, ended_at=at(3), recovered_at=at(900))
    halt = named(spans(PAPER_INTENT, STARTED, VENUE, started(), end))["halt"]
    assert seconds(halt) == (2.5, 3)


def test_a_recovered_run_ends_when_its_owner_was_last_alive() -> None:
    end = run.RunInterrupted(paper=PAPER, ended_by="owner_gone", ended_at=at(7.5), recovered_at=at(900))
    fault = FaultStarted(fault="silence", number=1, terms={}, venue_start=1)
    found = named(spans(PAPER_INTENT, STARTED, VENUE, started(), fault, end))
    assert {name: seconds(span) for name, span in found.items()} == {
        "run paper": (1, 7.5),
        "engine": (2, 7.5),
        "fault silence": (4, 7.5),
    }
    assert found["run paper"].error == "its owner died"
    assert found["run paper"].attributes["opslab.run.recovered_at"] == at(900)


def test_a_reconciliation_lasts_from_its_earlier_snapshot() -> None:
    live = reconciled(expected_as_of=at(2.25), observed_as_of=at(2.125))
    by_hand = reconciled("mismatch", None, expected_as_of="2025-05-04T12:00:00Z")
    final = reconciled("unknown", "final", expected_as_of=at(60))  # a clock that was set back
    found = named(spans(PAPER_INTENT, STARTED, VENUE, live, by_hand, final, COMPLETED))
    assert seconds(found["reconciliation periodic"]) == (2.125, 3)
    assert seconds(found["reconciliation"]) == (4, 4)
    assert seconds(found["reconciliation final"]) == (5, 5)
    assert found["reconciliation"].error == "positions differ"
    assert found["reconciliation final"].error is None
    assert found["reconciliation periodic"].attributes["opslab.reconciliation.state"] == "ok"


def test_a_fault_lasts_until_its_own_end() -> None:
    def fault(number: int, start: int = 1) -> FaultStarted:
        return FaultStarted(fault="silence", number=number, terms={"which": "user", "share": 0.5}, venue_start=start)

    def end(number: int, start: int = 1) -> FaultEnded:
        return FaultEnded(fault="silence", number=number, reason="expired", venue_start=start)

    found = spans(PAPER_INTENT, STARTED, VENUE, fault(1), fault(2), end(1, 2), end(2), fault(1, 2), end(1), COMPLETED)
    faults = [span for span in found.spans if span.name == "fault silence"]
    assert [seconds(span) for span in faults] == [(3, 8), (4, 6), (7, 9)]
    assert faults[0].attributes["opslab.fault.ended_by"] == "expired"
    assert faults[0].attributes["opslab.fault.terms.share"] == 0.5
    assert "opslab.fault.ended_by" not in faults[2].attributes


def test_a_failure_is_the_status_of_its_run_and_an_exception() -> None:
    failure = Failure(kind="strategy", message="ValueError: x", detail="Traceback ...")
    root = spans(INITIALIZED, STARTED, VERIFIED, started(), run.RunFailed(failure=failure)).spans[0]
    assert (root.error, root.attributes["error.type"], root.is_ok) == ("ValueError: x", "strategy", False)
    (event,) = root.events
    assert (event.name, event.time_ns) == ("exception", root.end_ns)
    assert event.attributes == {
        "exception.type": "strategy",
        "exception.message": "ValueError: x",
        "exception.stacktrace": "Traceback ...",
    }
    differs = PAPER.model_copy(update={"final_reconciliation": "mismatch"})
    root = spans(PAPER_INTENT, STARTED, VENUE, started(), run.RunCompleted(paper=differs)).spans[0]
    assert root.error == "the final reconciliation is a mismatch"


def test_the_texts_of_a_kill_switch_are_not_exported() -> None:
    root = spans(INITIALIZED, STARTED, run.KillSwitchObserved.of(SAFETY), VERIFIED, COMPLETED).spans[0]
    (event,) = root.events
    assert event.attributes == {"opslab.state": "active", "opslab.scope": "all", "opslab.observed_by": "watch"}


def test_a_run_has_a_limit_of_spans_and_counts_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SPANS", 4)
    found = spans(PAPER_INTENT, STARTED, VENUE, started(), *(reconciled() for _ in range(7)), COMPLETED)
    assert len(found.spans) == 4
    assert found.spans[0].attributes["opslab.spans_omitted"] == 5
    assert "opslab.spans_omitted" not in spans(PAPER_INTENT, STARTED, VENUE, started(), COMPLETED).spans[0].attributes


ANY = st.lists(st.sampled_from([event for event in EXAMPLES.values() if not isinstance(event, run.RunInitialized)]))


@settings(max_examples=200)
@given(mode=st.sampled_from([INITIALIZED, PAPER_INTENT]), events=ANY, end=st.sampled_from([COMPLETED]))
def test_whatever_a_journal_has_the_spans_are_a_tree(
    mode: JournalEvent, events: Sequence[JournalEvent], end: JournalEvent
) -> None:
    found = spans_of(journal(mode, STARTED, *events, end))
    assert found is not None
    root, *others = found.spans
    assert all(span.parent_id == root.span_id for span in others)
    assert len({span.span_id for span in found.spans}) == len(found.spans)
    assert all(span.start_ns <= span.end_ns for span in found.spans)
    for span in found.spans:
        values = [*span.attributes.values(), *(value for event in span.events for value in event.attributes.values())]
        assert all(isinstance(value, str | bool | int | float | tuple) for value in values)
