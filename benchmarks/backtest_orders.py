"""Backtests with orders, compared with the engine's own BacktestNode with the same strategy on the same bar files."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from benchmarks.context import DATASET, SPEC_HEAD, BenchmarkContext, document
from benchmarks.process import MeasurementError, Sample, run
from benchmarks.table import AtLeast, AtMost, Pairs, Row, alternate

ROWS = 43_200
"""A month of minutes."""
REPEAT = 3
RATES = ("0.1", "1", "5")
"""Orders a bar."""
ENGINE_SHARE = 0.60
"""Required share of the bare engine's speed with one order a bar."""
WALL = 1.4
_SPEC = f"""\
{SPEC_HEAD}risk: {{{{profile: standard}}}}
strategy:
  path: market_orders:MarketOrders
  config_path: market_orders:MarketOrdersConfig
  config:
    bar_type: BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL
    orders_per_bar: "{{rate}}"
    quantity: "0.010"
data:
  dataset: {{dataset}}
"""


def orders(context: BenchmarkContext) -> list[Row]:
    work = context.work / "backtest-orders"
    work.mkdir(exist_ok=True)
    month = replace(context, rows=ROWS, work=work)
    month.dataset()
    shutil.copy(context.program("market_orders"), work)
    return [row for rate in RATES for row in _rate(month, rate)]


def _rate(context: BenchmarkContext, rate: str) -> list[Row]:
    record = json.loads((context.dataset() / "dataset.json").read_text())
    decimals = [str(record["price_decimals"]), str(record["size_decimals"])]
    spec = context.work / "orders.yaml"
    spec.write_text(_SPEC.format(rate=rate, dataset=DATASET))
    root = Path(__file__).parents[1]

    def lab() -> Sample:
        shutil.rmtree(context.home / "artifacts", ignore_errors=True)
        arguments = ["run", "backtest", "--json", "--run-id", "bench", "--spec", str(spec), "--home", str(context.home)]
        return run([context.tc, *arguments], context.work)

    def yardstick() -> Sample:
        overlay = context.work / "bare"
        shutil.rmtree(overlay, ignore_errors=True)
        program = "benchmarks.programs.bare_market_orders"
        return run([context.python, "-m", program, context.bars(), *decimals, overlay, rate], root)

    context.note(f"backtests with {rate} orders a bar")
    return _rows(rate, alternate(context.repeat or REPEAT, lab, yardstick))


def _rows(rate: str, pairs: Pairs) -> list[Row]:
    runs = [document(sample) for sample in pairs.lab]
    bare = [document(sample) for sample in pairs.yardstick]
    expected = {(ROWS, result["orders"]) for result in bare}
    if {(run["metrics"]["bars_seen"], run["metrics"]["orders_submitted"]) for run in runs} != expected:
        raise MeasurementError("lab and bare engine did not do the same")
    label = f"{ROWS:,} bars, {rate} orders a bar"
    share, wall = ((AtLeast(ENGINE_SHARE),), (AtMost(WALL),)) if rate == "1" else ((), ())
    engine = Row(
        "backtest-orders",
        f"{label}: engine's run",
        "bars/s",
        tuple(run["engine_cost"]["bars_per_second"] for run in runs),
        tuple(ROWS / result["seconds"] for result in bare),
        share,
    )
    return [engine, pairs.wall("backtest-orders", label, *wall), pairs.cpu("backtest-orders", label)]
