"""The plans of an engine child: the first line that it receives, and the vocabulary of its run."""

from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from opslab.model.messages.paper_messages import FeedName, OnStop
from opslab.model.messages.venue_messages import VenueEndpoints
from opslab.model.primitives.record import Record

SignalName = Literal["SIGINT", "SIGTERM", "SIGHUP"]
StopReason = Literal[
    "last_bar",
    "max_bars",
    "end_of_data",
    "max_seconds",
    "SIGINT",
    "SIGTERM",
    "SIGHUP",
    "kill_switch",
    "forced_close",
    "margin_call",
    "failure",
    "venue_lost",
    "engine_lost",
    "engine_ended",
    "node_ended",
    "owner_gone",
    "control_lost",
    "control_backlog",
]
"""Reason for the end of a paper run. Control records the engine's `last_bar` as the bound that the run reached."""

RESULT_FILES = ("orders", "fills", "positions")
BARS = "bars"
"""Rows of a paper run: each bar that its strategy received."""


class EngineAccount(Record):
    """The simulated account. Exact values are text."""

    starting_balances: tuple[str, ...]
    """In the engine's notation: `100000 USDT`."""
    leverage: int
    maker_fee: str
    taker_fee: str


class EngineLimits(Record):
    max_notional_per_order: str
    max_orders_per_second: int


class ScenarioPlan(Record):
    kind: Literal["scenario"] = "scenario"
    name: str
    version: str


class UserStrategyPlan(Record):
    """A user's strategy class, which a child process loads."""

    kind: Literal["user"] = "user"
    folder: str
    """Absolute folder of the spec; modules are searched here before the installed packages."""
    path: str
    config_path: str | None
    config: str
    """The values as exact JSON, see `model/primitives/exact_json.py`."""


LogLevelName = Literal["off", "error", "warning", "info", "debug"]
"""Lowest level of the log of engine and strategy that is stored."""
DEFAULT_LOG_LEVEL: LogLevelName = "warning"


class EnginePlan(Record):
    """Complete input of one backtest child."""

    kind: Literal["backtest"] = "backtest"
    run_id: str
    strategy: Annotated[ScenarioPlan | UserStrategyPlan, Field(discriminator="kind")]
    symbol: dict[str, Any]
    """The instrument's entry of the venue's exchangeInfo."""
    bar_type: str
    bars_path: str
    """Absolute folder of the dataset's bar files, in the engine's catalog layout."""
    work_path: str
    """Absolute folder for the engine's catalog overlay."""
    rows: int
    """Number of bars of the run."""
    start_ns: int | None
    """Close of the first bar of the run; None: the dataset's first."""
    end_ns: int | None
    """Close of the last bar of the run; None: the dataset's last."""
    account: EngineAccount
    limits: EngineLimits
    log_level: LogLevelName
    home: str
    """Absolute home of the lab; the child itself watches the kill switch below it."""


class LivePlan(Record):
    """Complete input of the engine child of a paper run."""

    kind: Literal["paper"] = "paper"
    run_id: str
    strategy: Annotated[ScenarioPlan | UserStrategyPlan, Field(discriminator="kind")]
    symbol: dict[str, Any]
    bar_type: str
    endpoints: VenueEndpoints
    """Endpoints of the loopback venue, with the throw-away key of this start."""
    rows: int
    """Number of bars of the whole run."""
    last_close_ns: int
    """`ts_event` of the last bar; the run ends after it."""
    number: int
    """Number of the engine within the run, from 1."""
    earlier_order_ids: tuple[str, ...] = ()
    """Client order ids that the strategy itself chose, of the orders of the earlier engines."""
    on_stop: OnStop
    silent_after_seconds: dict[FeedName, float]
    """A connected feed without a message for this time is silent."""
    acknowledges_bars: bool
    """Whether the engine acknowledges each bar to the venue (`pace: bar_done`)."""
    limits: EngineLimits
    speed: float | None = 1.0
    """Market minutes per minute; None: as fast as the engine allows."""
    order_rate_factor: int = 1
    """Market seconds in one second of the engine's clock: it multiplies the engine's rate limits."""
    log_level: LogLevelName = DEFAULT_LOG_LEVEL
    home: str | None = None
    """As in `EnginePlan`; None: no kill switch is watched."""


def parse_plan(line: bytes) -> EnginePlan | LivePlan:
    """Parse the first line that a child receives. Raises ValueError."""
    return _plans().validate_json(line)


def money(amount: Decimal, currency: str) -> str:
    return f"{amount:f} {currency}"


@cache
def _plans() -> TypeAdapter[EnginePlan | LivePlan]:
    return TypeAdapter(Annotated[EnginePlan | LivePlan, Field(discriminator="kind")])
