"""The current market: quote, depth, recent trades, klines, the last 24 hours.

`open_minute` starts a minute, `apply_tick` moves the market, `close_minute` ends the minute. Klines and the 24 hours
use dataset time; trades and book changes are stamped with the wall clock passed in. Fills of the account do not appear
in trades or klines: those come from the candles only. The liquidity that the account takes is missing from the depth
until the next tick.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from opslab.model.market.candle import Candle
from opslab.model.market.instrument import Instrument
from opslab.venue.market.candle_path import Tick, quotes, simulate_ticks
from opslab.venue.market.fixed_point import Units
from opslab.venue.market.klines import MINUTE, Kline, Klines
from opslab.venue.market.order_book import BookSide, OrderBook
from opslab.venue.market.rolling_24h import Rolling24h, Statistics24h

MAX_RECENT_TRADES = 1000
"""The limit of one request."""


class MarketTrade(NamedTuple):
    """One trade; it is also one aggregate trade with the same id."""

    trade_id: int
    price: int
    size: int
    buyer: bool
    """The taker bought."""
    time_ms: int
    """Wall clock."""


class Market:
    def __init__(self, instrument: Instrument, ticks_per_minute: int, seed: int = 0, first_update_id: int = 1) -> None:
        """first_update_id: the first id of the book; see `OrderBook`."""
        self.instrument = instrument
        self.units = Units(instrument)
        self.ticks_per_minute = ticks_per_minute
        self.seed = seed
        self.book = OrderBook(self.units.tick, seed, first_update_id)
        self.klines = Klines()
        self.last_trade: MarketTrade | None = None
        """None until the first trade after the start: past minutes have no wall clock."""
        self.last_price = 0
        """Price of the last trade; before the first trade, the open. 0: no candle yet."""
        self.last_size = 0
        self.changed_ms = 0
        """Wall clock of the last change of the book."""
        self._rolling_24h = Rolling24h()
        self._trades: deque[MarketTrade] = deque(maxlen=MAX_RECENT_TRADES)
        self._index = -1
        self._trade_id = 0
        """The last id used; at most `_end_id` in this minute."""
        self._end_id = 0

    @property
    def mark_price(self) -> int:
        """The last price: funding and an index price are not simulated."""
        return self.last_price

    def simulate_ticks(self, candle: Candle) -> tuple[Tick, ...]:
        """The ticks of the minute in this market."""
        return simulate_ticks(candle, self.units.tick, self.ticks_per_minute, self.seed)

    def start_at_open(self, candle: Candle, now_ms: int) -> None:
        """Set quote and depth at the open of a candle that has not started; no trade."""
        self.book.set_quote(*quotes(candle.open, self.units.tick, buyer=False))
        self.changed_ms = now_ms
        self.last_price = self.last_price or candle.open

    def apply_past_minute(self, candle: Candle, index: int) -> None:
        """Apply a whole minute from before the start: klines and 24 hours are the same as after a replay of it."""
        self.open_minute(candle, index)
        for tick in self.simulate_ticks(candle):
            self.apply_past_tick(tick)
        self.close_minute()

    def open_minute(self, candle: Candle, index: int) -> tuple[Kline, ...]:
        """Open the minute of row `index` of the dataset; the trade ids follow from the index.

        Returns the longer klines that close only now because of a gap in the data, to be published.
        Raises: ValueError for an index or a minute that is not after the last one.
        """
        if index <= self._index:
            raise ValueError(f"minute {index} after minute {self._index}")
        overdue = self.klines.open_minute(candle, self.last_price or candle.open)
        self._rolling_24h.evict_before(candle.open_ms)
        self._index = index
        self._trade_id = index * self.ticks_per_minute
        self._end_id = self._trade_id + self.ticks_per_minute
        self.last_price = self.last_price or candle.open
        return overdue

    def apply_tick(self, tick: Tick, now_ms: int) -> MarketTrade | None:
        """Apply a tick of the open minute. Returns its trade; None for a quote without a trade."""
        self.book.set_quote(tick.bid, tick.ask)
        self.changed_ms = now_ms
        if not tick.size:
            return None
        trade = MarketTrade(self._record_trade(tick), tick.price, tick.size, tick.buyer, now_ms)
        self.last_trade = trade
        self._trades.append(trade)
        return trade

    def apply_past_tick(self, tick: Tick) -> None:
        """Apply a tick published before the start: it counts in klines and 24 hours, not in the recent trades."""
        self.book.set_quote(tick.bid, tick.ask)
        if tick.size:
            self._record_trade(tick)

    def close_minute(self) -> tuple[Kline, ...]:
        """Close the minute. Returns the klines that close with it, the minute first."""
        closed = self.klines.close_minute()
        self._rolling_24h.add(closed[0])
        self.last_price = closed[0].close
        return closed

    def consume_depth(self, side: BookSide, price: int, size: int, now_ms: int) -> None:
        """Remove the fill of an account's order from the depth; see `OrderBook.consume`."""
        self.book.consume(side, price, size)
        self.changed_ms = now_ms

    def restore_depth(self, now_ms: int) -> None:
        """Restore the consumed liquidity before the next tick."""
        self.book.restore()
        self.changed_ms = now_ms

    def statistics_24h(self) -> Statistics24h:
        """Statistics of the last 24 hours; before the first trade all prices are the last price."""
        statistics = self._rolling_24h.statistics(self.klines.current(MINUTE))
        if statistics.open:
            return statistics
        return statistics._replace(open=self.last_price, high=self.last_price, low=self.last_price)

    def trades(
        self, limit: int, from_id: int | None = None, start_ms: int | None = None, end_ms: int | None = None
    ) -> Sequence[MarketTrade]:
        """Recent trades within bounds, oldest first: with a start the first `limit`, otherwise the last `limit`."""
        matching = [
            trade
            for trade in self._trades
            if (from_id is None or trade.trade_id >= from_id)
            and (start_ms is None or trade.time_ms >= start_ms)
            and (end_ms is None or trade.time_ms <= end_ms)
        ]
        return matching[-limit:] if from_id is None and start_ms is None else matching[:limit]

    def _record_trade(self, tick: Tick) -> int:
        """Assign the next trade id and add the trade to the klines."""
        if self._trade_id >= self._end_id:
            raise ValueError(f"more than {self.ticks_per_minute} trades in minute {self._index}")
        self._trade_id += 1
        self.last_price = tick.price
        self.last_size = tick.size
        self.klines.add_trade(self._trade_id, tick.price, tick.size, tick.buyer)
        return self._trade_id
