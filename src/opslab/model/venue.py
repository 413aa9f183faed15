"""What crosses between control and the venue child.

Down, once, on standard input: a `VenuePlan`; later, one line each, `{"handled": n}`: the engine has dealt with n bars.
Up, as JSON lines on an inherited descriptor: frames, each an object with one of the keys below.

    listening  {"listening": {...}}                     a `VenueEndpoints`: clients may come
    refused    {"refused": {"message":, "hint":}}       it cannot serve, and ends
    progress   {"progress": {...}}                      a `VenueProgress`, about once a second
    log        {"log": {"what":, ...}}                  something that an operator may want to know of
    ended      {"ended": {...}}                         a `VenueProgress`, last of all
"""

from decimal import Decimal
from typing import Any, Literal

from opslab.model.record import Record

Pace = Literal["clock", "drained", "handled"]
"""What a minute waits for: the wall clock; clients that have taken what was sent; word that the engine is through."""
Start = Literal["kline", "any", "now"]
"""What the replay waits for: a subscription of candles, any subscription, nothing."""


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
