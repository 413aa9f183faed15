"""Klines of every interval, built from one-minute candles and the trades simulated from them.

A closed minute has the open, high, low, close and volume of its candle to the last unit, whatever was simulated; quote
volume, taker buy volume, count and ids are those of the trades. Longer intervals are sums of minutes. All times are
dataset times. Prices and sizes are whole units; a product has the decimals of both.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from opslab.model.market.candle import MINUTE_MS, Candle

MAX_CLOSED_KLINES = 1500
"""Closed klines kept per interval: the limit of one request."""

MINUTE = "1m"
INTERVALS: dict[str, int] = {
    name: minutes * MINUTE_MS
    for name, minutes in {
        MINUTE: 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30,
        "1h": 60, "2h": 120, "4h": 240, "6h": 360, "8h": 480, "12h": 720, "1d": 1440,
    }.items()
}  # fmt: skip
"""Length in ms of each supported interval. Klines start at multiples of their length, UTC."""


class Kline(NamedTuple):
    """One kline, closed or still open."""

    interval: str
    open_ms: int
    close_ms: int
    """The last millisecond of the kline."""
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote: int
    """Sum of price times size."""
    trades: int
    buyer_volume: int
    """Volume of the trades where the taker bought."""
    buyer_quote: int
    first_id: int
    last_id: int
    """Trade ids; -1 without trades, as Binance writes it."""
    closed: bool


class Klines:
    def __init__(self) -> None:
        self._closed: dict[str, deque[Kline]] = {name: deque(maxlen=MAX_CLOSED_KLINES) for name in INTERVALS}
        self._parts: dict[str, Kline] = {}
        """For each longer interval: the sum of the closed minutes of the incomplete kline."""
        self._candle: Candle | None = None
        """The candle of the open minute."""
        self._open = self._high = self._low = self._close = 0
        self._volume = self._quote = self._trades = self._buyer_volume = self._buyer_quote = 0
        self._first_id = self._last_id = -1

    def open_minute(self, candle: Candle, reference_price: int) -> tuple[Kline, ...]:
        """Open a minute. reference_price: the price before the first trade.

        Returns the longer klines that close only now because their last minutes are missing: closed, to be published.
        Raises: ValueError if the last minute is still open, or is not before this one.
        """
        last = self._closed[MINUTE][-1].open_ms if self._closed[MINUTE] else -MINUTE_MS
        if self._candle is not None or candle.open_ms <= last:
            raise ValueError(f"minute {candle.open_ms} cannot start after {last}")
        overdue = tuple(self._complete(part) for part in list(self._parts.values()) if part.close_ms < candle.open_ms)
        self._candle = candle
        self._reset(reference_price)
        return overdue

    def add_trade(self, trade_id: int, price: int, size: int, buyer: bool) -> None:
        """Add a trade to the open minute."""
        if not self._trades:
            self._open = self._high = self._low = price
            self._first_id = trade_id
        elif price > self._high:
            self._high = price
        elif price < self._low:
            self._low = price
        self._close = price
        self._last_id = trade_id
        self._trades += 1
        self._volume += size
        quote = price * size
        self._quote += quote
        if buyer:
            self._buyer_volume += size
            self._buyer_quote += quote

    def close_minute(self) -> tuple[Kline, ...]:
        """Close the open minute with the values of its candle. Returns the klines that close now, the minute first."""
        candle = self._open_candle()
        self._candle = None
        minute = self._minute(candle)._replace(
            open=candle.open, high=candle.high, low=candle.low, close=candle.close, volume=candle.volume, closed=True
        )
        self._closed[MINUTE].append(minute)
        closed = [minute]
        for name, length_ms in INTERVALS.items():
            if name == MINUTE:
                continue
            part = self._parts[name] = _merged(self._parts.get(name), minute, name, length_ms)
            if part.close_ms == minute.close_ms:
                closed.append(self._complete(part))
        return tuple(closed)

    def current(self, interval: str) -> Kline | None:
        """The kline including the open minute; between minutes, the last kline; None before the first minute.

        Raises: KeyError for an unsupported interval.
        """
        length_ms = INTERVALS[interval]
        if self._candle is None:
            closed = self._closed[interval]
            return self._parts.get(interval) or (closed[-1] if closed else None)
        minute = self._minute(self._candle)
        return minute if interval == MINUTE else _merged(self._parts.get(interval), minute, interval, length_ms)

    def rows(
        self, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> Sequence[Kline]:
        """Klines that open from `start_ms` to `end_ms`, oldest first, the open kline last.

        With a start the first `limit` of them, otherwise the last `limit`. Raises: KeyError as `current`.
        """
        closed = self._closed[interval]
        current = self.current(interval)
        extra = [current] if current and not current.closed else []
        if start_ms is None and end_ms is None:
            return [*islice(closed, max(0, len(closed) - limit + len(extra)), None), *extra][-limit:]
        matching: Iterable[Kline] = (
            kline
            for kline in (*closed, *extra)
            if (start_ms is None or kline.open_ms >= start_ms) and (end_ms is None or kline.open_ms <= end_ms)
        )
        return list(islice(matching, limit)) if start_ms is not None else list(matching)[-limit:]

    def _reset(self, reference_price: int) -> None:
        self._open = self._high = self._low = self._close = reference_price
        self._volume = self._quote = self._trades = self._buyer_volume = self._buyer_quote = 0
        self._first_id = self._last_id = -1

    def _open_candle(self) -> Candle:
        if self._candle is None:
            raise ValueError("no minute is open")
        return self._candle

    def _minute(self, candle: Candle) -> Kline:
        return Kline(
            MINUTE, candle.open_ms, candle.close_ms, self._open, self._high, self._low, self._close, self._volume,
            self._quote, self._trades, self._buyer_volume, self._buyer_quote, self._first_id, self._last_id, False,
        )  # fmt: skip

    def _complete(self, part: Kline) -> Kline:
        del self._parts[part.interval]
        closed = part._replace(closed=True)
        self._closed[part.interval].append(closed)
        return closed


def _merged(part: Kline | None, minute: Kline, interval: str, length_ms: int) -> Kline:
    """Add one minute to the longer kline, not closed."""
    if part is None:
        open_ms = minute.open_ms // length_ms * length_ms
        return minute._replace(interval=interval, open_ms=open_ms, close_ms=open_ms + length_ms - 1, closed=False)
    return part._replace(
        high=max(part.high, minute.high),
        low=min(part.low, minute.low),
        close=minute.close,
        volume=part.volume + minute.volume,
        quote=part.quote + minute.quote,
        trades=part.trades + minute.trades,
        buyer_volume=part.buyer_volume + minute.buyer_volume,
        buyer_quote=part.buyer_quote + minute.buyer_quote,
        first_id=minute.first_id if part.first_id < 0 else part.first_id,
        last_id=part.last_id if minute.last_id < 0 else minute.last_id,
    )
