"""The plan of a venue child, the first line that it receives, and what it reports.

A replay that starts with `kline` also holds, between two candles, while no client is subscribed to candles. Candles
closed before this start of the venue count as processed. The end of standard input means that the control process has
ended: see `VenuePlan.on_orphan`.
"""

from decimal import Decimal
from typing import Any, Literal

from opslab.model.primitives.record import Record

FLATTEN_PREFIX = "opslab-flatten-"
"""Prefix of the client order ids of the lab's own orders, which close a position without a strategy."""

ORPHAN_SECONDS = 15.0
"""Default of `VenuePlan.orphan_seconds`."""
FLATTEN_TIMEOUT_SECONDS = 8.0
"""Time allowed for a venue to flatten the account; shorter than the timeout of the control clients that request it."""
CONTROL_SOCKET = "control.sock"
"""Name of the control socket in the venue's folder."""

Pace = Literal["clock", "drained", "bar_done"]
"""Condition for the next minute: the wall clock; clients have read all messages; the engine has processed the bar."""
Start = Literal["kline_1m", "kline", "any", "now"]
"""Condition for the start of the replay: a subscription to 1-minute candles, to candles, any subscription, none."""
OnOrphan = Literal["end", "flatten", "leave"]
"""What a venue does when its control process has ended: end; flatten the account and end; end when its clients have
disconnected."""


class VenueAccount(Record):
    """Opening values of an account. Fees are fractions of the notional."""

    balance: Decimal
    leverage: int
    maker_fee: Decimal
    taker_fee: Decimal


class VenueLimits(Record):
    """Rate limits of a client. Binance's own figures."""

    weight_per_minute: int = 2400
    orders_per_10_seconds: int = 300
    orders_per_minute: int = 1200


class VenueKey(Record):
    """A throw-away key, valid only for this start of this venue."""

    api_key: str
    api_secret: str


class VenuePlan(Record):
    """Complete input of one venue child."""

    name: str
    key: VenueKey
    host: str
    """A loopback address."""
    port: int
    """0: any free port."""
    token: str
    """Authorizes requests on the control socket."""
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
    """Open time at which the replay ends, exclusive; None: the dataset's end."""
    max_bars: int | None
    speed: float | None
    """Market minutes per minute; None: as fast as `pace` allows."""
    pace: Pace
    start: Start
    ticks_per_minute: int
    latency_ms: int
    """Order latency."""
    account: VenueAccount
    limits: VenueLimits
    bar_done_timeout_seconds: float = 10.0
    """With `pace: bar_done`, the longest wait for `bars_done` after a candle was sent."""
    on_orphan: OnOrphan = "end"
    orphan_seconds: float = ORPHAN_SECONDS
    """Time for clients to flatten the account and disconnect by themselves, after the control process has ended."""


class VenueRecord(Record):
    """`venue.json`, beside the ledger: the options of the first start, which every later start must have too."""

    venue_version: Literal["v1"] = "v1"
    name: str
    symbol: str
    dataset: str
    fingerprint: str
    start: str | None
    end: str | None
    """`start` and `end`: window of the dataset, open times of candles."""
    ticks_per_minute: int
    account: VenueAccount
    run_id: str | None = None
    """The run that the venue belongs to; None: it is served alone."""


class VenueEndpoints(Record):
    """The venue's addresses and key, for a client."""

    rest_url: str
    ws_url: str
    ws_trading_url: str
    api_key: str
    api_secret: str


class VenueProgress(Record):
    """Progress of the replay, and counts."""

    state: Literal["holding", "replaying", "ended"]
    minutes: int
    """Number of closed candles, those before a restart included."""
    last_open: str | None
    """Open of the last closed candle."""
    messages: int
    """Number of messages sent to clients since the start."""
    clients: int
    open_orders: int
    position: str
    lag_ms: float
    """Delay of the replay against its clock."""
    failed_ledger_writes: int = 0
    """Transactions that could not be written since the start: they were rejected and changed nothing."""
