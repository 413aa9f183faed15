"""What crosses between control and the venue child.

Down, once, on standard input: a `VenuePlan`; later, one line each, as wanted:

    {"handled": n}    of the candles closed so far, n in all are dealt with; "all": every one of them

n counts as `VenueProgress.minutes` does, over restarts of venue and engine, and never falls: with `pace: handled` the
candle behind n others begins when n is told, or after `word_seconds`. What was closed before this start of the venue
counts as told. A replay that starts with `kline` also holds, between two candles, while nobody subscribes to candles.
The end of standard input says that control is gone: see `VenuePlan.on_orphan`.

Up, as JSON lines on an inherited descriptor: frames, each an object with one of the keys below.

    listening  {"listening": {...}}                     a `VenueEndpoints`: clients may come
    refused    {"refused": {"message":, "hint":}}       it cannot serve, and ends
    progress   {"progress": {...}}                      a `VenueProgress`, about once a second
    log        {"log": {"event":, ...}}                  something that an operator may want to know of
    ended      {"ended": {...}}                         a `VenueProgress`, last of all
"""

from decimal import Decimal
from typing import Any, Literal

from opslab.model.primitives.record import Record

FLATTEN_PREFIX = "opslab-flatten-"
"""How the ids begin of orders that the lab itself makes, past a strategy, to end what is open."""

ORPHAN_SECONDS = 15.0
"""What a plan says where nobody asked for another: see `VenuePlan.orphan_seconds`."""
FLATTEN_TIMEOUT_SECONDS = 8.0
"""How long a venue may take to make the account flat by itself: shorter than who asks through the door waits."""
CONTROL_SOCKET = "control.sock"
"""The control door, in the venue's folder."""

Pace = Literal["clock", "drained", "handled"]
"""What a minute waits for: the wall clock; clients that have taken what was sent; word that the engine is through."""
Start = Literal["kline", "any", "now"]
"""What the replay waits for: a subscription of candles, any subscription, nothing."""
OnOrphan = Literal["end", "flatten", "leave"]
"""What becomes of a venue whose control is gone: it ends; it sees that the account is flat, and ends; it ends when its
clients are gone."""


class VenueAccount(Record):
    """What an account is opened with. Fractions of the notional, in text."""

    balance: Decimal
    leverage: int
    maker_fee: Decimal
    taker_fee: Decimal


class VenueLimits(Record):
    """What a client may ask for. Binance's own figures."""

    weight_per_minute: int = 2400
    orders_per_10_seconds: int = 300
    orders_per_minute: int = 1200


class VenueKey(Record):
    """Throw-away: of this start of this venue, good for nothing else."""

    api_key: str
    api_secret: str


class VenuePlan(Record):
    """Everything one venue child needs to know."""

    name: str
    key: VenueKey
    host: str
    """A loopback address."""
    port: int
    """0: any free one."""
    token: str
    """Opens the control door."""
    symbol: dict[str, Any]
    """The instrument's entry of exchangeInfo."""
    dataset: str
    fingerprint: str
    home: str
    """Absolute folder of the lab's files."""
    ledger: str
    """Absolute folder of the account's ledger."""
    start_ms: int | None
    """Open of the first candle; None: the dataset's first."""
    end_ms: int | None
    """Open before which to end; None: the dataset's end."""
    max_bars: int | None
    speed: float | None
    """Minutes of the market in a minute; None: as fast as `pace` lets it."""
    pace: Pace
    start: Start
    ticks_per_minute: int
    latency_ms: int
    """How long an order is on its way."""
    account: VenueAccount
    limits: VenueLimits
    bar_done_timeout_seconds: float = 10.0
    """With `pace: handled`, how long after a candle was sent the next one waits for word of it."""
    on_orphan: OnOrphan = "end"
    orphan_seconds: float = ORPHAN_SECONDS
    """How long clients have to go by themselves, and to leave the account flat, once control is gone."""


class VenueRecord(Record):
    """`venue.json`, beside the ledger: what a venue was first started with, and has to be started with again."""

    venue_version: Literal["v1"] = "v1"
    name: str
    symbol: str
    dataset: str
    fingerprint: str
    start: str | None
    end: str | None
    """Window of the dataset, opens of candles."""
    ticks_per_minute: int
    account: VenueAccount
    run_id: str | None = None
    """The run that it belongs to; None: it is served alone."""


class VenueEndpoints(Record):
    """Where a client finds the venue, and the key it is let in with."""

    rest_url: str
    ws_url: str
    ws_trading_url: str
    api_key: str
    api_secret: str


class VenueProgress(Record):
    """How far the replay is, and what it has done."""

    state: Literal["holding", "replaying", "ended"]
    minutes: int
    """Candles closed, those before a restart included."""
    last_open: str | None
    """Open of the last closed candle."""
    messages: int
    """Sent to clients since the start."""
    clients: int
    open_orders: int
    position: str
    lag_ms: float
    """How far the replay is behind its clock."""
