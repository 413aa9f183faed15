"""Events of the engine of a run, and of the shutdown of its account."""

from typing import Any, Literal, TypedDict

from pydantic import ConfigDict, Field

from opslab.model.journal.journal_event import RUNNING, JournalEvent, Kinds, by_name
from opslab.model.journal.venue_events import LedgerWriteFailed, MarginCall, VenueLost, VenueStarted
from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.forced_close import ForcedCloseKind
from opslab.model.messages.paper_messages import (
    AccountSnapshot,
    AccountState,
    EngineHeartbeat,
    FeedName,
    FeedState,
    OnStop,
)
from opslab.model.run.halt_summary import SwitchState
from opslab.model.run.metadata import Failure
from opslab.model.run.subscription import Subscription, SubscriptionCode

GateClosedBy = Literal["engine", "no_engine", "engine_ended"]

# Sent by an engine. Control adds `engine_number` to those of a later engine.


class EngineStarted(JournalEvent):
    """The engine has started."""

    EVENT = "engine_started"
    STATUSES = RUNNING

    engine: Literal["nautilus"]
    version: str
    engine_number: int = 1
    """Number of the engine of a paper run; without it, the first. So too in the events below."""


class ScenarioRegistered(JournalEvent):
    """The strategy is registered in the engine."""

    EVENT = "scenario_registered"
    STATUSES = RUNNING

    name: str | None = None
    """Of a scenario, as `version`."""
    version: str | None = None
    path: str | None = None
    """Of a user strategy, as `config_path`."""
    config_path: str | None = None
    bar_type: str
    engine_number: int = 1


class ScenarioActionTriggered(JournalEvent):
    """The action of `ops_smoke_demo`."""

    EVENT = "scenario_action_triggered"
    STATUSES = RUNNING

    bar: int
    """Number of the bar, from 1."""
    ts_event: int
    """Close of the bar, nanoseconds since 1970."""
    close: str
    """Price as text."""
    engine_number: int = 1


class SubscriptionUnserved(JournalEvent):
    """The strategy subscribed to data, or requested some, that the run cannot serve, or not truthfully."""

    EVENT = "subscription_unserved"
    STATUSES = RUNNING

    code: SubscriptionCode
    """Of the [warning](run.md#warnings) that the run will have."""
    kind: str
    """As in the engine's method `subscribe_<kind>`; of a request the name of the method, such as `request_bars`."""
    subject: str
    """The bar type, the instrument, or the type of the data."""
    engine_number: int = 1


class FeedStateChanged(JournalEvent):
    """A [feed state](paper.md#feed-states) changed."""

    EVENT = "feed_state_changed"
    STATUSES = RUNNING

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    number: int
    """From 1, of this engine."""
    feed: FeedName
    from_state: FeedState = Field(alias="from")
    to: FeedState
    noticed_after_seconds: float | None
    """Time from the change until it was noticed."""
    age_seconds: float | None
    """Time since its last message; `null` before the first."""
    engine_number: int = 1


class SocketStateChanged(JournalEvent):
    """A socket of the engine was lost or reconnected."""

    EVENT = "socket_state_changed"
    STATUSES = RUNNING

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    socket: str
    """The engine's name of it."""
    from_state: str = Field(alias="from")
    to: str
    noticed_after_seconds: float
    """Time from the change until it was noticed."""
    engine_number: int = 1


class BarOutOfOrder(JournalEvent):
    """A bar arrived that is not newer than the one before."""

    EVENT = "bar_out_of_order"
    STATUSES = RUNNING

    ts_event: int
    """Nanoseconds since 1970, as `newest`."""
    newest: int
    """`ts_event` of the newest bar so far."""
    skipped: bool
    """Whether the bar was withheld from the strategy."""
    engine_number: int = 1


class GateClosed(JournalEvent):
    """From here on no order of the strategy is sent."""

    EVENT = "gate_closed"
    STATUSES = RUNNING

    reason: StopReason
    engine_number: int = 1


class ForcedClose(JournalEvent):
    """The exchange closed the position by force: the client order id of the order marks it. The engine closes its gate,
    and the run ends."""

    EVENT = "forced_close"
    STATUSES = RUNNING

    kind: ForcedCloseKind
    client_order_id: str
    side: str
    """Of the order."""
    quantity: str
    engine_number: int = 1


class EngineOrderEvent(JournalEvent):
    """One event of one order, see [below](#order-events). The other fields are the engine's own."""

    EVENT = "order_event"
    STATUSES = RUNNING

    model_config = ConfigDict(extra="allow")

    type: str
    """The engine's name of the event."""

    def payload(self) -> dict[str, Any]:
        return {**super().payload(), **(self.model_extra or {})}


class OrderGated(JournalEvent):
    """After the kill switch, the strategy called a method that creates or changes an order."""

    EVENT = "order_gated"
    STATUSES = RUNNING

    call: str
    """The method."""
    orders: int | None = None
    """Number of orders of a list; the fields below are those of one order."""
    client_order_id: str | None = None
    side: str | None = None
    order_type: str | None = None
    quantity: str | None = None
    price: str | None = None


# Written by control.


class DataVerified(JournalEvent):
    """The dataset's bytes match its record."""

    EVENT = "data_verified"
    STATUSES = RUNNING

    dataset: str
    """Name of the dataset."""
    fingerprint: str


class EngineEnd(JournalEvent):
    """What an engine of a paper run did until its end."""

    engine_number: int
    bars: int = 0
    """Number of bars that it received."""
    actions: int = 0
    """Number of actions of a scenario."""
    gated: dict[str, int] = Field(default_factory=dict)
    """Requests that its closed gate denied: reason to number."""
    dropped_messages: int = 0
    """Number of messages that control did not read in time: telemetry."""


class EngineEnded(EngineEnd):
    """An engine of a paper run ended as requested."""

    EVENT = "engine_ended"
    STATUSES = RUNNING

    subscriptions: tuple[Subscription, ...] = ()
    """Of its strategy, each with the number of items received."""


class EngineLost(EngineEnd):
    """An engine of a paper run ended unexpectedly."""

    EVENT = "engine_lost"
    STATUSES = RUNNING

    ended_by: str | None = None
    """Code, as in the section [`paper`](paper-results.md#the-section-paper)."""
    failure: Failure
    memory_bytes: int | None = None
    """As of its last heartbeat."""
    last_events: tuple[dict[str, Any], ...] = ()
    """Its last events: name and identifying fields."""


class EngineRestarted(JournalEvent):
    """A new engine is started."""

    EVENT = "engine_restarted"
    STATUSES = RUNNING

    engine_number: int
    max_engines: int
    """Maximum number of engines."""


class PaperHeartbeat(JournalEvent):
    """State of the node, once a second."""

    EVENT = "paper_heartbeat"
    STATUSES = RUNNING

    engine_number: int
    heartbeat: EngineHeartbeat
    """The node's report."""
    venue: AccountSnapshot | None
    """The venue's account snapshot at the same moment; `null` when the venue did not respond."""


class RunStopping(JournalEvent):
    """Control requests the engine to end."""

    EVENT = "run_stopping"
    STATUSES = RUNNING

    reason: StopReason
    on_stop: OnStop


class TradingHalted(JournalEvent):
    """The [kill switch](kill-switch.md) closed the gate."""

    EVENT = "trading_halted"
    STATUSES = RUNNING

    scope: Literal["run", "all"]
    """Scope of the switch that stopped the run."""
    activated_at: str | None
    """UTC, as `seen_at` and `gate_closed_at`; `null`: the switch could not be read."""
    seen_at: str
    """When control saw the switch."""
    gate_closed_at: str
    seconds_to_gate: float
    """From `activated_at`, else from `seen_at`, until the gate was closed."""
    by: GateClosedBy
    """`engine`, or the reason why the gate is certainly closed without a report of the engine."""
    run_switch: SwitchState | None = None
    """State of the run's own switch at that time."""
    all_switch: SwitchState | None = None
    """State of the switch of all runs."""


class OrdersCanceled(JournalEvent):
    """The open orders were canceled."""

    EVENT = "orders_canceled"
    STATUSES = RUNNING

    by: Literal["engine", "venue"]
    reason: StopReason
    open_orders: int | None
    """Number at the venue afterwards; `null` when the venue did not respond."""
    rounds: int | None = None
    """Rounds of the engine."""
    seconds: float | None = None
    """Time that the engine needed."""
    canceled: int | None = None
    """Number of orders that the venue canceled."""
    closed: str | None = None
    """Quantity that the venue closed."""
    seconds_to_no_orders: float | None = None
    """In a halt, from its beginning until no order was open; as `seconds_to_flat` until flat."""
    seconds_to_flat: float | None = None


class CancelDetails(TypedDict, total=False):
    """The optional fields of `OrdersCanceled`."""

    rounds: int
    seconds: float
    canceled: int
    closed: str
    seconds_to_no_orders: float | None
    seconds_to_flat: float | None


class PositionsFlattened(JournalEvent):
    """The position was closed."""

    EVENT = "positions_flattened"
    STATUSES = RUNNING

    by: Literal["engine", "venue"]
    reason: StopReason
    flat: bool | None
    """`null` when the venue did not respond."""
    venue: AccountState | None
    """The venue's own account snapshot."""


EngineEvent = (
    EngineStarted
    | ScenarioRegistered
    | ScenarioActionTriggered
    | SubscriptionUnserved
    | FeedStateChanged
    | SocketStateChanged
    | BarOutOfOrder
    | GateClosed
    | ForcedClose
)
"""What an engine sends, apart from order events."""
ENGINE_EVENTS: dict[str, type[EngineEvent]] = {
    kind.EVENT: kind
    for kind in (
        EngineStarted,
        ScenarioRegistered,
        ScenarioActionTriggered,
        SubscriptionUnserved,
        FeedStateChanged,
        SocketStateChanged,
        BarOutOfOrder,
        GateClosed,
        ForcedClose,
    )
}
CONTROL_EVENTS: Kinds = by_name(
    DataVerified,
    VenueStarted,
    VenueLost,
    LedgerWriteFailed,
    MarginCall,
    EngineEnded,
    EngineLost,
    EngineRestarted,
    PaperHeartbeat,
    RunStopping,
    TradingHalted,
    OrdersCanceled,
    PositionsFlattened,
)
ORDER_EVENTS: Kinds = by_name(EngineOrderEvent, OrderGated)
