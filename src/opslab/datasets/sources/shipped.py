"""The shipped dataset: synthetic candles from a seeded generator, described as synthetic.

It uses only integer arithmetic, so that every machine generates the same week.
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
    """A dataset that any machine can generate, with its required fingerprint."""

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


class _SplitMix64:
    """Deterministic random numbers, equal on every machine and in every version."""

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
        """From -2 * size to 2 * size; values near 0 are more likely."""
        return sum(self.below(size + 1) for _ in range(4)) - 2 * size


def generate(shipped: ShippedDataset) -> Iterator[Chunk]:
    """The candles, in one chunk. Internally prices count ticks of 0.1, volumes lots of 0.001."""
    random = _SplitMix64(shipped.seed)
    columns: list[list[int]] = [[] for _ in range(5)]
    close = 420_000
    for minute in range(shipped.rows):
        opened = close + random.below(3) - 1
        activity = 60 + abs(720 - minute % 1440) // 6
        close = max(100_000, opened + random.step(activity))
        high = max(opened, close) + random.below(activity)
        low = min(opened, close) - random.below(activity)
        volume = 800 + random.below(activity * 300) + 20 * abs(close - opened)
        for column, value in zip(columns, (opened, high, low, close, volume), strict=True):
            column.append(value)
    times = [shipped.first_open_ms + minute * MINUTE_MS for minute in range(shipped.rows)]
    scales = (Decimal("0.1"),) * 4 + (Decimal("0.001"),)
    values = [
        pa.array([value * scale for value in column], NUMBER) for column, scale in zip(columns, scales, strict=True)
    ]
    batch = pa.RecordBatch.from_arrays([pa.array(times, pa.int64()), *values], schema=CANDLES)
    yield Chunk(batch, ConsecutiveRows(shipped.name, 1))
