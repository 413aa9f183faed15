# expect: 2 strategy.config.fast: must be a whole number (int), got '3'; known here: bar_type, fast
# strategy: {path: "text_for_a_number:Bad", config_path: "text_for_a_number:BadConfig", config: {bar_type: BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL, fast: "3"}}
from decimal import Decimal

from nautilus_trader.model import BarType
from nautilus_trader.trading import Strategy, StrategyConfig


class BadConfig(StrategyConfig):
    def __init__(self, *, bar_type: BarType, fast: int, share: Decimal = Decimal("0.5"), name: str = "a", **base: object) -> None:
        self.fast = fast


class Bad(Strategy):
    def __init__(self, config: BadConfig) -> None:
        super().__init__(config)
