# expect: 1 on_start raised ValueError: cannot start
# bars: 0
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    def on_start(self) -> None:
        raise ValueError("cannot start")
