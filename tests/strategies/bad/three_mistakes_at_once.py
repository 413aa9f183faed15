# expect: 2 strategy.config.fats: unknown key
# expect: 2 strategy.config.fast: is missing
# expect: 2 strategy.config.share: must be a number
# expect: 2 3 mistakes in the run spec
# strategy: {path: "three_mistakes_at_once:Bad", config_path: "three_mistakes_at_once:BadConfig", config: {bar_type: BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL, fats: 3, share: [1]}}
from decimal import Decimal

from nautilus_trader.model import BarType
from nautilus_trader.trading import Strategy, StrategyConfig


class BadConfig(StrategyConfig):
    def __init__(self, *, bar_type: BarType, fast: int, share: Decimal = Decimal("0.5"), name: str = "a", **base: object) -> None:
        self.fast = fast


class Bad(Strategy):
    def __init__(self, config: BadConfig) -> None:
        super().__init__(config)
