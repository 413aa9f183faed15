# expect: 1 on_bar raised SystemExit: 4
# bars: 5
import sys

from nautilus_trader.model import Bar, BarType
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


class Bad(Strategy):
    seen = 0

    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        if self.seen == 5:
            sys.exit(4)
