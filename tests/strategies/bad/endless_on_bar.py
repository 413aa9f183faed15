# expect: 130 was interrupted by max_seconds
# backtest: {max_seconds: 1}
from nautilus_trader.model import Bar, BarType
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


class Bad(Strategy):
    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        while True:
            pass
