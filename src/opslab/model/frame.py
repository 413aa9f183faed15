"""What crosses between control and the engine child.

Down, once, on standard input: an `EnginePlan`. Up, as JSON lines on an inherited descriptor: frames, each an object
with one of the keys below.

    event     {"event": name, "payload": {...}}          to the journal, in order
    progress  {"progress": {"bars": n}}                  telemetry, may be dropped
    ended     {"ended": {"bars": n, "early": bool}}      the run is over, rows follow; early: before the data was
    row       {"row": {...}, "file": "orders"}           one line of a canonical result, in its order
    result    {"result": {"counters": ..., "cost": ...}} once, last, when the engine ended by itself
    failure   {"failure": {"kind": ..., ...}}            why it did not
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from opslab.model.record import Record

RESULT_FILES = ("orders", "fills", "positions")


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


class OwnStrategyPlan(Record):
    """A user's class, to be loaded in a child."""

    kind: Literal["own"] = "own"
    folder: str
    """Absolute folder of the spec, where modules are looked for before the installed packages."""
    path: str
    config_path: str | None
    config: str
    """The values as exact JSON, see `model/exact_json.py`."""


class EnginePlan(Record):
    """Everything one backtest child needs to know."""

    run_id: str
    strategy: Annotated[ScenarioPlan | OwnStrategyPlan, Field(discriminator="kind")]
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


def money(amount: Decimal, currency: str) -> str:
    return f"{amount:f} {currency}"
