"""A backtest, against the engine's own BacktestNode on the same bar files with a plain strategy that counts."""

import json
import shutil

from benchmarks.process import CouldNotMeasure, Sample, run
from benchmarks.scene import DATASET, Scene, document
from benchmarks.table import AtLeast, AtMost, Pairs, Row, in_turn

REPEAT = 2
ENGINE_SHARE = 0.90
"""The part of the bare engine's speed that has to be left."""


def backtest(scene: Scene) -> list[Row]:
    bars = scene.bars()
    record = json.loads((scene.dataset() / "dataset.json").read_text())
    decimals = [str(record["price_decimals"]), str(record["size_decimals"])]
    spec = scene.spec(DATASET)

    def ours() -> Sample:
        shutil.rmtree(scene.home / "artifacts", ignore_errors=True)
        words = ["run", "backtest", "--json", "--run-id", "bench", "--spec", str(spec), "--home", str(scene.home)]
        return run([scene.tc, *words], scene.work, watch=True)

    def yardstick() -> Sample:
        overlay = scene.work / "bare"
        shutil.rmtree(overlay, ignore_errors=True)
        return run([scene.python, scene.program("bare_node"), bars, *decimals, overlay], scene.work)

    return _rows(scene, in_turn(scene.repeat or REPEAT, ours, yardstick))


def _rows(scene: Scene, pairs: Pairs) -> list[Row]:
    runs = [document(sample) for sample in pairs.ours]
    bare = [document(sample) for sample in pairs.yardstick]
    if any(run["metrics"]["bars_seen"] != scene.rows for run in runs) or any(b["bars"] != scene.rows for b in bare):
        raise CouldNotMeasure("a strategy did not see every bar")
    costs = [run["engine_cost"] for run in runs]
    what = f"backtest {scene.rows:,} bars"
    rate = Row(
        "backtest",
        f"{what}: engine's run",
        "bars/s",
        tuple(cost["bars_per_second"] for cost in costs),
        tuple(scene.rows / one["seconds"] for one in bare),
        (AtLeast(ENGINE_SHARE),),
    )
    engine_peak = Row(
        "backtest",
        f"{what}: engine child's peak",
        "MB",
        tuple(cost["peak_memory_bytes"] / 1e6 for cost in costs),
        tuple(sample.peak_bytes / 1e6 for sample in pairs.yardstick),
        (AtMost(1.25),),
    )
    control_peak = Row(
        "backtest",
        f"{what}: control's peak",
        "MB",
        tuple((sample.own_peak_bytes or 0) / 1e6 for sample in pairs.ours),
        (),
    )
    whole = pairs.wall("backtest", f"{what}: whole process", AtMost(1 / ENGINE_SHARE))
    return [rate, whole, pairs.cpu("backtest", f"{what}: whole process"), engine_peak, control_peak]
