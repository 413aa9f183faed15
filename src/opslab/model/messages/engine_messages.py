"""What crosses between control and the engine child.

Down, once, on standard input: an `EnginePlan`. Up, as JSON lines on an inherited descriptor: frames, each an object
with one of the keys below.

    event     {"event": name, "payload": {...}}          to the journal, in order
    progress  {"progress": {"bars": n, "actions": n}}    telemetry, may be dropped
    ended     {"ended": {"bars": n, "early": bool}}      the run is over, rows follow; early: before the data was
    row       {"row": {...}, "file": "orders"}           one line of a canonical result, in its order; in paper only
                                                         orders that the engine denied, as soon as it has
    result    {"result": {"counters": ..., "cost": ...}} once, last, when the engine ended by itself
    failure   {"failure": {"kind": ..., ...}}            why it did not
    halted    {"halted": {"switch": ..., ...}}           once: its watch found the kill switch active, see `Halted`
"""

from decimal import Decimal
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
    "failure",
    "venue_lost",
    "engine_lost",
    "engine_ended",
    "node_ended",
    "owner_gone",
    "control_lost",
    "control_backlog",
]
"""Why a paper run ends. The engine sends `last_bar`, which control records as the bound that the run reached."""

RESULT_FILES = ("orders", "fills", "positions")
BARS = "bars"
"""Rows of a paper run: each bar that its strategy was given."""


class EngineAccount(Record):
    """The simulated account. Text where exactness matters."""

    starting_balances: tuple[str, ...]
    """As the engine spells money: `100000 USDT`."""
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
    """A user's class, to be loaded in a child."""

    kind: Literal["user"] = "user"
    folder: str
    """Absolute folder of the spec, where modules are looked for before the installed packages."""
    path: str
    config_path: str | None
    config: str
    """The values as exact JSON, see `model/primitives/exact_json.py`."""


class EnginePlan(Record):
    """Everything one backtest child needs to know."""

    kind: Literal["backtest"] = "backtest"
    run_id: str
    strategy: Annotated[ScenarioPlan | UserStrategyPlan, Field(discriminator="kind")]
    symbol: dict[str, Any]
    """The instrument's entry of the venue's exchangeInfo."""
    bar_type: str
    bars_path: str
    """Absolute folder of the dataset's bar files, in the engine's catalog layout."""
    work_path: str
    """Absolute folder the engine may write its catalog overlay into."""
    rows: int
    """Bars the run is to see."""
    start_ns: int | None
    """Close of the first bar to use; None: the dataset's first."""
    end_ns: int | None
    """Close of the last bar that may be used; None: the dataset's last."""
    account: EngineAccount
    limits: EngineLimits
    order_events: bool
    """False keeps order events out of the stream."""
    home: str
    """Absolute; below it stands the kill switch that the child watches by itself."""


class LivePlan(Record):
    """Everything the engine child of a paper run needs to know."""

    kind: Literal["paper"] = "paper"
    run_id: str
    strategy: Annotated[ScenarioPlan | UserStrategyPlan, Field(discriminator="kind")]
    symbol: dict[str, Any]
    bar_type: str
    endpoints: VenueEndpoints
    """Of the loopback venue, with the throw-away key of this start."""
    rows: int
    """Bars that the whole run is to see."""
    last_close_ns: int
    """`ts_event` of the last of them: behind it the run is over."""
    number: int
    """From 1: which engine of the run this is."""
    on_stop: OnStop
    silent_after_seconds: dict[FeedName, float]
    """Without a message for so long a connected feed is silent."""
    acknowledges_bars: bool
    """Whether the venue waits for word of each bar."""
    limits: EngineLimits
    order_events: bool
    home: str | None = None
    """As of a backtest; None: there is no kill switch to watch."""


class Halted(Record):
    """An engine's word that the kill switch stopped it."""

    switch: dict[str, Any]
    """What was found: the fields of a `Switch`."""
    gate_closed_at: str
    """By the engine's process, as soon as it knew. UTC."""


def parse_plan(line: bytes) -> EnginePlan | LivePlan:
    """What a child was told first."""
    return _PLANS.validate_json(line)


def money(amount: Decimal, currency: str) -> str:
    return f"{amount:f} {currency}"


_PLANS: TypeAdapter[EnginePlan | LivePlan] = TypeAdapter(Annotated[EnginePlan | LivePlan, Field(discriminator="kind")])
