# expect: 2 strategy.path: Bad.on_bar is async; the engine would never await it
from nautilus_trader.model import Bar
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    async def on_bar(self, bar: Bar) -> None:
        pass
