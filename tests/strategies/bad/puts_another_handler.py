# expect: 1 the strategy replaced its handler on_bar while it ran
from nautilus_trader.model import Bar, BarType
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


class Bad(Strategy):
    def on_start(self) -> None:
        self.subscribe_bars(BARS)
        self.on_bar = self.on_other_bar

    def on_other_bar(self, bar: Bar) -> None:
        raise ValueError("nobody sees this")
