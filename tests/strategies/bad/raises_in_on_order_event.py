# expect: 1 on_order_event raised ValueError: cannot bear an event
from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Quantity
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
PERPETUAL = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")


class Bad(Strategy):
    seen = 0

    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def buy(self) -> None:
        self.submit_order(self.order_factory.market(PERPETUAL, OrderSide.BUY, Quantity.from_str("0.010")))

    def on_bar(self, bar: Bar) -> None:
        self.buy()

    def on_order_event(self, event: object) -> None:
        raise ValueError("cannot bear an event")
