"""The market as it stands: quote, depth, last trades, klines, the last 24 hours.

Minutes come in with `begin`, ticks move it, `close` ends the minute. Klines and the 24 hours run on the dataset's
time; trades and changes of the book are stamped with the wall clock they are given. Nothing an account does shows
in trades or klines: those are the candles' own. What it takes shows in the depth until the next tick.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from opslab.model.market.candle import Candle
from opslab.model.market.instrument import Instrument
from opslab.venue.market.candle_path import Tick, draw, quotes
from opslab.venue.market.fixed_point import Units
from opslab.venue.market.klines import MINUTE, Kline, Klines
from opslab.venue.market.order_book import Book, BookSide
from opslab.venue.market.rolling_24h import Rolling24h, Statistics24h

RECENT_TRADES = 1000
"""As many as one request may ask for."""


class MarketTrade(NamedTuple):
    """One trade, which is an aggregate trade of its own under the same id."""

    trade_id: int
    price: int
    size: int
    buyer: bool
    """The taker bought."""
    time_ms: int
    """Wall clock."""


class Market:
    def __init__(self, instrument: Instrument, ticks_per_minute: int, seed: int = 0, first_update_id: int = 1) -> None:
        """first_update_id: where the ids of the book begin; see `Book`."""
        self.instrument = instrument
        self.units = Units(instrument)
        self.ticks_per_minute = ticks_per_minute
        self.seed = seed
        self.book = Book(self.units.tick, seed, first_update_id)
        self.klines = Klines()
        self.last_trade: MarketTrade | None = None
        """None until there was one since the start: remembered minutes have no wall clock."""
        self.last_price = 0
        """Of the last trade; before the first, where the market opens. 0: not open yet."""
        self.last_size = 0
        self.changed_ms = 0
        """Wall clock of the last change of the book."""
        self._day = Rolling24h()
        self._trades: deque[MarketTrade] = deque(maxlen=RECENT_TRADES)
        self._index = -1
        self._trade_id = 0
        """The last one used; up to `_end_id` in this minute."""
        self._end_id = 0

    @property
    def mark_price(self) -> int:
        """The last price: funding and an index are not simulated."""
        return self.last_price

    def draw(self, candle: Candle) -> tuple[Tick, ...]:
        """The minute's ticks in this market."""
        return draw(candle, self.units.tick, self.ticks_per_minute, self.seed)

    def open_at(self, candle: Candle, now_ms: int) -> None:
        """Stand at the open of a candle that has not begun: quotes and depth are there, nothing has traded."""
        self.book.move(*quotes(candle.open, self.units.tick, buyer=False))
        self.changed_ms = now_ms
        self.last_price = self.last_price or candle.open

    def remember(self, candle: Candle, index: int) -> None:
        """Let a whole minute have happened before the start: klines and 24 hours as if it had been played."""
        self.begin(candle, index)
        for tick in self.draw(candle):
            self.recall(tick)
        self.close()

    def begin(self, candle: Candle, index: int) -> tuple[Kline, ...]:
        """Open the minute of row `index` of the dataset; its trades are numbered by it.

        Returns the longer klines that a hole in the data ends only now, to be told.
        Raises: ValueError for an index or a minute that is not after the last one.
        """
        if index <= self._index:
            raise ValueError(f"minute {index} after minute {self._index}")
        late = self.klines.begin(candle, self.last_price or candle.open)
        self._day.slide(candle.open_ms)
        self._index = index
        self._trade_id = index * self.ticks_per_minute
        self._end_id = self._trade_id + self.ticks_per_minute
        self.last_price = self.last_price or candle.open
        return late

    def tick(self, tick: Tick, now_ms: int) -> MarketTrade | None:
        """Apply a tick of the open minute. Returns its trade; None for a quote alone."""
        self.book.move(tick.bid, tick.ask)
        self.changed_ms = now_ms
        if not tick.size:
            return None
        trade = MarketTrade(self._count(tick), tick.price, tick.size, tick.buyer, now_ms)
        self.last_trade = trade
        self._trades.append(trade)
        return trade

    def recall(self, tick: Tick) -> None:
        """Apply a tick that was told before the start: counted, but not among the trades that are told again."""
        self.book.move(tick.bid, tick.ask)
        if tick.size:
            self._count(tick)

    def close(self) -> tuple[Kline, ...]:
        """End the minute. Returns the klines that end with it, the minute's own first."""
        done = self.klines.close()
        self._day.add(done[0])
        self.last_price = done[0].close
        return done

    def take(self, side: BookSide, price: int, size: int, now_ms: int) -> None:
        """Take from the depth what an account's order was filled with; see `Book.take`."""
        self.book.take(side, price, size)
        self.changed_ms = now_ms

    def restore(self, now_ms: int) -> None:
        """Let what was taken from the depth come back before the next tick does it."""
        self.book.restore()
        self.changed_ms = now_ms

    def day(self) -> Statistics24h:
        """The last 24 hours; at the last price before anything has traded."""
        figures = self._day.figures(self.klines.current(MINUTE))
        if figures.open:
            return figures
        return figures._replace(open=self.last_price, high=self.last_price, low=self.last_price)

    def recent(self, limit: int) -> Sequence[MarketTrade]:
        """The last trades, oldest first."""
        return list(islice(self._trades, max(0, len(self._trades) - limit), None))

    def trades(
        self, limit: int, from_id: int | None = None, start_ms: int | None = None, end_ms: int | None = None
    ) -> Sequence[MarketTrade]:
        """Recent trades within bounds, oldest first: the first `limit` after a start, otherwise the last."""
        found = [
            trade
            for trade in self._trades
            if (from_id is None or trade.trade_id >= from_id)
            and (start_ms is None or trade.time_ms >= start_ms)
            and (end_ms is None or trade.time_ms <= end_ms)
        ]
        return found[-limit:] if from_id is None and start_ms is None else found[:limit]

    def _count(self, tick: Tick) -> int:
        """Number a trade and add it to what is summed up."""
        if self._trade_id >= self._end_id:
            raise ValueError(f"more than {self.ticks_per_minute} trades in minute {self._index}")
        self._trade_id += 1
        self.last_price = tick.price
        self.last_size = tick.size
        self.klines.trade(self._trade_id, tick.price, tick.size, tick.buyer)
        return self._trade_id
