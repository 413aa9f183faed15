# expect: 1 thread helper raised ValueError: alone
import threading

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
            thread = threading.Thread(target=self.help, name="helper")
            thread.start()
            thread.join()

    def help(self) -> None:
        raise ValueError("alone")
