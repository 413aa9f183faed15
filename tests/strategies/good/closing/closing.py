from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Price, Quantity
from nautilus_trader.trading import Strategy

PERPETUAL = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
SIZE = Quantity.from_str("0.010")


class Closing(Strategy):
    """Leaves a position and a resting order to `on_stop`, of whose orders the engine tells a strategy nothing."""

    seen = 0

    def on_start(self) -> None:
        self.subscribe_bars(BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"))

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        if self.seen == 2:
            self.submit_order(self.order_factory.market(PERPETUAL, OrderSide.BUY, SIZE))
            self.submit_order(self.order_factory.limit(PERPETUAL, OrderSide.BUY, SIZE, Price.from_str("10000.0")))

    def on_stop(self) -> None:
        self.close_all_positions(PERPETUAL)
        self.cancel_all_orders(PERPETUAL)
