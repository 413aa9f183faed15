"""Statistics of the last 24 hours, in dataset time."""

from collections import deque
from typing import NamedTuple

from opslab.model.market.candle import MINUTE_MS
from opslab.venue.market.klines import Kline

DAY_MINUTES = 1440


class Statistics24h(NamedTuple):
    """The open minute is included. Prices are 0 before the first minute; ids are -1 without trades."""

    open: int
    high: int
    low: int
    volume: int
    quote: int
    trades: int
    first_id: int
    last_id: int


class Rolling24h:
    """A sliding window of closed minutes. Adding a minute and reading the statistics take constant time."""

    def __init__(self) -> None:
        self._minutes: deque[Kline] = deque()
        self._highs: deque[tuple[int, int]] = deque()
        """(open_ms, high), decreasing: each is the highest of all later minutes."""
        self._lows: deque[tuple[int, int]] = deque()
        self._volume = self._quote = self._trades = 0
        self._traded: deque[tuple[int, int, int]] = deque()
        """(open_ms, first trade id, last trade id) of the minutes with trades."""

    def add(self, minute: Kline) -> None:
        """Add a closed minute, later than all before."""
        self.evict_before(minute.open_ms)
        self._minutes.append(minute)
        self._volume += minute.volume
        self._quote += minute.quote
        self._trades += minute.trades
        while self._highs and self._highs[-1][1] <= minute.high:
            self._highs.pop()
        self._highs.append((minute.open_ms, minute.high))
        while self._lows and self._lows[-1][1] >= minute.low:
            self._lows.pop()
        self._lows.append((minute.open_ms, minute.low))
        if minute.trades:
            self._traded.append((minute.open_ms, minute.first_id, minute.last_id))

    def evict_before(self, open_ms: int) -> None:
        """Drop the minutes outside the 24 hours that end with the minute of `open_ms`."""
        first_ms = open_ms - (DAY_MINUTES - 1) * MINUTE_MS
        while self._minutes and self._minutes[0].open_ms < first_ms:
            evicted = self._minutes.popleft()
            self._volume -= evicted.volume
            self._quote -= evicted.quote
            self._trades -= evicted.trades
        for extremes in (self._highs, self._lows):
            while extremes and extremes[0][0] < first_ms:
                extremes.popleft()
        while self._traded and self._traded[0][0] < first_ms:
            self._traded.popleft()

    def statistics(self, current: Kline | None) -> Statistics24h:
        """current: the open minute, None if there is none; it counts once it has a trade."""
        minutes, traded = self._minutes, self._traded
        if current is None or current.closed or not current.trades:
            if not minutes:
                return Statistics24h(0, 0, 0, 0, 0, 0, -1, -1)
            ids = (traded[0][1], traded[-1][2]) if traded else (-1, -1)
            return Statistics24h(
                minutes[0].open, self._highs[0][1], self._lows[0][1], self._volume, self._quote, self._trades, *ids
            )
        return Statistics24h(
            minutes[0].open if minutes else current.open,
            max(self._highs[0][1], current.high) if minutes else current.high,
            min(self._lows[0][1], current.low) if minutes else current.low,
            self._volume + current.volume,
            self._quote + current.quote,
            self._trades + current.trades,
            traded[0][1] if traded else current.first_id,
            current.last_id,
        )
