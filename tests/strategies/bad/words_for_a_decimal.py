# expect: 2 strategy.config.share: must be a number (Decimal), as a number or as text, got 'half'
# strategy: {path: "words_for_a_decimal:Bad", config_path: "words_for_a_decimal:BadConfig", config: {bar_type: BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL, fast: 3, share: half}}
from decimal import Decimal

from nautilus_trader.model import BarType
from nautilus_trader.trading import Strategy, StrategyConfig


class BadConfig(StrategyConfig):
    def __init__(self, *, bar_type: BarType, fast: int, share: Decimal = Decimal("0.5"), name: str = "a", **base: object) -> None:
        self.fast = fast


class Bad(Strategy):
    def __init__(self, config: BadConfig) -> None:
        super().__init__(config)
