"""A running paper run: its live status, and the facts for its closing event."""

from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.paper_messages import (
    FEEDS,
    AccountSnapshot,
    AccountState,
    EngineHeartbeat,
    FeedName,
    PositionState,
)
from opslab.model.primitives.instant import NS_PER_SECOND, iso, parse_iso
from opslab.model.run.live_status import FeedStatus, PaperStatus, Phase
from opslab.model.run.paper_summary import AccountFacts, PaperFacts
from opslab.model.run.results import OrderEventFields
from opslab.model.spec.run_spec import UserStrategyRef
from opslab.ports import Clock
from opslab.runs.paper.counts.paper_counts import PaperCounts
from opslab.runs.paper.engine_session import EngineSession
from opslab.runs.paper.journal_summary import JournalSummary
from opslab.runs.planning.plan import PaperPlan
from opslab.runs.record.live_status import LiveValues
from opslab.store.runs.engine_order_log import EngineOrderLog


class RunTelemetry:
    def __init__(self, plan: PaperPlan, clock: Clock, orders: EngineOrderLog, facts: JournalSummary) -> None:
        """orders: receives the order events of the engines. facts: of what control has appended to the journal."""
        self._plan = plan
        self._clock = clock
        self.orders = orders
        self.facts = facts
        self._began_s = clock.monotonic_s()
        self._engines_ended = 0
        self._bars_before = 0
        self._received = 0
        self._messages_per_second: float | None = None
        self._last_heartbeat: tuple[float, EngineHeartbeat] | None = None
        self._statement: AccountSnapshot | None = None
        """The last account snapshot of the venue."""
        self.is_settled = False
        """Whether `on_stop` has been applied to the account."""

    # During the run.

    def order_event(self, payload: OrderEventFields) -> None:
        self.orders.order_event(payload)

    def set_account(self, statement: AccountSnapshot | None) -> None:
        """Keep the venue's snapshot; None: the venue did not answer."""
        self._statement = statement or self._statement

    def heartbeat(self, heartbeat: EngineHeartbeat, statement: AccountSnapshot | None) -> None:
        now_s = self._clock.monotonic_s()
        self.set_account(statement)
        if self._last_heartbeat and self._last_heartbeat[1].number < heartbeat.number:
            before_s, before = self._last_heartbeat
            received = _messages(heartbeat) - _messages(before)
            self._messages_per_second = received / (now_s - before_s) if now_s > before_s else None
        self._last_heartbeat = (now_s, heartbeat)

    def engine_ended(self, session: EngineSession) -> None:
        self._engines_ended += 1
        self._bars_before += session.bars
        self._received += max(session.received, session.heartbeat.bars if session.heartbeat else 0)
        self._last_heartbeat = None

    # Summaries.

    def elapsed_seconds(self) -> float:
        return round(self._clock.monotonic_s() - self._began_s, 6)

    def bars(self, session: EngineSession | None) -> int:
        return self._bars_before + (session.bars if session else 0)

    def live(self, session: EngineSession | None, phase: Phase) -> LiveValues:
        """Of the run as it is now."""
        reported = 0 if isinstance(self._plan.spec.strategy, UserStrategyRef) else self.facts.actions
        return LiveValues(
            bars_seen=self.bars(session),
            actions=reported,
            orders=self.orders.counters(),
            paper=self._status(session, phase),
        )

    def _status(self, session: EngineSession | None, phase: Phase) -> PaperStatus:
        heartbeat, statement = session.heartbeat if session else None, self._statement
        account = statement.account if statement else None
        position = open_position(account) if account else None
        counters = self.facts.counters()
        return PaperStatus(
            phase=phase,
            engine_number=session.number if session else self._engines_ended,
            heartbeat_age_seconds=round(self._clock.monotonic_s() - session.last_heartbeat_s, 3)
            if session and session.last_heartbeat_s
            else None,
            feeds={name: _feed_status(heartbeat, name, counters.messages[name]) for name in FEEDS} if heartbeat else {},
            sockets=heartbeat.sockets if heartbeat else {},
            queue=heartbeat.queue if heartbeat else None,
            messages_per_second=round(self._messages_per_second, 1) if self._messages_per_second is not None else None,
            event_lag_ms=heartbeat.event_lag_ms if heartbeat else None,
            memory_bytes=heartbeat.memory_bytes if heartbeat else None,
            open_orders=len(account.open_orders or ()) if account else None,
            position_side=(position.side if position else "FLAT") if account else None,
            position=(position.signed_quantity if position else "0") if account else None,
            reconciliation=counters.last_reconciliation_state,
            failed_ledger_writes=counters.failed_ledger_writes,
            account_at=account.as_of if account else None,
            gate_open=heartbeat is not None and not heartbeat.gate_closed and not self.facts.is_gate_closed,
            counters=counters,
        )

    def summary(
        self, reason: StopReason, statement: AccountSnapshot | None, minutes: int | None, counts: PaperCounts
    ) -> PaperFacts:
        """reason: for the end of the run. statement: the final account. minutes: candles that the venue had closed."""
        return self.facts.summary(
            bars_expected=self._plan.rows,
            bars_seen=self._bars_before,
            bars_missed=None if minutes is None else max(0, minutes - self._received),
            account=final_account(statement) if statement else None,
            stop=self.facts.stop(reason, self._plan.spec.paper.on_stop),
            counts=counts,
        )


def final_account(statement: AccountSnapshot) -> AccountFacts:
    position = open_position(statement.account)
    return AccountFacts(
        open_orders=len(statement.account.open_orders or ()),
        position=position.signed_quantity if position else "0",
        flat=is_flat(statement),
    )


def is_flat(statement: AccountSnapshot) -> bool:
    """No open order and no position."""
    return not statement.account.open_orders and open_position(statement.account) is None


def open_position(account: AccountState) -> PositionState | None:
    """None: flat. An account in one-way mode has one position at most."""
    return next((position for position in account.positions or () if position.side != "FLAT"), None)


def _feed_status(heartbeat: EngineHeartbeat, name: FeedName, messages: int) -> FeedStatus:
    age_seconds = heartbeat.ages_seconds[name]
    at = None if age_seconds is None else iso(parse_iso(heartbeat.sent_at) - int(age_seconds * NS_PER_SECOND))
    return FeedStatus(state=heartbeat.feeds[name], messages=messages, age_seconds=age_seconds, last_message_at=at)


def _messages(heartbeat: EngineHeartbeat) -> int:
    return heartbeat.bars + heartbeat.quotes + heartbeat.trades
