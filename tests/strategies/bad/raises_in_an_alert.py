# expect: 1 timer callback Bad.on_start.<locals>.<lambda> raised ZeroDivisionError: division by zero
from nautilus_trader.model import Bar, BarType
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


class Bad(Strategy):
    def on_start(self) -> None:
        at = self.clock.timestamp_ns() + 600_000_000_000
        self.clock.set_time_alert_ns("once", at, callback=lambda event: 1 / 0)
