# expect: 1 indicator Broken.handle_bar raised ValueError: cannot indicate
from nautilus_trader.model import Bar, BarType
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


class Broken:
    name = "broken"
    initialized = True

    def handle_bar(self, bar: Bar) -> None:
        raise ValueError("cannot indicate")


class Bad(Strategy):
    def on_start(self) -> None:
        self.register_indicator_for_bars(BARS, Broken())
        self.subscribe_bars(BARS)
