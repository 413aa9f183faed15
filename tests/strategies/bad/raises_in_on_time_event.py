# expect: 1 on_time_event raised ValueError: too late
from nautilus_trader.model import Bar, BarType
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


class Bad(Strategy):
    def on_start(self) -> None:
        self.clock.set_timer_ns("tick", 600_000_000_000)

    def on_time_event(self, event: object) -> None:
        raise ValueError("too late")
