"""A post-only order whose modification is rejected, and which stays open."""

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Price, Quantity
from nautilus_trader.trading import Strategy

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
SIZE = Quantity.from_str("0.010")
FAR_BELOW = Price.from_str("40000.00")
FAR_ABOVE = Price.from_str("80000.00")
"""Crosses the market, which a post-only order must not, and is beyond the venue's limit."""


class Modifying(Strategy):
    seen = 0

    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        if self.seen == 2:
            order = self.order_factory.limit(INSTRUMENT, OrderSide.BUY, SIZE, FAR_BELOW, post_only=True)
            self.changed = order.client_order_id
            self.submit_order(order)
        elif self.seen == 4:
            self.modify_order(self.changed, price=FAR_ABOVE)
