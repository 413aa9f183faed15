"""What an engine reports of a paper run, as it crosses the pipe and as the journal takes it."""

from typing import Literal

from opslab.model.primitives.record import Record

FeedName = Literal["bars", "quotes", "trades"]
FEEDS: tuple[FeedName, ...] = ("bars", "quotes", "trades")
FeedState = Literal["live", "silent", "disconnected", "recovering"]
"""`silent`: connected, without a message for longer than the threshold. `recovering`: connected, no message yet."""
OnStop = Literal["flatten", "leave"]


class PositionState(Record):
    """Quantities, prices and amounts of this record and the next two are text, plain digits."""

    instrument: str
    """The venue's symbol."""
    side: Literal["LONG", "SHORT", "FLAT"]
    signed_quantity: str
    average_entry_price: str | None


class OrderState(Record):
    client_order_id: str
    instrument: str
    side: str
    type: str
    quantity: str
    filled_quantity: str
    price: str | None
    status: str
    """The engine's status names; see `reconciliation/snapshot.py`."""


class BalanceState(Record):
    asset: str
    total: str
    free: str
    locked: str


class AccountState(Record):
    """An account at an instant: a snapshot document of `tc reconcile`. A part is None when it is not known."""

    snapshot_version: Literal["v1"] = "v1"
    as_of: str
    positions: tuple[PositionState, ...] | None
    open_orders: tuple[OrderState, ...] | None
    balances: tuple[BalanceState, ...] | None


class InFlightUpdate(Record):
    """An order without an acknowledgement yet, or a fill of the last moments, as the engine knows it."""

    kind: Literal["order", "fill"]
    client_order_id: str
    age_seconds: float


class NodeSnapshot(Record):
    """The account as the node has it."""

    request_number: int
    """Number of the request that this answers; 0: the final snapshot, after the engine ended its work."""
    account: AccountState
    in_flight: tuple[InFlightUpdate, ...]
    venue_order_ids: dict[str, str]
    """Client order id to venue order id, of the open orders: the adapter encodes client order ids on the wire."""


class QueueState(Record):
    state: str
    """`normal`, or the conditions that the engine's queue monitor reports."""
    depth: int | None


class EngineHeartbeat(Record):
    """State of the node, once a second, sent by the engine's own thread: none is sent while that is blocked."""

    number: int
    """From 1, of this engine."""
    sent_at: str
    bars: int
    quotes: int
    trades: int
    last_bar_ns: int | None
    """`ts_event` of the last bar."""
    ages_seconds: dict[FeedName, float | None]
    """Seconds since the last message, on a monotonic clock; None: no message yet."""
    feeds: dict[FeedName, FeedState]
    sockets: dict[str, str]
    """The engine's name of each socket to its state."""
    queue: QueueState
    gate_closed: bool
    orders_gated: int
    memory_bytes: int
    event_lag_ms: float | None
    """Longest time since the last heartbeat from the receipt of a market message to its handler."""
    timer_lag_ms: float
    """Delay of this heartbeat."""
    order_round_trips_ms: tuple[float, ...] = ()
    """Time from creation to acceptance, of each order accepted since the last heartbeat."""
    dropped_messages: int = 0
    """Number of messages that control did not read in time: telemetry, such as an earlier heartbeat."""
    node: NodeSnapshot


class Flattened(Record):
    flat: bool
    """Whether the venue confirmed it. With `on_stop: leave` nothing is done, and the venue is not asked."""
    rounds: int
    """Number of rounds of closing and cancelling."""
    seconds: float


class AccountSnapshot(Record):
    """The account as the venue has it; no fault affects it. Client order ids as on the wire."""

    account: AccountState
    venue_order_ids: dict[str, str]
    transactions: int
    """Number of transactions in the ledger."""
    orders: int
    """Number of orders ever accepted."""
    orders_external: int | None = None
    """Of these, orders that neither an engine, nor the lab, nor the exchange placed. None: not counted."""
    fills: int
    replay: Literal["holding", "replaying", "ended"]
    minutes: int
    """Number of closed candles."""
    messages: int
    """Number of messages sent to clients."""
    can_flatten: bool = True
    """Whether the venue flattens the account itself on request: not while the fault `refuse-flatten` is active."""
