"""What a journal tells of a paper run whose control is gone: the fold over its events."""

from typing import Any

import pytest
from pydantic_core import from_json, to_json

from opslab.model.journal.check_events import ReconciliationChecked
from opslab.model.journal.engine_events import (
    EngineEnded,
    EngineLost,
    EngineRestarted,
    EngineStarted,
    FeedStateChanged,
    ForcedClose,
    GateClosed,
    OrderGated,
    PaperHeartbeat,
    PositionsFlattened,
    RunStopping,
    ScenarioActionTriggered,
    SocketStateChanged,
    TradingHalted,
)
from opslab.model.journal.fault_events import FaultEnded, FaultStarted
from opslab.model.journal.journal_event import JournalEvent, RecordedEvent, decode
from opslab.model.journal.run_events import KillSwitchObserved, RunStarted
from opslab.model.journal.venue_events import LedgerWriteFailed, VenueLost, VenueStarted
from opslab.model.messages.paper_messages import FeedName, FeedState
from opslab.model.primitives.instant import NS_PER_SECOND, iso
from opslab.model.run.metadata import Failure
from opslab.model.run.paper_summary import MAX_FAULTS, PaperFacts
from opslab.model.run.run_counters import PaperCounters, RoundTrips
from opslab.runs.paper.counts.feed_stats import FeedStats
from opslab.runs.paper.counts.paper_counts import PaperCounts
from opslab.runs.paper.journal_summary import SUMMARIZED, JournalSummary, summarize
from tests.fakes.journal_events import HEARTBEAT, OWNER, SAFETY, STATEMENT

BEGIN_S = 1_700_000_000
LOST = Failure(kind="engine", message="the engine process died of SIGKILL")
STARTED = EngineStarted(engine="nautilus", version="2")


def told(*lines: tuple[float, JournalEvent]) -> JournalSummary:
    """Of events so many seconds behind the run's beginning."""
    return summarize(
        RecordedEvent(seq, at(seconds), event.EVENT, event)
        for seq, (seconds, event) in enumerate(((0.0, RunStarted(owner=OWNER)), *lines), 1)
    )


def at(seconds: float) -> str:
    return iso(int((BEGIN_S + seconds) * NS_PER_SECOND))


def beat(engine: int, bars: int, **more: Any) -> PaperHeartbeat:
    known = {"quotes": 10 * bars, "trades": 5 * bars, "order_round_trips_ms": ()}
    heartbeat = HEARTBEAT.model_copy(update={"bars": bars, **known, **more})
    return PaperHeartbeat(engine_number=engine, heartbeat=heartbeat, venue=None)


def test_a_heartbeat_that_is_read_counts_as_one_that_was_appended() -> None:
    appended = [
        beat(1, 2, memory_bytes=7, event_lag_ms=1.5, order_round_trips_ms=(4.0, 2.5)),
        beat(1, 5, memory_bytes=9, event_lag_ms=None),
        beat(2, 1, memory_bytes=8, event_lag_ms=0.5, order_round_trips_ms=(3.0,)),
    ]
    payloads = [from_json(to_json(event.payload())) for event in appended]
    read = [decode(SUMMARIZED[PaperHeartbeat.EVENT], payload) for payload in payloads]
    assert not any(isinstance(event, PaperHeartbeat) for event in read)
    assert told(*enumerate(read, 1)) == told(*enumerate(appended, 1))
    assert told(*enumerate(read, 1)).heartbeats.peak_memory_bytes == 9


def feed(name: FeedName, to: FeedState, noticed: float) -> FeedStateChanged:
    return FeedStateChanged(
        number=1, feed=name, from_state="recovering", to=to, noticed_after_seconds=noticed, age_seconds=None
    )


def venue(start: int) -> VenueStarted:
    return VenueStarted(start_number=start, rest_url="", ws_url="", ws_trading_url="")


def flattened(flat: bool) -> PositionsFlattened:
    return PositionsFlattened(by="engine", reason="max_bars", flat=flat, venue=None)


def lost(ended_by: str, **reported: Any) -> EngineLost:
    return EngineLost(engine_number=1, ended_by=ended_by, failure=LOST, bars=3, **reported)


def summary(found: JournalSummary, counts: PaperCounts | None = None) -> PaperFacts:
    return found.summary(bars_expected=60, bars_seen=7, account=None, stop=None, counts=counts)


def test_of_a_run_that_died_at_once_hardly_anything_is_known() -> None:
    found = told()
    known = summary(found)
    assert (known.engines, known.restarts, known.heartbeats) == ((), 0, 0)
    assert (known.bars_missed, known.dropped_heartbeats, known.final_reconciliation) == (None, 0, None)
    assert (known.orders_unknown, known.orders_lost, known.orders_by_venue) == (None, None, None)
    assert known.latencies.start_to_first_bar_seconds is None
    assert (found.venue_started, found.elapsed_seconds) == (False, 0.0)


def test_each_engine_with_what_is_known_of_its_end() -> None:
    known = summary(
        told(
            (1, venue(1)),
            (2, STARTED),
            (5, lost("SIGKILL")),
            (5, EngineRestarted(engine_number=2, max_engines=4)),
            (6, STARTED.model_copy(update={"engine_number": 2})),
        )
    )
    one, two = known.engines
    assert (one.number, one.started_at, one.ended_at, one.ended_by) == (1, at(1), at(5), "SIGKILL")
    assert one.failure == "engine: the engine process died of SIGKILL"
    assert (two.number, two.started_at, two.ended_at, two.ended_by, two.failure) == (2, at(5), None, None, None)
    assert known.restarts == 1


def test_what_engines_that_ended_as_requested_reported() -> None:
    ended = EngineEnded(engine_number=1, bars=3, actions=2, gated={"RUN_IS_ENDING": 3}, dropped_messages=5)
    found = told(
        (2, STARTED),
        (3, ScenarioActionTriggered(bar=10, ts_event=0, close="1")),
        (5, ended),
    )
    (engine,) = summary(found).engines
    assert (engine.ended_at, engine.ended_by, engine.failure) == (at(5), "stopped", None)
    assert (found.actions, dict(found.gated), summary(found).dropped_heartbeats) == (2, {"RUN_IS_ENDING": 3}, 5)


def test_an_engine_that_failed_reported_the_same() -> None:
    found = told((5, lost("strategy", gated={"RUN_IS_ENDING": 3}, dropped_messages=5)))
    assert (dict(found.gated), summary(found).dropped_heartbeats) == ({"RUN_IS_ENDING": 3}, 5)


@pytest.mark.parametrize(("reported", "gated"), [({}, 2), ({"KILL_SWITCH": 1}, 2), ({"KILL_SWITCH": 900}, 900)])
def test_a_killed_engine_has_at_least_the_denied_requests_that_are_recorded(
    reported: dict[str, int], gated: int
) -> None:
    found = told(
        (3, OrderGated(call="submit_order")), (4, OrderGated(call="submit_order")), (5, lost("SIGKILL", gated=reported))
    )
    assert dict(found.gated) == {"KILL_SWITCH": gated}


def test_a_lost_engine_and_a_lost_venue_are_counted() -> None:
    found = told(
        (1, venue(1)),
        (2, VenueLost(start_number=1, reason="x")),
        (3, lost("hang", actions=1)),
        (4, flattened(True)),
    )
    assert (summary(found).venue_losses, summary(found).restarts, found.actions) == (1, 0, 1)
    assert (found.seconds_to_gate, found.seconds_to_flat) == (None, 1.0), "from its loss: nothing else ended the run"


def test_failed_writes_of_the_ledger_are_those_of_all_starts_of_the_venue() -> None:
    found = told(
        (1, LedgerWriteFailed(start_number=1, count=1)),
        (2, LedgerWriteFailed(start_number=1, count=5)),
        (3, LedgerWriteFailed(start_number=2, count=2)),
    )
    assert summary(found).failed_ledger_writes == 7
    assert summary(told()).failed_ledger_writes == 0


def test_a_halt_begins_when_the_run_itself_sees_the_switch() -> None:
    found = told(
        (1, KillSwitchObserved.of(SAFETY.model_copy(update={"observed_by": "start_gate"}))),
        (3, KillSwitchObserved.of(SAFETY.model_copy(update={"observed_by": "watch"}))),
        (4, GateClosed(reason="kill_switch")),
        (6, flattened(True)),
    )
    assert (found.stop_reason, found.seconds_to_gate, found.seconds_to_flat) == ("kill_switch", 1.0, 3.0)


def test_an_engine_that_was_never_heard_of_is_not_among_them() -> None:
    known = summary(told((1, venue(1)), (2, venue(2))))
    assert known.engines == ()


def test_messages_are_those_of_all_engines_by_their_last_beats() -> None:
    known = summary(
        told(
            (1, beat(1, 0)),
            (2, beat(1, 4, memory_bytes=900, event_lag_ms=7.0, order_round_trips_ms=(3.0, 5.0))),
            (3, beat(2, 1, order_round_trips_ms=(1.0,))),
        )
    )
    assert known.heartbeats == 3
    assert (known.feeds["bars"].messages, known.feeds["quotes"].messages) == (5, 50)
    assert known.latencies.start_to_first_bar_seconds == 2.0
    assert (known.latencies.order_round_trip_ms_median, known.latencies.order_round_trip_ms_max) == (3.0, 5.0)
    assert known.latencies.event_lag_ms_max == 7.0


def test_reconciliations_of_the_run_itself_are_counted_and_no_others() -> None:
    known = summary(
        told(
            (1, ReconciliationChecked(occasion="startup", state="ok")),
            (2, ReconciliationChecked(occasion="periodic", state="warning")),
            (3, ReconciliationChecked(state="mismatch")),
            (4, lost("hang")),
            (6, ReconciliationChecked(occasion="startup", state="ok")),
            (9, ReconciliationChecked(occasion="final", state="ok")),
        )
    )
    assert known.reconciliations.model_dump() == {"ok": 2, "warning": 1, "mismatch": 0, "unknown": 0}
    assert known.final_reconciliation == "ok"
    assert known.latencies.restart_to_reconciled_seconds_max == 2.0


def test_how_long_its_end_took_is_told_as_far_as_it_came() -> None:
    begun = told((3, RunStopping(reason="SIGTERM", on_stop="flatten")))
    assert (begun.stop_reason, begun.seconds_to_gate, begun.seconds_to_flat) == ("SIGTERM", None, None)
    done = told(
        (3, RunStopping(reason="SIGTERM", on_stop="flatten")),
        (3.5, GateClosed(reason="SIGTERM")),
        (4, flattened(True)),
    )
    assert (done.seconds_to_gate, done.seconds_to_flat) == (0.5, 1.0)
    not_flat = told((3, GateClosed(reason="last_bar")), (4, flattened(False)))
    assert (not_flat.gate_reason, not_flat.seconds_to_flat) == ("last_bar", None)


def test_counts_of_orders_are_the_ledgers() -> None:
    known = summary(told(), PaperCounts(unknown=1, lost=2, by_venue=3))
    assert (known.orders_unknown, known.orders_lost, known.orders_by_venue) == (1, 2, 3)


def test_feeds_until_the_last_word_of_control() -> None:
    known = summary(
        told(
            (1, feed("trades", "live", 0.1)),
            (3, feed("trades", "silent", 2.5)),
            (4, feed("trades", "disconnected", 0.2)),
            (10, RunStopping(reason="max_seconds", on_stop="flatten")),
        )
    )
    trades = known.feeds["trades"]
    assert (trades.changes, trades.noticed_after_seconds_max) == (3, 2.5)
    assert (trades.silent_seconds, trades.disconnected_seconds) == (1.0, 6.0)
    assert known.feeds["bars"].changes == 0


def test_time_before_the_first_change_is_in_no_state() -> None:
    times = FeedStats()
    assert times.summary(0, 50.0).disconnected_seconds == 0
    times.changed("disconnected", None, 60.0)
    assert times.summary(0, 61.0).disconnected_seconds == 1.0
    assert times.summary(0, 63.0).disconnected_seconds == 3.0


def socket(name: str, to: str) -> SocketStateChanged:
    return SocketStateChanged(socket=name, from_state="connected", to=to, noticed_after_seconds=0.1)


def test_counters_are_those_of_all_engines() -> None:
    found = told(
        (1, beat(1, 2, sockets={"user": "connected", "market": "connected"}, order_round_trips_ms=(0.5, 40.0))),
        (2, socket("market", "disconnected")),
        (2, socket("market", "connected")),
        (2, feed("trades", "live", 0.1)),
        (3, beat(1, 4, orders_gated=2, dropped_messages=3)),
        (4, lost("SIGKILL")),
        (4, EngineRestarted(engine_number=2, max_engines=4)),
        (5, ReconciliationChecked(occasion="startup", state="ok")),
        (6, beat(2, 1, order_round_trips_ms=(40.0,))),
        (7, EngineEnded(engine_number=2, gated={"RUN_IS_ENDING": 1})),
        (8, ReconciliationChecked(occasion="final", state="warning")),
        (9, ReconciliationChecked(state="mismatch")),
    )
    counters = found.counters()
    assert counters.messages == {"bars": 5, "quotes": 50, "trades": 25}
    assert counters.feed_changes == {"bars": 0, "quotes": 0, "trades": 1}
    assert counters.socket_changes == {"market": 2, "user": 0}
    assert (counters.engine_restarts, counters.engine_losses, counters.heartbeats) == (1, 1, 3)
    assert (counters.orders_gated, counters.dropped_heartbeats) == (3, 3)
    assert counters.reconciliations.model_dump() == {"ok": 1, "warning": 1, "mismatch": 0, "unknown": 0}
    assert (counters.last_reconciliation_state, counters.last_reconciliation_at) == ("warning", at(8))
    assert counters.round_trips == RoundTrips.of((0.5, 40.0, 40.0))
    assert summary(found).counters == counters.model_copy(update={"orders_external": None, "forced_closes": None})


def test_orders_of_others_and_forced_closes_are_counted_while_the_run_goes_on() -> None:
    snapshot = STATEMENT.model_copy(update={"orders_external": 2})
    close = ForcedClose(kind="liquidation", client_order_id="autoclose-1", side="SELL", quantity="1")
    found = told(
        (1, beat(1, 1).model_copy(update={"venue": snapshot})),
        (2, close),
        (3, close.model_copy(update={"engine_number": 2})),
        (4, beat(1, 2)),
    )
    assert (found.counters().orders_external, found.counters().forced_closes) == (2, 1)
    known = summary(found, PaperCounts(external=3, forced_closes={"liquidation": 1})).counters
    assert (known.orders_external, known.forced_closes) == (3, 1)


def test_the_gate_is_closed_by_the_engine_or_without_one() -> None:
    assert not told((1, beat(1, 1))).is_gate_closed
    assert told((1, GateClosed(reason="last_bar"))).is_gate_closed
    halted = TradingHalted(
        scope="run",
        activated_at=at(1),
        seen_at=at(1),
        gate_closed_at=at(1),
        seconds_to_gate=0.0,
        by="no_engine",
    )
    assert told((1, halted)).is_gate_closed


def test_a_fault_counts_when_its_start_can_no_longer_fail() -> None:
    begun = told((1, fault(1)), (2, beat(1, 1)), (3, fault(2))).counters()
    assert (begun.faults_injected, begun.faults_active) == (1, 2)
    failed = told((1, fault(1)), (2, beat(1, 1)), (3, fault(2)), (3, end_of(2, "failed_to_start"))).counters()
    assert (failed.faults_injected, failed.faults_active) == (1, 1)
    ended = told((1, fault(1)), (1, end_of(1, "immediate"))).counters()
    assert (ended.faults_injected, ended.faults_active) == (1, 0)


def test_nothing_is_counted_before_the_first_event() -> None:
    assert JournalSummary().counters() == PaperCounters()


def fault(number: int, start: int = 1) -> FaultStarted:
    return FaultStarted(fault="silence", number=number, terms={"which": "all"}, venue_start=start)


def end_of(number: int, reason: str, start: int = 1) -> FaultEnded:
    return FaultEnded(fault="silence", number=number, reason=reason, venue_start=start)


def test_faults_end_by_their_own_event_or_with_their_venue() -> None:
    summary = told(
        (1.0, fault(1)),
        (2.0, fault(2)),
        (3.0, end_of(1, "expired")),
        (4.0, VenueLost(start_number=1, reason="SIGKILL")),
        (5.0, fault(1, start=2)),
        (6.0, fault(2, start=2)),
        (7.0, end_of(2, "failed_to_start", start=2)),
    )
    ends = [(one.started_at, one.ended_at, one.ended_by) for one in summary.faults.facts()]
    assert summary.faults.count == 3
    assert ends == [(at(1.0), at(3.0), "expired"), (at(2.0), at(4.0), "venue_lost"), (at(5.0), None, None)]


def test_of_many_faults_the_first_are_kept_and_all_are_counted() -> None:
    summary = told(*((float(number), fault(number)) for number in range(1, MAX_FAULTS + 8)))
    assert (summary.faults.count, len(summary.faults.facts())) == (MAX_FAULTS + 7, MAX_FAULTS)
