# expect: 1 on_stop raised ValueError: cannot stop
# bars: 10080
from nautilus_trader.model import Bar, BarType
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


class Bad(Strategy):
    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_stop(self) -> None:
        raise ValueError("cannot stop")
