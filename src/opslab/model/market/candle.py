"""A one-minute candle, in whole units of the instrument's decimals."""

from dataclasses import dataclass

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Candle:
    """Prices in units of 10**-price_decimals, volume in units of 10**-size_decimals.

    open_ms: start of the minute, UTC. Raises ValueError for inconsistent prices.
    """

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int

    def __post_init__(self) -> None:
        if not (0 < self.low <= self.open <= self.high and self.low <= self.close <= self.high and self.volume >= 0):
            raise ValueError(f"inconsistent candle: {self}")

    @property
    def close_ms(self) -> int:
        """Last millisecond of the minute: the venue's close time."""
        return self.open_ms + MINUTE_MS - 1
