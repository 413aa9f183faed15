"""Measuring strategies for a paper run and for a bare node: each appends JSON lines to `out` for the benchmark.

Times are wall-clock times.
"""

import json
import time
from typing import Any

from nautilus_trader.model import (
    Bar,
    BarType,
    BookType,
    InstrumentId,
    OrderAccepted,
    OrderBookDeltas,
    OrderFilled,
    OrderSide,
    Price,
    Quantity,
    QuoteTick,
    TradeTick,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from benchmarks.programs.feed_lag import Lags

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
QUANTITY = Quantity.from_str("0.010")
SETTLE_SECONDS = 1.0
"""Before the first of many orders."""
FAR_FACTOR = 0.8
"""Factor of the bid for the price of resting orders that must not fill."""


class Measuring(Strategy):
    out: str

    def report(self, **line: Any) -> None:
        with open(self.out, "a") as stream:
            stream.write(json.dumps(line) + "\n")


class FirstConfig(StrategyConfig):
    def __init__(self, *, out: str, **_base: Any) -> None:
        self.out = out


class First(Measuring):
    """Reports its start time, the number of open orders at the start, and the time of the first bar."""

    def __init__(self, config: FirstConfig) -> None:
        super().__init__(config)
        self.out = config.out
        self._is_first = True

    def on_start(self) -> None:
        self.subscribe_quotes(INSTRUMENT)
        self.subscribe_trades(INSTRUMENT)
        self.subscribe_bars(BARS)
        self.report(started=time.time(), orders=len(self.cache.orders_open()))

    def on_bar(self, _bar: Bar) -> None:
        if self._is_first:
            self._is_first = False
            self.report(bar=time.time())


class CountsConfig(StrategyConfig):
    def __init__(self, *, out: str, seconds: float, **_base: Any) -> None:
        self.out, self.seconds = out, float(seconds)


class Counts(Measuring):
    """Subscribes to all market data, and counts messages for `seconds`."""

    def __init__(self, config: CountsConfig) -> None:
        super().__init__(config)
        self.out = config.out
        self._lags = Lags(config.seconds)
        self._has_reported = False

    def on_start(self) -> None:
        self.subscribe_quotes(INSTRUMENT)
        self.subscribe_trades(INSTRUMENT)
        self.subscribe_book_deltas(INSTRUMENT, BookType.L2_MBP)
        self.subscribe_bars(BARS)

    def on_quote(self, quote: QuoteTick) -> None:
        self._lags.record(quote.ts_event)
        if self._lags.is_complete and not self._has_reported:
            self._has_reported = True
            self.report(lags=self._lags.document())

    def on_trade(self, trade: TradeTick) -> None:
        self._lags.record(trade.ts_event)

    def on_book_deltas(self, _deltas: OrderBookDeltas) -> None:
        self._lags.record(None)

    def on_bar(self, _bar: Bar) -> None:
        self._lags.record(None)


class PacedConfig(StrategyConfig):
    def __init__(self, *, out: str, orders: int, rate: float, **_base: Any) -> None:
        self.out, self.orders, self.rate = out, int(orders), float(rate)


class Paced(Measuring):
    """Market orders at a steady rate, alternately buying and selling; ms from `submit_order` to each event."""

    def __init__(self, config: PacedConfig) -> None:
        super().__init__(config)
        self.out = config.out
        self._order_count = config.orders
        self._step_ns = int(1e9 / config.rate)
        self._sent: dict[str, float] = {}
        self._accepted: dict[str, float] = {}
        self._filled: dict[str, float] = {}

    def on_start(self) -> None:
        self.subscribe_quotes(INSTRUMENT)
        self._first_order_s = time.monotonic() + SETTLE_SECONDS
        self.clock.set_timer_ns("order", self._step_ns, callback=self.place)

    def on_quote(self, _quote: QuoteTick) -> None:
        """Quotes are subscribed as by a client that trades; they are not used."""

    def place(self, _event: Any) -> None:
        number = len(self._sent)
        if number == self._order_count or time.monotonic() < self._first_order_s:
            return
        side = OrderSide.SELL if number & 1 else OrderSide.BUY
        order = self.order_factory.market(INSTRUMENT, side, QUANTITY)
        self._sent[str(order.client_order_id)] = time.perf_counter()
        self.submit_order(order)

    def on_order_event(self, event: Any) -> None:
        now_s = time.perf_counter()
        if not isinstance(event, OrderAccepted | OrderFilled):
            return
        order = str(event.client_order_id)
        times = self._accepted if isinstance(event, OrderAccepted) else self._filled
        if order not in self._sent:
            return
        times[order] = (now_s - self._sent[order]) * 1000
        if times is self._filled and len(times) == self._order_count:
            self.report(orders={"accepted": list(self._accepted.values()), "filled": list(self._filled.values())})


class RestingConfig(StrategyConfig):
    def __init__(self, *, out: str, orders: int, **_base: Any) -> None:
        self.out, self.orders = out, int(orders)


class Resting(Measuring):
    """Opens a position and places resting orders far from the market, once; existing orders are not changed."""

    def __init__(self, config: RestingConfig) -> None:
        super().__init__(config)
        self.out = config.out
        self._order_count = config.orders
        self._has_placed = False
        self._accepted_ids: set[str] = set()
        self._has_position = False

    def on_start(self) -> None:
        open_orders = len(self.cache.orders_open())
        self._has_placed = open_orders > 0
        self.report(started=time.time(), orders=open_orders)
        self.subscribe_quotes(INSTRUMENT)

    def on_quote(self, quote: QuoteTick) -> None:
        if self._has_placed:
            return
        self._has_placed = True
        self.submit_order(self.order_factory.market(INSTRUMENT, OrderSide.BUY, QUANTITY))
        bid = quote.bid_price.as_double()
        for number in range(self._order_count):
            price = Price.from_str(f"{bid * FAR_FACTOR - number:.1f}")
            self.submit_order(self.order_factory.limit(INSTRUMENT, OrderSide.BUY, QUANTITY, price))

    def on_order_event(self, event: Any) -> None:
        if isinstance(event, OrderFilled):
            self._has_position = True
        elif isinstance(event, OrderAccepted):
            self._accepted_ids.add(str(event.client_order_id))
        else:
            return
        if self._has_position and len(self._accepted_ids) == self._order_count + 1:
            self._order_count = -2
            self.report(ready=time.time())
