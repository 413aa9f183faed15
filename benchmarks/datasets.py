"""Importing candles, and digesting them: against what pyarrow and SHA-256 alone take for it."""

import os

from benchmarks.process import Sample, run
from benchmarks.scene import DATASET, Scene
from benchmarks.table import AtMost, Row, in_turn

IMPORT_REPEAT = 2
FINGERPRINT_REPEAT = 3


def import_(scene: Scene) -> list[Row]:
    csv = scene.csv()

    def ours() -> Sample:
        os.sync()  # what was written before is not to be waited for now
        return scene.import_candles()

    def yardstick() -> Sample:
        os.sync()
        target = scene.work / "yardstick.parquet"
        sample = run([scene.python, scene.program("csv_to_parquet"), csv, target], scene.work)
        target.unlink()
        return sample

    pairs = in_turn(scene.repeat or IMPORT_REPEAT, ours, yardstick)
    what = f"import {scene.rows:,} candles"
    return [
        pairs.wall("import", what, AtMost(2.5)),
        pairs.cpu("import", what),
        pairs.peak("import", what, AtMost(1500, of_ratio=False)),
    ]


def check(scene: Scene) -> list[Row]:
    csv = scene.csv()

    def ours() -> Sample:
        return run([scene.tc, "data", "check", csv, "--home", scene.home], scene.work)

    def yardstick() -> Sample:
        return run([scene.python, scene.program("csv_to_parquet"), csv], scene.work)

    pairs = in_turn(scene.repeat or FINGERPRINT_REPEAT, ours, yardstick)
    what = f"check {scene.rows:,} candles"
    return [pairs.wall("check", what), pairs.cpu("check", what), pairs.peak("check", what)]


def fingerprint(scene: Scene) -> list[Row]:
    bars = scene.bars()

    def ours() -> Sample:
        return run([scene.tc, "data", "fingerprint", "--dataset", DATASET, "--home", scene.home], scene.work)

    def yardstick() -> Sample:
        return run([scene.python, scene.program("sha256_columns"), bars], scene.work)

    pairs = in_turn(scene.repeat or FINGERPRINT_REPEAT, ours, yardstick)
    what = f"fingerprint {scene.rows:,} candles"
    return [
        pairs.wall("fingerprint", what, AtMost(2.0)),
        pairs.cpu("fingerprint", what),
        pairs.peak("fingerprint", what),
    ]
