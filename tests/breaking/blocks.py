"""A strategy that opens a position at its first bar and blocks in its third, which blocks the whole engine."""

import time

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Quantity
from nautilus_trader.trading import Strategy

INSTRUMENT = "BTCUSDT-PERP.BINANCE"


class Blocks(Strategy):
    def on_start(self) -> None:
        self._bars = 0
        self.subscribe_bars(BarType.from_str(f"{INSTRUMENT}-1-MINUTE-LAST-EXTERNAL"))

    def on_bar(self, bar: Bar) -> None:
        self._bars += 1
        if self._bars == 1:
            order = self.order_factory.market(
                InstrumentId.from_str(INSTRUMENT), OrderSide.BUY, Quantity.from_str("0.010")
            )
            self.submit_order(order)
        elif self._bars == 3:
            time.sleep(3600)
