"""usage: python -m benchmarks.programs.make_candles PATH ROWS

Write a CSV of one-minute candles without gaps: prices in steps of 0.1, volumes in steps of 0.001. The same on every
machine: integer arithmetic on SplitMix64 of the row number, a whole column at a time.
"""

import sys
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

FIRST_OPEN_MS = 1_420_070_400_000
"""2015-01-01: five million minutes end in the middle of 2024."""
MINUTE_MS = 60_000
_LOWEST_TICKS = 100_000
_FOLD_TICKS = 1 << 19
"""The random walk is folded into this many ticks above the lowest price, so that it never leaves the venue's range."""


def random_numbers(rows: int, stream: int) -> pa.Array:
    """`rows` uniformly distributed numbers from 0 to 2^62 - 1; each `stream` has other numbers."""
    golden = pa.scalar(0x9E3779B97F4A7C15, pa.uint64())
    z = pc.multiply(pc.add(_counter(rows), pa.scalar(stream << 40, pa.uint64())), golden)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = pc.multiply(_mixed(z, shift), pa.scalar(factor, pa.uint64()))
    return pc.shift_right(_mixed(z, 31), pa.scalar(2, pa.uint64())).cast(pa.int64())


def random_below(rows: int, stream: int, bound: int) -> pa.Array:
    """`rows` numbers from 0 to bound - 1; `bound` is a power of two."""
    return pc.bit_wise_and(random_numbers(rows, stream), bound - 1)


def candles(rows: int) -> pa.Table:
    """The columns of the CSV. Each candle opens at the close of the one before."""
    walk = pc.cumulative_sum(pc.subtract(random_below(rows, 1, 512), 256))
    folded = pc.abs(pc.subtract(pc.bit_wise_and(walk, 2 * _FOLD_TICKS - 1), _FOLD_TICKS))
    close = pc.add(folded, _LOWEST_TICKS)
    opened = pa.concat_arrays([close.slice(0, 1), close.slice(0, rows - 1)])
    high = pc.add(pc.max_element_wise(opened, close), random_below(rows, 2, 256))
    low = pc.subtract(pc.min_element_wise(opened, close), random_below(rows, 3, 256))
    volume = pc.add(random_below(rows, 4, 1 << 17), 1)
    times = pc.add(pc.multiply(_counter(rows).cast(pa.int64()), MINUTE_MS), FIRST_OPEN_MS)
    columns = {"open_time": times}
    columns |= {
        name: _scaled(ticks, 1) for name, ticks in (("open", opened), ("high", high), ("low", low), ("close", close))
    }
    return pa.table({**columns, "volume": _scaled(volume, 3)})


def _counter(rows: int) -> pa.Array:
    ones = pa.repeat(pa.scalar(1, pa.uint64()), rows)
    return pc.subtract(pc.cumulative_sum(ones), pa.scalar(1, pa.uint64()))


def _mixed(z: pa.Array, shift: int) -> pa.Array:
    return pc.bit_wise_xor(z, pc.shift_right(z, pa.scalar(shift, pa.uint64())))


def _scaled(units: pa.Array, decimals: int) -> pa.Array:
    """Whole `units` as decimals of 10^-decimals."""
    unit = pa.scalar(Decimal(1).scaleb(-decimals), pa.decimal128(decimals + 1, decimals))
    return pc.multiply(units.cast(pa.decimal128(19, 0)), unit)


def main(path: str, rows: int) -> None:
    pacsv.write_csv(candles(rows), path, pacsv.WriteOptions(quoting_style="none"))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
