# expect: 1 topic handler Bad.hear raised ValueError: will not hear
from nautilus_trader.model import Bar, BarType
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


class Bad(Strategy):
    seen = 0

    def on_start(self) -> None:
        self.subscribe_bars(BARS)
        self.subscribe_topic("news", self.hear)

    def on_bar(self, bar: Bar) -> None:
        self.publish_message("news", "a message")

    def hear(self, message: object) -> None:
        raise ValueError("will not hear")
