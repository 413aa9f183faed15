# expect: 1 on_bar raised Silent: (its __str__ raised)
from nautilus_trader.model import Bar, BarType
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Bad(Strategy):
    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        raise Silent
