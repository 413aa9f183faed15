"""What crosses between control, engine and venue of a paper run, and what its journal keeps of it.

Up from the engine, besides the frames of `model/messages/engine_messages.py`:

    heartbeat  {"heartbeat": {...}}         an `EngineHeartbeat`, once a second; telemetry, may be dropped
    snapshot   {"snapshot": {...}}          a `NodeSnapshot`: the answer to a word, and once at the end
    handled    {"handled": n}               bar n of this engine is dealt with and its orders are acknowledged
    flattened  {"flattened": {...}}         a `Flattened`: what the engine did to leave the account as `on_stop` wants

At the end they come as `flattened`, `snapshot` 0, `ended`, `result`. Where the engine cannot flatten, or its node never
ran, that is done past it when the node has stopped: `flattened` then comes behind the last snapshot, if there is one.

Down to the engine, one JSON object a line, behind the plan:

    {"snapshot": n}    say what you have now; n comes back
    {"stop": why}      close the gate, leave the account as `on_stop` wants, end
    {"halt": switch}   the kill switch is active: close the gate, flatten whatever `on_stop` says, end
"""

from typing import Literal

from opslab.model.primitives.record import Record

FeedName = Literal["bars", "quotes", "trades"]
FEEDS: tuple[FeedName, ...] = ("bars", "quotes", "trades")
FeedState = Literal["live", "silent", "disconnected", "recovering"]
"""`silent`: connected, and nothing for longer than the threshold. `recovering`: connected, and nothing yet."""
OnStop = Literal["flatten", "leave"]


class PositionState(Record):
    """Quantities and prices of this and the next two are text, as plain digits."""

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
    """In the engine's words; see `reconciliation/snapshot.py`."""


class BalanceState(Record):
    asset: str
    total: str
    free: str
    locked: str


class AccountState(Record):
    """An account at an instant: a snapshot document of `tc reconcile`. A part is None when it could not be asked."""

    snapshot_version: Literal["v1"] = "v1"
    as_of: str
    positions: tuple[PositionState, ...] | None
    open_orders: tuple[OrderState, ...] | None
    balances: tuple[BalanceState, ...] | None


class InFlightUpdate(Record):
    """An order that waits for its answer, or a fill that just took place, as the engine knows it."""

    kind: Literal["order", "fill"]
    client_order_id: str
    age_seconds: float


class NodeSnapshot(Record):
    """What the node believes."""

    request_number: int
    """The number of the word that it answers; 0: the last one, when the engine has ended its work."""
    account: AccountState
    in_flight: tuple[InFlightUpdate, ...]
    venue_order_ids: dict[str, str]
    """Client order id to the venue's, of the open orders: on the wire the adapter spells client order ids its way."""


class QueueState(Record):
    state: str
    """`normal`, or what the engine's monitor says of it."""
    depth: int | None


class EngineHeartbeat(Record):
    """How the node is, once a second, told by the engine's own thread: while that is blocked there is none."""

    number: int
    """From 1, of this engine."""
    sent_at: str
    bars: int
    quotes: int
    trades: int
    last_bar_ns: int | None
    """`ts_event` of the last bar."""
    ages_seconds: dict[FeedName, float | None]
    """Since the last message, on a monotonic clock; None: none came yet."""
    feeds: dict[FeedName, FeedState]
    sockets: dict[str, str]
    """The engine's name of a socket to its state."""
    queue: QueueState
    gate_closed: bool
    orders_gated: int
    memory_bytes: int
    event_lag_ms: float | None
    """The longest since the last beat from the receipt of a market message to its handler."""
    timer_lag_ms: float
    """By how much this beat is late."""
    order_round_trips_ms: tuple[float, ...]
    """From the making of an order to its acceptance, of those accepted since the last beat."""
    node: NodeSnapshot


class Flattened(Record):
    flat: bool
    """Whether the venue said so. With `on_stop: leave` nothing is done, and nothing asked."""
    rounds: int
    """How often closing and cancelling was asked for."""
    seconds: float


class AccountSnapshot(Record):
    """What the venue says of the account, from its own book, past every fault. Client order ids as on the wire."""

    account: AccountState
    venue_order_ids: dict[str, str]
    transactions: int
    """In the ledger."""
    orders: int
    """Ever accepted."""
    fills: int
    replay: Literal["holding", "replaying", "ended"]
    minutes: int
    """Candles closed."""
    messages: int
    """Sent to clients."""
