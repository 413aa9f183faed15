# expect: 2 strategy.config.bar_type: must be a valid BarType: Error parsing `BarType` from 'minutes'
# strategy: {path: "no_bar_type:Bad", config_path: "no_bar_type:BadConfig", config: {bar_type: minutes, fast: 3}}
from decimal import Decimal

from nautilus_trader.model import BarType
from nautilus_trader.trading import Strategy, StrategyConfig


class BadConfig(StrategyConfig):
    def __init__(self, *, bar_type: BarType, fast: int, share: Decimal = Decimal("0.5"), name: str = "a", **base: object) -> None:
        self.fast = fast


class Bad(Strategy):
    def __init__(self, config: BadConfig) -> None:
        super().__init__(config)
