"""The facts of a paper run, folded from the events of its journal.

One fold for a living and for a dead control: the first feeds it what it appends, recovery what it reads. Times are
those at which control wrote the events.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from opslab.model.journal.check_events import ReconciliationChecked
from opslab.model.journal.engine_events import (
    EngineEnd,
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
    SubscriptionUnserved,
    TradingHalted,
)
from opslab.model.journal.fault_events import FaultEnded, FaultStarted
from opslab.model.journal.journal_event import JournalEvent, RecordedEvent, by_name
from opslab.model.journal.run_events import KillSwitchObserved, RunStarted
from opslab.model.journal.venue_events import LedgerWriteFailed, MarginCall, VenueLost, VenueStarted
from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.paper_messages import FEEDS, FeedName, OnStop
from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from opslab.model.run.paper_summary import (
    AccountFacts,
    EngineFacts,
    FeedFacts,
    Latencies,
    PaperFacts,
    StopFacts,
)
from opslab.model.run.run_counters import PaperCounters, Reconciled, Reconciliations
from opslab.runs.paper.counts.feed_stats import FeedStats
from opslab.runs.paper.counts.heartbeat_fold import HeartbeatFold, ReadHeartbeat
from opslab.runs.paper.counts.paper_counts import PaperCounts
from opslab.runs.paper.counts.venue_log_fold import FaultFold, MarginCallFold
from opslab.runs.record.journal_events import decoded
from opslab.runs.record.subscription_fold import SubscriptionFold
from opslab.store.runs.journal import read_events

SUMMARIZED = by_name(
    RunStarted,
    VenueStarted,
    VenueLost,
    LedgerWriteFailed,
    MarginCall,
    EngineRestarted,
    EngineStarted,
    EngineEnded,
    EngineLost,
    ReadHeartbeat,
    FeedStateChanged,
    SocketStateChanged,
    ReconciliationChecked,
    ScenarioActionTriggered,
    RunStopping,
    KillSwitchObserved,
    GateClosed,
    OrderGated,
    TradingHalted,
    ForcedClose,
    PositionsFlattened,
    FaultStarted,
    FaultEnded,
    SubscriptionUnserved,
)
"""Events that the fold needs; it takes the time of every other one."""


@dataclass(slots=True)
class JournalSummary:
    """A fold over the events of a journal. Seconds since 1970."""

    began_s: float | None = None
    last_s: float = 0.0
    """Time of the last event."""
    engines: dict[int, EngineFacts] = field(default_factory=dict)
    """Engines that reported something, or whose end was recorded."""
    restarts: int = 0
    losses: int = 0
    """Of engines."""
    heartbeats: HeartbeatFold = field(default_factory=HeartbeatFold)
    actions: int = 0
    """Actions of a scenario: the highest count of any engine, since a later one does not repeat an earlier one's."""
    gated: Counter[str] = field(default_factory=Counter)
    """Requests that closed gates denied, as far as engines reported them: reason to number."""
    _gated_events: int = 0
    """Of the running engine: recorded requests that the kill switch denied. Only the first are recorded."""
    venue_started: bool = False
    last_venue: tuple[int, str] | None = None
    """Number of the last start of the venue, and the time at which it listened; None: none did."""
    venue_losses: int = 0
    _failed_writes: dict[int, int] = field(default_factory=dict)
    """Of the ledger, by start of the venue."""
    stop_reason: StopReason | None = None
    """Reason of control's stop request."""
    gate_reason: StopReason | None = None
    """Reason that the engine gave when it closed its gate."""
    is_gate_closed: bool = False
    """By an engine, or without one: no later engine opens it again."""
    final: Reconciled | None = None
    last_reconciliation: tuple[Reconciled, str] | None = None
    """State and time."""
    reconciliations: Counter[str] = field(default_factory=Counter)
    faults: FaultFold = field(default_factory=FaultFold)
    margin_calls: MarginCallFold = field(default_factory=MarginCallFold)
    subscriptions: SubscriptionFold = field(default_factory=SubscriptionFold)
    _starts: dict[int, str] = field(default_factory=dict)
    """Start time of each engine."""
    _feeds: dict[FeedName, FeedStats] = field(default_factory=lambda: {name: FeedStats() for name in FEEDS})
    _socket_changes: Counter[str] = field(default_factory=Counter)
    _forced_closes: set[str] = field(default_factory=set)
    """Client order ids."""
    _action_events: int = 0
    _stopping_s: float | None = None
    """When the run began to end, by control's decision."""
    _gate_s: float | None = None
    _flat_s: float | None = None
    _first_bar_s: float | None = None
    _lost_s: float | None = None
    _unreplaced_s: float | None = None
    """When the last engine was lost, if no other followed."""
    _restart_seconds: list[float] = field(default_factory=list)

    def apply(self, recorded: RecordedEvent) -> None:
        self.last_s = parse_iso(recorded.time) / NS_PER_SECOND
        match recorded.event:
            case None:
                pass
            case RunStarted():
                self.began_s = self.last_s
            case VenueStarted(start_number=number):
                self.venue_started = True
                self.last_venue = number, recorded.time
                self._starts.setdefault(1, recorded.time)
            case VenueLost():
                self.venue_losses += 1
                self.faults.venue_lost(recorded.time)
            case FaultStarted() as started:
                self.faults.started(started, recorded.time)
            case FaultEnded() as ended_fault:
                self.faults.ended(ended_fault, recorded.time)
            case MarginCall() as call:
                self.margin_calls.add(call, recorded.time)
            case SubscriptionUnserved() as unserved:
                self.subscriptions.unserved(unserved)
            case LedgerWriteFailed(start_number=number, count=count):
                self._failed_writes[number] = count
            case EngineRestarted(engine_number=number):
                self.restarts += 1
                self._unreplaced_s = None
                self._starts[number] = recorded.time
            case EngineStarted(engine_number=number):
                self._engine_seen(number, recorded.time)
            case EngineEnded() as ended:
                self._engine_ended(ended, recorded.time)
            case EngineLost() as lost:
                self._engine_lost(lost, recorded.time)
            case PaperHeartbeat(engine_number=number) | ReadHeartbeat(engine_number=number) as beat:
                self._heartbeat(number, beat, recorded.time)
            case FeedStateChanged(feed=feed, to=state, noticed_after_seconds=noticed):
                self._feeds[feed].changed(state, noticed, self.last_s)
            case SocketStateChanged(socket=socket):
                self._socket_changes[socket] += 1
            case ForcedClose(client_order_id=order_id):
                self._forced_closes.add(order_id)
            case ReconciliationChecked() as check:
                self._reconciled(check, recorded.time)
            case OrderGated():
                self._gated_events += 1
            case ScenarioActionTriggered():
                self._action_events += 1
                self.actions = max(self.actions, self._action_events)
            case event:
                self._ending(event)

    def _ending(self, event: JournalEvent) -> None:
        match event:
            case RunStopping(reason=reason):
                self.stop_reason = reason
                self._stopping_s = self._stopping_s or self.last_s
            case KillSwitchObserved(observed_by="watch"):
                self.stop_reason = "kill_switch"  # it replaces any other
                self._stopping_s = self._stopping_s or self.last_s
            case GateClosed(reason=reason):
                self.gate_reason, self._gate_s = reason, self._gate_s or self.last_s
                self.is_gate_closed = True
            case TradingHalted():
                self.is_gate_closed = True
            case PositionsFlattened(flat=flat):
                self._flat_s = self.last_s if flat else None

    def _engine_seen(self, number: int, at: str) -> None:
        self.engines.setdefault(number, EngineFacts(number=number, started_at=self._starts.get(number, at)))

    def _engine_ended(self, ended: EngineEnded, at: str) -> None:
        self._close_engine(ended, {"ended_at": at, "ended_by": "stopped"}, at)
        self.subscriptions.engine_ended(ended.subscriptions)

    def _engine_lost(self, lost: EngineLost, at: str) -> None:
        failure = f"{lost.failure.kind}: {lost.failure.message}"
        self._close_engine(lost, {"ended_at": at, "ended_by": lost.ended_by, "failure": failure}, at)
        self.losses += 1
        self._lost_s = self._unreplaced_s = self.last_s
        self.subscriptions.engine_lost()

    def _close_engine(self, event: EngineEnd, end: Mapping[str, str | None], at: str) -> None:
        """With what the engine reported until its end."""
        number = event.engine_number
        self._engine_seen(number, at)
        self.engines[number] = self.engines[number].model_copy(update=end)
        self.actions = max(self.actions, event.actions)
        self.gated.update(event.gated)
        unreported = self._gated_events - event.gated.get("KILL_SWITCH", 0)
        if unreported > 0:  # a killed engine reports no numbers
            self.gated["KILL_SWITCH"] += unreported
        self._gated_events = 0
        self.heartbeats.engine_ended(event)

    def _heartbeat(self, number: int, beat: PaperHeartbeat | ReadHeartbeat, at: str) -> None:
        self._engine_seen(number, at)
        self.heartbeats.add(number, beat.heartbeat, beat.venue)
        self.faults.confirm()
        if beat.heartbeat.bars and self._first_bar_s is None:
            self._first_bar_s = self.last_s

    def _reconciled(self, check: ReconciliationChecked, at: str) -> None:
        """Only the run's own reconciliations: others have no such occasion."""
        if check.occasion in ("startup", "periodic", "final"):
            self.last_reconciliation = check.state, at
        if check.occasion == "final":
            self.final = check.state
        elif check.occasion in ("startup", "periodic"):
            self.reconciliations[check.state] += 1
            if check.occasion == "startup" and self._lost_s is not None:
                self._restart_seconds.append(self.last_s - self._lost_s)
                self._lost_s = None

    @property
    def failed_ledger_writes(self) -> int:
        return sum(self._failed_writes.values())

    @property
    def elapsed_seconds(self) -> float:
        return 0.0 if self.began_s is None else self.last_s - self.began_s

    @property
    def seconds_to_gate(self) -> float | None:
        return _seconds_between(self._stopping_s, self._gate_s)

    @property
    def seconds_to_flat(self) -> float | None:
        return _seconds_between(self._stopping_s or self._gate_s or self._unreplaced_s, self._flat_s)

    @property
    def dropped_heartbeats(self) -> int | None:
        """Those that engines reported. None when the end of an engine is unknown."""
        return self.heartbeats.dropped if all(engine.ended_at for engine in self.engines.values()) else None

    @property
    def socket_changes(self) -> dict[str, int]:
        """Zero for a socket without one."""
        names = self.heartbeats.sockets | set(self._socket_changes)
        return {name: self._socket_changes[name] for name in sorted(names)}

    def counters(self) -> PaperCounters:
        """So far; none of them decreases with a further event."""
        checks = self.reconciliations + Counter([self.final] if self.final else [])
        state, at = self.last_reconciliation or (None, None)
        return PaperCounters(
            messages=self.heartbeats.messages(),
            feed_changes={name: self._feeds[name].changes for name in FEEDS},
            socket_changes=self.socket_changes,
            engine_restarts=self.restarts,
            engine_losses=self.losses,
            venue_losses=self.venue_losses,
            failed_ledger_writes=self.failed_ledger_writes,
            heartbeats=self.heartbeats.count,
            dropped_heartbeats=self.heartbeats.dropped,
            reconciliations=Reconciliations(**checks),
            last_reconciliation_state=state,
            last_reconciliation_at=at,
            orders_gated=self.heartbeats.gated,
            orders_external=self.heartbeats.external_orders,
            forced_closes=len(self._forced_closes),
            margin_calls=self.margin_calls.count,
            faults_injected=self.faults.confirmed_count,
            faults_active=self.faults.active_count,
            round_trips=self.heartbeats.round_trips,
        )

    def stop(self, reason: StopReason, on_stop: OnStop) -> StopFacts:
        return StopFacts(
            reason=reason, on_stop=on_stop, seconds_to_gate=self.seconds_to_gate, seconds_to_flat=self.seconds_to_flat
        )

    def summary(
        self,
        *,
        bars_expected: int,
        bars_seen: int,
        bars_missed: int | None = None,
        account: AccountFacts | None,
        stop: StopFacts | None,
        counts: PaperCounts | None,
    ) -> PaperFacts:
        """Completed from the run's folder and the venue's ledger."""
        subscriptions = self.subscriptions.names()
        last_state, last_at = self.last_reconciliation or (None, None)
        return PaperFacts(
            engines=tuple(self.engines[number] for number in sorted(self.engines)),
            restarts=self.restarts,
            venue_losses=self.venue_losses,
            failed_ledger_writes=self.failed_ledger_writes,
            bars_expected=bars_expected,
            bars_seen=bars_seen,
            bars_missed=bars_missed,
            heartbeats=self.heartbeats.count,
            dropped_heartbeats=self.dropped_heartbeats,
            feeds=self._feed_facts(),
            socket_changes=self.socket_changes,
            reconciliations=Reconciliations(**self.reconciliations),
            final_reconciliation=self.final,
            last_reconciliation_state=last_state,
            last_reconciliation_at=last_at,
            final_account=account,
            stop=stop,
            latencies=Latencies(
                start_to_first_bar_seconds=_seconds_between(self.began_s, self._first_bar_s),
                order_round_trip_ms_median=self.heartbeats.round_trip_ms_median,
                order_round_trip_ms_max=self.heartbeats.round_trip_ms_max,
                event_lag_ms_max=self.heartbeats.longest_lag_ms,
                restart_to_reconciled_seconds_max=max(
                    (round(seconds, 3) for seconds in self._restart_seconds), default=None
                ),
            ),
            round_trips=self.heartbeats.round_trips,
            orders_gated=self.heartbeats.gated,
            orders_unknown=counts.unknown if counts else None,
            orders_lost=counts.lost if counts else None,
            first_lost_order=counts.first_lost if counts else None,
            orders_by_venue=counts.by_venue if counts else None,
            orders_external=counts.external if counts else None,
            fills_external=counts.external_fills if counts else None,
            first_external_order=counts.first_external if counts else None,
            forced_closes=counts.forced_closes if counts else None,
            first_forced_close=counts.first_forced_close if counts else None,
            margin_calls=self.margin_calls.count,
            first_margin_call=self.margin_calls.first,
            faults_injected=self.faults.count,
            faults=self.faults.facts(),
            subscriptions_empty=subscriptions["empty"],
            subscriptions_untruthful=subscriptions["untruthful"],
        )

    def _feed_facts(self) -> dict[FeedName, FeedFacts]:
        messages = self.heartbeats.messages()
        return {name: self._feeds[name].summary(messages[name], self.last_s) for name in FEEDS}


def summarize(events: Iterable[RecordedEvent]) -> JournalSummary:
    summary = JournalSummary()
    for event in events:
        summary.apply(event)
    return summary


def summarize_journal(folder: Path) -> JournalSummary:
    """Of a run's journal. Raises Corrupt."""
    return summarize(decoded(folder, read_events(folder), SUMMARIZED))


def _seconds_between(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else round(max(0.0, end_s - start_s), 3)
