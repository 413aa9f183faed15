"""Import and fingerprint of candles, compared with pyarrow and SHA-256 alone."""

import os

from benchmarks.context import DATASET, BenchmarkContext
from benchmarks.process import Sample, run
from benchmarks.table import AtMost, Row, alternate

IMPORT_REPEAT = 2
FINGERPRINT_REPEAT = 3


def import_(context: BenchmarkContext) -> list[Row]:
    csv = context.csv()

    def lab() -> Sample:
        os.sync()  # earlier writes must not delay this measurement
        return context.import_candles()

    def yardstick() -> Sample:
        os.sync()
        target = context.work / "yardstick.parquet"
        sample = run([context.python, context.program("csv_to_parquet"), csv, target], context.work)
        target.unlink()
        return sample

    pairs = alternate(context.repeat or IMPORT_REPEAT, lab, yardstick)
    label = f"import {context.rows:,} candles"
    return [
        pairs.wall("import", label, AtMost(2.5)),
        pairs.cpu("import", label),
        pairs.peak("import", label, AtMost(1500, of_ratio=False)),
    ]


def check(context: BenchmarkContext) -> list[Row]:
    csv = context.csv()

    def lab() -> Sample:
        return run([context.tc, "data", "check", csv, "--home", context.home], context.work)

    def yardstick() -> Sample:
        return run([context.python, context.program("csv_to_parquet"), csv], context.work)

    pairs = alternate(context.repeat or FINGERPRINT_REPEAT, lab, yardstick)
    label = f"check {context.rows:,} candles"
    return [pairs.wall("check", label), pairs.cpu("check", label), pairs.peak("check", label)]


def fingerprint(context: BenchmarkContext) -> list[Row]:
    bars = context.bars()

    def lab() -> Sample:
        return run([context.tc, "data", "fingerprint", "--dataset", DATASET, "--home", context.home], context.work)

    def yardstick() -> Sample:
        return run([context.python, context.program("sha256_columns"), bars], context.work)

    pairs = alternate(context.repeat or FINGERPRINT_REPEAT, lab, yardstick)
    label = f"fingerprint {context.rows:,} candles"
    return [
        pairs.wall("fingerprint", label, AtMost(2.0)),
        pairs.cpu("fingerprint", label),
        pairs.peak("fingerprint", label),
    ]
