"""Backtest, compared with the engine's own BacktestNode on the same bar files with a plain counting strategy."""

import json
import shutil

from benchmarks.context import DATASET, BenchmarkContext, document
from benchmarks.process import MeasurementError, Sample, run
from benchmarks.table import AtLeast, AtMost, Pairs, Row, alternate

REPEAT = 2
ENGINE_SHARE = 0.90
"""Required share of the bare engine's speed."""


def backtest(context: BenchmarkContext) -> list[Row]:
    bars = context.bars()
    record = json.loads((context.dataset() / "dataset.json").read_text())
    decimals = [str(record["price_decimals"]), str(record["size_decimals"])]
    spec = context.spec(DATASET)

    def lab() -> Sample:
        shutil.rmtree(context.home / "artifacts", ignore_errors=True)
        arguments = ["run", "backtest", "--json", "--run-id", "bench", "--spec", str(spec), "--home", str(context.home)]
        return run([context.tc, *arguments], context.work, watch=True)

    def yardstick() -> Sample:
        overlay = context.work / "bare"
        shutil.rmtree(overlay, ignore_errors=True)
        return run([context.python, context.program("bare_node"), bars, *decimals, overlay], context.work)

    return _rows(context, alternate(context.repeat or REPEAT, lab, yardstick))


def _rows(context: BenchmarkContext, pairs: Pairs) -> list[Row]:
    runs = [document(sample) for sample in pairs.lab]
    bare = [document(sample) for sample in pairs.yardstick]
    if any(run["metrics"]["bars_seen"] != context.rows for run in runs) or any(b["bars"] != context.rows for b in bare):
        raise MeasurementError("a strategy did not receive every bar")
    costs = [run["engine_cost"] for run in runs]
    label = f"backtest {context.rows:,} bars"
    rate = Row(
        "backtest",
        f"{label}: engine's run",
        "bars/s",
        tuple(cost["bars_per_second"] for cost in costs),
        tuple(context.rows / result["seconds"] for result in bare),
        (AtLeast(ENGINE_SHARE),),
    )
    engine_peak = Row(
        "backtest",
        f"{label}: engine child's peak",
        "MB",
        tuple(cost["peak_memory_bytes"] / 1e6 for cost in costs),
        tuple(sample.peak_bytes / 1e6 for sample in pairs.yardstick),
        (AtMost(1.25),),
    )
    control_peak = Row(
        "backtest",
        f"{label}: control's peak",
        "MB",
        tuple((sample.own_peak_bytes or 0) / 1e6 for sample in pairs.lab),
        (),
    )
    whole_process = pairs.wall("backtest", f"{label}: whole process", AtMost(1 / ENGINE_SHARE))
    return [rate, whole_process, pairs.cpu("backtest", f"{label}: whole process"), engine_peak, control_peak]
