"""A strategy that chooses the ids of its orders, and continues with the order of an engine before its own."""

from typing import Any

from nautilus_trader.model import Bar, BarType, ClientOrderId, InstrumentId, OrderSide, Price, Quantity
from nautilus_trader.trading import Strategy

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
SIZE = Quantity.from_str("0.005")
FAR_BELOW = Price.from_str("30000.0")


class ChoosesIds(Strategy):
    """The first engine places `first` and keeps it; the next cancels it, and then buys on that event."""

    has_placed = False

    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        if self.has_placed:
            return
        if not self.cache.orders():
            self.has_placed = True
            name = ClientOrderId("first")
            limit = self.order_factory.limit(INSTRUMENT, OrderSide.BUY, SIZE, FAR_BELOW, client_order_id=name)
            self.submit_order(limit)
        for order in self.cache.orders_open():
            self.cancel_order(order.client_order_id)

    def on_order_canceled(self, event: Any) -> None:
        name = ClientOrderId(f"after-{event.client_order_id}")
        self.submit_order(self.order_factory.market(INSTRUMENT, OrderSide.BUY, SIZE, client_order_id=name))
