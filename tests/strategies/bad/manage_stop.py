# expect: 2 strategy.config.manage_stop: manage_stop does not work in a backtest
# strategy: {path: "manage_stop:Bad", config_path: "manage_stop:BadConfig", config: {bar_type: BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL, fast: 3, manage_stop: true}}
from decimal import Decimal

from nautilus_trader.model import BarType
from nautilus_trader.trading import Strategy, StrategyConfig


class BadConfig(StrategyConfig):
    def __init__(self, *, bar_type: BarType, fast: int, share: Decimal = Decimal("0.5"), name: str = "a", **base: object) -> None:
        self.fast = fast


class Bad(Strategy):
    def __init__(self, config: BadConfig) -> None:
        super().__init__(config)
