"""Counters, gauges and latencies of a running paper run: for live status, closing event and report."""

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.paper_messages import FEEDS, AccountSnapshot, EngineHeartbeat, FeedName
from opslab.model.primitives.instant import iso
from opslab.model.run.live_status import FeedStatus, PaperStatus, Phase
from opslab.model.run.metadata import Failure
from opslab.model.run.paper_summary import AccountFacts, EngineFacts, Latencies, PaperFacts, Reconciliations, StopFacts
from opslab.ports import Clock
from opslab.reconciliation.result import State
from opslab.runs.paper.engine_session import EngineSession
from opslab.runs.paper.feed_stats import FeedStats
from opslab.runs.paper.reconciler import FinishedReconciliation
from opslab.runs.paper.results import PaperCounts
from opslab.runs.planning.plan import PaperPlan
from opslab.store.runs.engine_order_log import EngineOrderLog


@dataclass(slots=True)
class _Marks:
    """Moments on the monotonic clock; None: not reached."""

    began: float
    first_bar: float | None = None
    first_heartbeat: float | None = None
    lost: float | None = None
    stop_requested: float | None = None
    gate_closed: float | None = None
    settled: float | None = None


class RunTelemetry:
    def __init__(self, plan: PaperPlan, clock: Clock, orders: EngineOrderLog) -> None:
        """orders: receives the order events of the engines."""
        self._plan = plan
        self._clock = clock
        self.orders = orders
        self.reported_actions = 0
        """Actions reported as events when they took place."""
        self._gated: Counter[str] = Counter()
        self.peak_memory_bytes = 0
        self._marks = _Marks(clock.monotonic_s())
        self._feeds: dict[FeedName, FeedStats] = {name: FeedStats() for name in FEEDS}
        self._messages: Counter[FeedName] = Counter()
        self._messages_before: Counter[FeedName] = Counter()
        """Of ended engines."""
        self._engines: list[EngineFacts] = []
        self._bars_before = 0
        self._actions = 0
        self._heartbeats = 0
        self._dropped_messages = 0
        self._venue_losses = 0
        self._lag_ms: float | None = None
        self._round_trips_ms = array("d")
        """From order creation to acceptance by the venue."""
        self._messages_per_second: float | None = None
        self._last_heartbeat: tuple[float, EngineHeartbeat] | None = None
        self.statement: AccountSnapshot | None = None
        """The last account snapshot of the venue."""
        self._reconciliations: Counter[str] = Counter()
        self._last_state: str | None = None
        self.final: State | None = None
        """State of the last reconciliation."""
        self._restart_seconds: list[float] = []
        self._reason: StopReason | None = None
        self._settled_by: str | None = None

    def _now(self) -> float:
        return self._clock.monotonic_s()

    # During the run.

    def order_event(self, payload: Mapping[str, Any]) -> None:
        self.orders.order_event(payload)

    def set_account(self, statement: AccountSnapshot | None) -> None:
        """Keep the venue's snapshot; None: the venue did not answer."""
        self.statement = statement or self.statement

    def heartbeat(self, heartbeat: EngineHeartbeat, statement: AccountSnapshot | None) -> None:
        now_s = self._now()
        self._heartbeats += 1
        self.peak_memory_bytes = max(self.peak_memory_bytes, heartbeat.memory_bytes)
        if heartbeat.event_lag_ms is not None:
            self._lag_ms = max(self._lag_ms or 0.0, heartbeat.event_lag_ms)
        self._round_trips_ms.extend(heartbeat.order_round_trips_ms)
        self.set_account(statement)
        if self._marks.first_heartbeat is None:
            self._marks.first_heartbeat = now_s
        if heartbeat.bars and self._marks.first_bar is None:
            self._marks.first_bar = now_s
        if self._last_heartbeat and self._last_heartbeat[1].number < heartbeat.number:
            before_s, before = self._last_heartbeat
            received = _messages(heartbeat) - _messages(before)
            self._messages_per_second = received / (now_s - before_s) if now_s > before_s else None
        self._last_heartbeat = (now_s, heartbeat)
        self._messages = self._messages_before + Counter(
            {"bars": heartbeat.bars, "quotes": heartbeat.quotes, "trades": heartbeat.trades}
        )

    def feed_changed(self, payload: Mapping[str, Any]) -> None:
        self._feeds[payload["feed"]].changed(payload["to"], payload["noticed_after_seconds"], self._now())

    def venue_lost(self) -> None:
        self._venue_losses += 1

    def stop_requested(self, reason: StopReason) -> None:
        self._reason = reason
        self._marks.stop_requested = self._marks.stop_requested or self._now()

    def gate_closed(self, reason: StopReason) -> None:
        self._reason = self._reason or reason
        self._marks.gate_closed = self._marks.gate_closed or self._now()

    def on_settled(self, by: str) -> None:
        """The account is in the state that `on_stop` requires."""
        self._settled_by = by
        self._marks.settled = self._now()

    @property
    def is_settled(self) -> bool:
        """Whether `on_stop` has been applied to the account."""
        return self._settled_by is not None

    def engine_ended(self, session: EngineSession, failure: Failure | None) -> None:
        self._bars_before += session.bars
        self._messages_before = self._messages.copy()
        self._last_heartbeat = None
        self._actions = max(self._actions, session.actions)
        if session.result:
            self._dropped_messages += session.result.dropped
            self._actions = max(self._actions, session.result.actions)
            self._gated.update(session.result.gated)
        if failure:
            self._marks.lost = self._now()
        self._engines.append(
            EngineFacts(
                number=session.number,
                started_at=session.started_at,
                ended_at=iso(self._clock.now_ns()),
                ended_by=session.ended_by,
                failure=f"{failure.kind}: {failure.message}" if failure else None,
            )
        )

    def reconciled(self, finished: FinishedReconciliation) -> None:
        state = finished.result.state
        self._last_state = state
        if finished.occasion == "final":
            self.final = state
            return
        self._reconciliations[state] += 1
        if finished.occasion == "startup" and self._marks.lost is not None:
            self._restart_seconds.append(self._now() - self._marks.lost)
            self._marks.lost = None

    # Summaries.

    def actions(self) -> int:
        """The highest count of any engine: a later engine does not repeat an earlier one's actions."""
        return max(self.reported_actions, self._actions)

    def gated(self) -> dict[str, int]:
        """Orders that the closed gate denied, by reason."""
        return dict(self._gated)

    def elapsed_seconds(self) -> float:
        return round(self._now() - self._marks.began, 6)

    def bars(self, session: EngineSession | None) -> int:
        return self._bars_before + (session.bars if session else 0)

    def live(self, session: EngineSession | None, phase: Phase) -> PaperStatus:
        heartbeat, statement = session.heartbeat if session else None, self.statement
        account = statement.account if statement else None
        held = next((one for one in (account.positions or ()) if one.side != "FLAT"), None) if account else None
        return PaperStatus(
            phase=phase,
            engine_number=session.number if session else len(self._engines),
            heartbeat_age_seconds=round(self._now() - session.last_heartbeat_s, 3)
            if session and session.last_heartbeat_s
            else None,
            feeds={
                name: FeedStatus(
                    state=heartbeat.feeds[name], messages=self._messages[name], age_seconds=heartbeat.ages_seconds[name]
                )
                for name in FEEDS
            }
            if heartbeat
            else {},
            sockets=heartbeat.sockets if heartbeat else {},
            queue=heartbeat.queue if heartbeat else None,
            messages_per_second=round(self._messages_per_second, 1) if self._messages_per_second is not None else None,
            event_lag_ms=heartbeat.event_lag_ms if heartbeat else None,
            memory_bytes=heartbeat.memory_bytes if heartbeat else None,
            open_orders=len(account.open_orders or ()) if account else None,
            position_side=(held.side if held else "FLAT") if account else None,
            position=(held.signed_quantity if held else "0") if account else None,
            reconciliation=self._last_state,
        )

    def summary(self, statement: AccountSnapshot | None, minutes: int | None, counts: PaperCounts) -> PaperFacts:
        """statement: the final account. minutes: candles that the venue had closed."""
        marks, on_stop = self._marks, self._plan.spec.paper.on_stop
        return PaperFacts(
            engines=tuple(self._engines),
            restarts=max(0, len(self._engines) - 1),
            bars_expected=self._plan.rows,
            bars_seen=self._bars_before,
            bars_missed=None if minutes is None else max(0, minutes - self._bars_before),
            heartbeats=self._heartbeats,
            dropped_heartbeats=self._dropped_messages,
            feeds={name: feed.summary(self._messages[name], self._now()) for name, feed in self._feeds.items()},
            reconciliations=Reconciliations(**self._reconciliations),
            final_reconciliation=self.final,
            final_account=final_account(statement) if statement else None,
            stop=StopFacts(
                reason=self._reason or "failure",
                on_stop=on_stop,
                seconds_to_gate=_between(marks.stop_requested, marks.gate_closed),
                seconds_to_flat=(
                    _between(marks.stop_requested or marks.gate_closed, marks.settled) if on_stop == "flatten" else None
                ),
            ),
            latencies=Latencies(
                start_to_first_bar_seconds=_between(marks.began, marks.first_bar),
                event_lag_ms_max=self._lag_ms,
                order_round_trip_ms_median=round(median(self._round_trips_ms), 3) if self._round_trips_ms else None,
                order_round_trip_ms_max=max(self._round_trips_ms, default=None),
                restart_to_reconciled_seconds_max=max((round(one, 3) for one in self._restart_seconds), default=None),
            ),
            orders_unknown=counts.unknown,
            orders_lost=counts.lost,
            orders_by_venue=counts.by_venue,
        )


def final_account(statement: AccountSnapshot) -> AccountFacts:
    held = [one for one in statement.account.positions or () if one.side != "FLAT"]
    return AccountFacts(
        open_orders=len(statement.account.open_orders or ()),
        position=held[0].signed_quantity if held else "0",
        flat=is_flat(statement),
    )


def is_flat(statement: AccountSnapshot) -> bool:
    """No open order and no position."""
    return not statement.account.open_orders and all(one.side == "FLAT" for one in statement.account.positions or ())


def _messages(heartbeat: EngineHeartbeat) -> int:
    return heartbeat.bars + heartbeat.quotes + heartbeat.trades


def _between(one: float | None, two: float | None) -> float | None:
    return None if one is None or two is None else round(max(0.0, two - one), 3)
