# expect: 2 strategy.path: Bad(config) raised ValueError: not today (raises_in_init.py:8)
from nautilus_trader.trading import Strategy, StrategyConfig


class Bad(Strategy):
    def __init__(self, config: StrategyConfig) -> None:
        super().__init__(config)
        raise ValueError("not today")
