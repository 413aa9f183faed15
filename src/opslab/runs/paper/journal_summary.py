"""The facts of a paper run, folded from the events of its journal.

One fold for a living and for a dead control: the first feeds it what it appends, recovery what it reads. Times are
those at which control wrote the events.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.paper_messages import FEEDS, FeedName, OnStop
from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from opslab.model.run.event import Event
from opslab.model.run.paper_summary import (
    AccountFacts,
    EngineFacts,
    FeedFacts,
    Latencies,
    PaperFacts,
    Reconciled,
    Reconciliations,
    StopFacts,
)
from opslab.runs.paper.feed_stats import FeedStats
from opslab.runs.paper.results import PaperCounts


@dataclass(slots=True)
class JournalSummary:
    """A fold over the events of a journal. Seconds since 1970."""

    began_s: float | None = None
    last_s: float = 0.0
    """Time of the last event."""
    engines: dict[int, EngineFacts] = field(default_factory=dict)
    """Engines that reported something, or whose end was recorded."""
    restarts: int = 0
    heartbeats: int = 0
    peak_memory_bytes: int = 0
    actions: int = 0
    """Actions of a scenario: the highest count of any engine, since a later one does not repeat an earlier one's."""
    gated: Counter[str] = field(default_factory=Counter)
    """Requests that closed gates denied, as far as engines reported them: reason to number."""
    venue_started: bool = False
    venue_losses: int = 0
    stop_reason: StopReason | None = None
    """Reason of control's stop request."""
    gate_reason: StopReason | None = None
    """Reason that the engine gave when it closed its gate."""
    final: Reconciled | None = None
    reconciliations: Counter[str] = field(default_factory=Counter)
    _starts: dict[int, str] = field(default_factory=dict)
    """Start time of each engine."""
    _messages: dict[int, Mapping[str, int]] = field(default_factory=dict)
    """Of each engine, from its last heartbeat."""
    _feeds: dict[FeedName, FeedStats] = field(default_factory=lambda: {name: FeedStats() for name in FEEDS})
    _action_events: int = 0
    _dropped_messages: int = 0
    _stopping_s: float | None = None
    """When the run began to end, by control's decision."""
    _gate_s: float | None = None
    _flat_s: float | None = None
    _first_bar_s: float | None = None
    _lost_s: float | None = None
    _unreplaced_s: float | None = None
    """When the last engine was lost, if no other followed."""
    _restart_seconds: list[float] = field(default_factory=list)
    _round_trips_ms: array[float] = field(default_factory=lambda: array("d"))  # of a run of days
    _lag_ms: float | None = None

    def apply(self, event: Event) -> None:
        self.last_s = parse_iso(event.time) / NS_PER_SECOND
        payload = event.payload
        match event.event:
            case "run_started":
                self.began_s = self.last_s
            case "venue_started":
                self.venue_started = True
                self._starts.setdefault(1, event.time)
            case "venue_lost":
                self.venue_losses += 1
            case "engine_restarted":
                self.restarts += 1
                self._unreplaced_s = None
                self._starts[payload["engine_number"]] = event.time
            case "engine_started":
                self._engine_seen(payload.get("engine_number", 1), event.time)
            case "engine_ended":
                self._engine_ended(event)
            case "engine_lost":
                self._engine_lost(event)
            case "paper_heartbeat":
                self._heartbeat(payload["engine_number"], payload["heartbeat"], event.time)
            case "feed_state_changed":
                self._feeds[payload["feed"]].changed(payload["to"], payload["noticed_after_seconds"], self.last_s)
            case "reconciliation_checked":
                self._reconciled(payload)
            case "scenario_action_triggered":
                self._action_events += 1
                self.actions = max(self.actions, self._action_events)
            case "run_stopping":
                self.stop_reason = payload["reason"]
                self._stopping_s = self._stopping_s or self.last_s
            case "kill_switch_observed" if payload["observed_by"] == "watch":
                self.stop_reason = "kill_switch"  # it replaces any other
                self._stopping_s = self._stopping_s or self.last_s
            case "gate_closed":
                self.gate_reason, self._gate_s = payload["reason"], self._gate_s or self.last_s
            case "positions_flattened":
                self._flat_s = self.last_s if payload["flat"] else None

    def _engine_seen(self, number: int, at: str) -> None:
        self.engines.setdefault(number, EngineFacts(number=number, started_at=self._starts.get(number, at)))

    def _engine_ended(self, event: Event) -> None:
        payload = event.payload
        number = payload["engine_number"]
        self._engine_seen(number, event.time)
        ended = {"ended_at": event.time, "ended_by": "stopped"}
        self.engines[number] = self.engines[number].model_copy(update=ended)
        self._reported(payload)

    def _engine_lost(self, event: Event) -> None:
        number, failure = event.payload["engine_number"], event.payload["failure"]
        self._engine_seen(number, event.time)
        ended = {
            "ended_at": event.time,
            "ended_by": event.payload.get("ended_by"),
            "failure": f"{failure['kind']}: {failure['message']}",
        }
        self.engines[number] = self.engines[number].model_copy(update=ended)
        self._reported(event.payload)
        self._lost_s = self._unreplaced_s = self.last_s

    def _reported(self, payload: Mapping[str, Any]) -> None:
        """What an engine reported until its end. A run of an earlier version may lack it."""
        self.actions = max(self.actions, payload.get("actions", 0))
        self.gated.update(payload.get("gated", {}))
        self._dropped_messages += payload.get("dropped_messages", 0)

    def _heartbeat(self, number: int, heartbeat: Mapping[str, Any], at: str) -> None:
        self._engine_seen(number, at)
        self.heartbeats += 1
        self._messages[number] = {name: heartbeat[name] for name in FEEDS}
        self.peak_memory_bytes = max(self.peak_memory_bytes, heartbeat["memory_bytes"])
        self._round_trips_ms.extend(heartbeat.get("order_round_trips_ms", ()))
        if heartbeat["event_lag_ms"] is not None:
            self._lag_ms = max(self._lag_ms or 0.0, heartbeat["event_lag_ms"])
        if heartbeat["bars"] and self._first_bar_s is None:
            self._first_bar_s = self.last_s

    def _reconciled(self, payload: Mapping[str, Any]) -> None:
        """Only the run's own reconciliations: others have no such occasion."""
        occasion, state = payload.get("occasion"), payload["state"]
        if occasion == "final":
            self.final = state
        elif occasion in ("startup", "periodic"):
            self.reconciliations[state] += 1
            if occasion == "startup" and self._lost_s is not None:
                self._restart_seconds.append(self.last_s - self._lost_s)
                self._lost_s = None

    @property
    def elapsed_seconds(self) -> float:
        return 0.0 if self.began_s is None else self.last_s - self.began_s

    @property
    def seconds_to_gate(self) -> float | None:
        return _between(self._stopping_s, self._gate_s)

    @property
    def seconds_to_flat(self) -> float | None:
        return _between(self._stopping_s or self._gate_s or self._unreplaced_s, self._flat_s)

    @property
    def dropped_heartbeats(self) -> int | None:
        """Those that ended engines reported. None when the end of an engine is unknown."""
        return self._dropped_messages if all(engine.ended_at for engine in self.engines.values()) else None

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
        return PaperFacts(
            engines=tuple(self.engines[number] for number in sorted(self.engines)),
            restarts=self.restarts,
            venue_losses=self.venue_losses,
            bars_expected=bars_expected,
            bars_seen=bars_seen,
            bars_missed=bars_missed,
            heartbeats=self.heartbeats,
            dropped_heartbeats=self.dropped_heartbeats,
            feeds={name: self._feed(name) for name in FEEDS},
            reconciliations=Reconciliations(**self.reconciliations),
            final_reconciliation=self.final,
            final_account=account,
            stop=stop,
            latencies=Latencies(
                start_to_first_bar_seconds=_between(self.began_s, self._first_bar_s),
                order_round_trip_ms_median=round(median(self._round_trips_ms), 3) if self._round_trips_ms else None,
                order_round_trip_ms_max=max(self._round_trips_ms, default=None),
                event_lag_ms_max=self._lag_ms,
                restart_to_reconciled_seconds_max=max((round(one, 3) for one in self._restart_seconds), default=None),
            ),
            orders_unknown=counts.unknown if counts else None,
            orders_lost=counts.lost if counts else None,
            orders_by_venue=counts.by_venue if counts else None,
        )

    def _feed(self, name: FeedName) -> FeedFacts:
        return self._feeds[name].summary(sum(each[name] for each in self._messages.values()), self.last_s)


def summarize(events: Iterable[Event]) -> JournalSummary:
    summary = JournalSummary()
    for event in events:
        summary.apply(event)
    return summary


def _between(one: float | None, two: float | None) -> float | None:
    return None if one is None or two is None else round(max(0.0, two - one), 3)
