from nautilus_trader.model import Bar
from nautilus_trader.trading import Strategy

from .names import BARS


class Base(Strategy):
    """An intermediate base: handlers here are guarded like any other."""

    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        self.act(bar)

    def act(self, bar: Bar) -> None:
        raise NotImplementedError
