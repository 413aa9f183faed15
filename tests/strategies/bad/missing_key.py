# expect: 2 strategy.config.fast: is missing (int); known here: bar_type, fast, share, name, strategy_id
# strategy: {path: "missing_key:Bad", config_path: "missing_key:BadConfig", config: {bar_type: BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL}}
from decimal import Decimal

from nautilus_trader.model import BarType
from nautilus_trader.trading import Strategy, StrategyConfig


class BadConfig(StrategyConfig):
    def __init__(self, *, bar_type: BarType, fast: int, share: Decimal = Decimal("0.5"), name: str = "a", **base: object) -> None:
        self.fast = fast


class Bad(Strategy):
    def __init__(self, config: BadConfig) -> None:
        super().__init__(config)
