from nautilus_trader.model import BarType
from nautilus_trader.trading import Strategy


class Plain(Strategy):
    def on_start(self) -> None:
        import json
        import random

        assert json.loads("1") == random.randint(1, 1)  # Python's own
        self.subscribe_bars(BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"))
