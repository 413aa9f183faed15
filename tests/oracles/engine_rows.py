"""Compare the lab's rows with the engine's own objects, of one backtest in which the engine purges nothing.

usage: python -m tests.oracles.engine_rows HOME SPEC [kept]; prints the differences as JSON, or with `kept` the numbers
of orders and positions that the engine keeps when the scenario purges its cache.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.backtest import BacktestNode

from opslab.lab.context import context_of
from opslab.lab.run.plan import make_plan
from opslab.model.market.instrument import instrument_of
from opslab.model.pipe.messages import EngineMessage, OrderEvent
from opslab.model.run.results import Results
from opslab.nautilus import backtest
from opslab.nautilus.strategy.guarded import StrategyRecorder
from opslab.nautilus.strategy.scenarios import OrderLifecycleDemo, make_scenario
from opslab.runs.planning.plan import BacktestPlan
from opslab.settings import Settings
from opslab.store.files import link_folder


class FoldedEvents:
    """Takes the engine's messages as control does: its order events are folded."""

    dropped = 0

    def __init__(self, results: Results, instrument_id: str) -> None:
        self._results, self._instrument_id = results, instrument_id

    def send(self, message: EngineMessage) -> None:
        if isinstance(message, OrderEvent):
            self._results.order_event({"instrument_id": self._instrument_id, **message.payload})

    offer = send

    def send_order_event(self, event: Any, payload: Callable[[Any], Mapping[str, Any]]) -> None:
        self.send(OrderEvent("order_event", payload(event)))


class Unpurged(OrderLifecycleDemo):
    def purge_closed(self) -> None:
        pass


def number(value: Any) -> Decimal | None:
    return None if value is None else round(Decimal(str(value)), 8)


def run(home: str, spec: str, scenario: type[OrderLifecycleDemo]) -> tuple[dict[str, list[Mapping[str, Any]]], Any]:
    """(rows, the engine's cache)."""
    planned = make_plan(context_of(Settings(Path(home), "--home")), Path(spec), "r1")
    assert isinstance(planned, BacktestPlan)
    plan = planned.engine
    rows: dict[str, list[Mapping[str, Any]]] = {"orders": [], "fills": [], "positions": []}
    results = Results(lambda name, row: rows[name].append(row))
    instrument = instrument_of(plan.symbol)
    recorder = StrategyRecorder(
        messages=FoldedEvents(results, instrument.instrument_id),
        instrument_id=instrument.instrument_id,
        bar_type=plan.bar_type,
        redact=str,
    )
    with tempfile.TemporaryDirectory() as work:
        plan = plan.model_copy(update={"work_path": work})
        link_folder(backtest.bars_link(plan), Path(plan.bars_path))
        backtest.write_instrument(plan)
        node = BacktestNode([backtest.run_config(plan, instrument)])
        node.build()
        node.add_strategy("backtest", make_scenario(scenario, instrument, recorder))
        node.run()
    results.finish()
    return rows, node.get_engine_cache("backtest")


def kept(home: str, spec: str) -> dict[str, int]:
    """Numbers of orders and positions in the engine's cache at the end of a run of the unchanged scenario."""
    rows, cache = run(home, spec, OrderLifecycleDemo)
    return {
        "rows": len(rows["orders"]),
        "orders": len(cache.orders()),
        "positions": len([*cache.position_snapshots(), *cache.positions()]),
    }


def main(home: str, spec: str) -> dict[str, Any]:
    rows, cache = run(home, spec, Unpurged)
    engine_orders = {str(order.client_order_id): order.to_dict() for order in cache.orders()}
    engine_positions = sorted(
        (position.to_dict() for position in [*cache.position_snapshots(), *cache.positions()]),
        key=lambda values: (values["ts_opened"], values["opening_order_id"]),
    )
    return {
        "orders": len(rows["orders"]),
        "positions": len(rows["positions"]),
        "order_differences": [name for row in rows["orders"] if (name := order_differs(row, engine_orders))][:5],
        "missing_orders": len(engine_orders) - len(rows["orders"]),
        "missing_positions": len(engine_positions) - len(rows["positions"]),
        "position_differences": [
            [key, str(theirs.get(key)), str(ours.get(key))]
            for ours, theirs in zip(rows["positions"], engine_positions, strict=False)
            for key in position_differs(ours, theirs)
        ][:5],
    }


def order_differs(row: Mapping[str, Any], engine: Mapping[str, Mapping[str, Any]]) -> list[Any] | None:
    theirs = engine[row["client_order_id"]]
    for key, value in row.items():
        other = theirs.get(key)
        if key in ("quantity", "price", "filled_qty", "avg_px", "trigger_price"):
            same = number(value) == number(other)
        elif key == "commissions":
            same = [number(text.split()[0]) for text in value] == [number(text.split()[0]) for text in other or []]
        elif key in ("is_post_only", "is_reduce_only"):
            same = bool(value) == bool(other)
        else:
            same = value == other
        if not same:
            return [row["client_order_id"], key, value, other]
    return None


def position_differs(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    numbers = ("quantity", "peak_qty", "buy_qty", "sell_qty", "avg_px_open", "avg_px_close")
    others = ("opening_order_id", "closing_order_id", "entry", "side", "ts_opened", "ts_closed", "ts_last")
    zero = Decimal(0)
    wrong = [
        key for key in numbers if abs((number(ours[key]) or zero) - (number(theirs[key]) or zero)) > Decimal("0.000001")
    ]
    return wrong + [key for key in others if ours[key] != theirs[key]]


if __name__ == "__main__":
    print(json.dumps((kept if sys.argv[3:] == ["kept"] else main)(*sys.argv[1:3]), default=str))
