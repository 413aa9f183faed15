from nautilus_trader.model import Bar

from ..base import Base


class Inner(Base):
    seen = 0

    def act(self, bar: Bar) -> None:
        self.seen += 1

    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
