"""Strategies that measure, for a paper run as for a bare node: each appends JSON lines to `out` for who started it.

Times are the wall clock's.
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
FAR = 0.8
"""Of the bid: where orders rest that are not to fill."""


class Measuring(Strategy):
    out: str

    def tell(self, **line: Any) -> None:
        with open(self.out, "a") as stream:
            stream.write(json.dumps(line) + "\n")


class FirstConfig(StrategyConfig):
    def __init__(self, *, out: str, **_base: Any) -> None:
        self.out = out


class First(Measuring):
    """Tells when it was started, how many orders the node knew of then, and when the first bar was handled."""

    def __init__(self, config: FirstConfig) -> None:
        super().__init__(config)
        self.out = config.out
        self._is_first = True

    def on_start(self) -> None:
        self.subscribe_quotes(INSTRUMENT)
        self.subscribe_trades(INSTRUMENT)
        self.subscribe_bars(BARS)
        self.tell(started=time.time(), orders=len(self.cache.orders_open()))

    def on_bar(self, _bar: Bar) -> None:
        if self._is_first:
            self._is_first = False
            self.tell(bar=time.time())


class CountsConfig(StrategyConfig):
    def __init__(self, *, out: str, seconds: float, **_base: Any) -> None:
        self.out, self.seconds = out, float(seconds)


class Counts(Measuring):
    """Subscribes to all there is, and counts it for so many seconds."""

    def __init__(self, config: CountsConfig) -> None:
        super().__init__(config)
        self.out = config.out
        self._lags = Lags(config.seconds)
        self._told = False

    def on_start(self) -> None:
        self.subscribe_quotes(INSTRUMENT)
        self.subscribe_trades(INSTRUMENT)
        self.subscribe_book_deltas(INSTRUMENT, BookType.L2_MBP)
        self.subscribe_bars(BARS)

    def on_quote(self, quote: QuoteTick) -> None:
        self._lags.seen(quote.ts_event)
        if self._lags.over and not self._told:
            self._told = True
            self.tell(lags=self._lags.document())

    def on_trade(self, trade: TradeTick) -> None:
        self._lags.seen(trade.ts_event)

    def on_book_deltas(self, _deltas: OrderBookDeltas) -> None:
        self._lags.seen(None)

    def on_bar(self, _bar: Bar) -> None:
        self._lags.seen(None)


class PacedConfig(StrategyConfig):
    def __init__(self, *, out: str, orders: int, rate: float, **_base: Any) -> None:
        self.out, self.orders, self.rate = out, int(orders), float(rate)


class Paced(Measuring):
    """Market orders at a steady pace, buying and selling in turn; ms from `submit_order` to what came of it."""

    def __init__(self, config: PacedConfig) -> None:
        super().__init__(config)
        self.out = config.out
        self._wanted = config.orders
        self._step_ns = int(1e9 / config.rate)
        self._sent: dict[str, float] = {}
        self._accepted: dict[str, float] = {}
        self._filled: dict[str, float] = {}

    def on_start(self) -> None:
        self.subscribe_quotes(INSTRUMENT)
        self._from = time.monotonic() + SETTLE_SECONDS
        self.clock.set_timer_ns("order", self._step_ns, callback=self.place)

    def on_quote(self, _quote: QuoteTick) -> None:
        """Quotes are what a client has on its screen while it trades."""

    def place(self, _event: Any) -> None:
        number = len(self._sent)
        if number == self._wanted or time.monotonic() < self._from:
            return
        side = OrderSide.SELL if number & 1 else OrderSide.BUY
        order = self.order_factory.market(INSTRUMENT, side, QUANTITY)
        self._sent[str(order.client_order_id)] = time.perf_counter()
        self.submit_order(order)

    def on_order_event(self, event: Any) -> None:
        now = time.perf_counter()
        if not isinstance(event, OrderAccepted | OrderFilled):
            return
        order = str(event.client_order_id)
        found = self._accepted if isinstance(event, OrderAccepted) else self._filled
        if order not in self._sent:
            return
        found[order] = (now - self._sent[order]) * 1000
        if found is self._filled and len(found) == self._wanted:
            self.tell(orders={"accepted": list(self._accepted.values()), "filled": list(self._filled.values())})


class RestingConfig(StrategyConfig):
    def __init__(self, *, out: str, orders: int, **_base: Any) -> None:
        self.out, self.orders = out, int(orders)


class Resting(Measuring):
    """Opens a position and lets orders rest far from the market, once; one that finds orders leaves them."""

    def __init__(self, config: RestingConfig) -> None:
        super().__init__(config)
        self.out = config.out
        self._wanted = config.orders
        self._done = False
        self._up: set[str] = set()
        self._has_position = False

    def on_start(self) -> None:
        found = len(self.cache.orders_open())
        self._done = found > 0
        self.tell(started=time.time(), orders=found)
        self.subscribe_quotes(INSTRUMENT)

    def on_quote(self, quote: QuoteTick) -> None:
        if self._done:
            return
        self._done = True
        self.submit_order(self.order_factory.market(INSTRUMENT, OrderSide.BUY, QUANTITY))
        bid = quote.bid_price.as_double()
        for number in range(self._wanted):
            price = Price.from_str(f"{bid * FAR - number:.1f}")
            self.submit_order(self.order_factory.limit(INSTRUMENT, OrderSide.BUY, QUANTITY, price))

    def on_order_event(self, event: Any) -> None:
        if isinstance(event, OrderFilled):
            self._has_position = True
        elif isinstance(event, OrderAccepted):
            self._up.add(str(event.client_order_id))
        else:
            return
        if self._has_position and len(self._up) == self._wanted + 1:
            self._wanted = -2
            self.tell(ready=time.time())
