"""The shipped dataset: synthetic candles from a seeded generator, and called so.

Integer arithmetic only, so that every machine makes the same week.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa

from opslab.datasets.candles import CANDLES, NUMBER, Chunk
from opslab.datasets.origin import ConsecutiveRows
from opslab.model.primitives.instant import MINUTE_MS

_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class ShippedDataset:
    """A dataset that can be prepared anywhere, with the fingerprint it must then have."""

    name: str
    description: str
    seed: int
    first_open_ms: int
    rows: int
    fingerprint: str


SAMPLE = ShippedDataset(
    name="btcusdt-sample",
    description="synthetic: a random walk from a seeded generator, not market data",
    seed=20240101,
    first_open_ms=1_704_067_200_000,
    rows=7 * 24 * 60,
    fingerprint="sha256:62a374777a4e0749ef82719b73ac54ea62a914ea2e7132208ec46d1032e794ad",
)
SHIPPED = {SAMPLE.name: SAMPLE}


class _Dice:
    """SplitMix64: the same numbers everywhere, for ever."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def below(self, bound: int) -> int:
        """0 to bound - 1."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((z ^ (z >> 31)) * bound) >> 64

    def step(self, size: int) -> int:
        """Around 0, at most 2 * size either way, small steps likelier."""
        return sum(self.below(size + 1) for _ in range(4)) - 2 * size


def generate(shipped: ShippedDataset) -> Iterator[Chunk]:
    """The candles, in one chunk. Prices count ticks of 0.1, volumes lots of 0.001 inside."""
    dice = _Dice(shipped.seed)
    columns: list[list[int]] = [[] for _ in range(5)]
    close = 420_000
    for minute in range(shipped.rows):
        opened = close + dice.below(3) - 1
        busy = 60 + abs(720 - minute % 1440) // 6
        close = max(100_000, opened + dice.step(busy))
        high = max(opened, close) + dice.below(busy)
        low = min(opened, close) - dice.below(busy)
        volume = 800 + dice.below(busy * 300) + 20 * abs(close - opened)
        for column, value in zip(columns, (opened, high, low, close, volume), strict=True):
            column.append(value)
    times = [shipped.first_open_ms + minute * MINUTE_MS for minute in range(shipped.rows)]
    scales = (Decimal("0.1"),) * 4 + (Decimal("0.001"),)
    values = [
        pa.array([value * scale for value in column], NUMBER) for column, scale in zip(columns, scales, strict=True)
    ]
    batch = pa.RecordBatch.from_arrays([pa.array(times, pa.int64()), *values], schema=CANDLES)
    yield Chunk(batch, ConsecutiveRows(shipped.name, 1))
