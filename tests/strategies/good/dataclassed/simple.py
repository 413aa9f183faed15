from dataclasses import dataclass, field
from decimal import Decimal

from nautilus_trader.model import BarType
from nautilus_trader.trading import Strategy, StrategyConfig


@dataclass(frozen=True)
class SimpleConfig(StrategyConfig):
    bar_type: str
    share: Decimal
    levels: list[Decimal] = field(default_factory=list)


class Simple(Strategy):
    def on_start(self) -> None:
        assert self.config.levels == [Decimal("0.10"), Decimal(2)]
        assert str(self.config.share) == "0.250"
        assert str(self.strategy_id) == "LAB-001"
        self.subscribe_bars(BarType.from_str(self.config.bar_type))
