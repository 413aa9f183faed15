# expect: 1 on_bar raised ValueError: enough
# fills: 1
# kept back: 2
from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Quantity
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
PERPETUAL = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")


class Bad(Strategy):
    seen = 0

    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        if self.seen == 2:
            self.order()
        if self.seen == 5:
            raise ValueError("enough")

    def on_stop(self) -> None:
        self.order()
        self.order()

    def order(self) -> None:
        order = self.order_factory.market(PERPETUAL, OrderSide.BUY, Quantity.from_str("0.010"))
        super().submit_order(order)
