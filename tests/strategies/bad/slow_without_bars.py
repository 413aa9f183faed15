# expect: 130 was interrupted by max_seconds
# backtest: {max_seconds: 5}
# bars: 0
import time

from nautilus_trader.model import Bar, BarType
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


class Bad(Strategy):
    def on_start(self) -> None:
        self.clock.set_timer_ns("slow", 60_000_000_000, callback=self.slow)

    def slow(self, event: object) -> None:
        time.sleep(0.01)
