"""A moving average with exact decimal sums: only the division rounds."""

from collections import deque
from decimal import Decimal


class MovingAverage:
    """Mean of the last `count` values; None with fewer values."""

    def __init__(self, count: int) -> None:
        self._values: deque[Decimal] = deque(maxlen=count)
        self._sum = Decimal(0)

    def add(self, value: Decimal) -> Decimal | None:
        if len(self._values) == self._values.maxlen:
            self._sum -= self._values[0]
        self._values.append(value)
        self._sum += value
        return self._sum / len(self._values) if len(self._values) == self._values.maxlen else None
