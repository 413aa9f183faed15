# expect: 2 strategy.config: BadConfig(...) raised ValueError: fast must be under 10 (config_raises.py:9)
# strategy: {path: "config_raises:Bad", config_path: "config_raises:BadConfig", config: {fast: 20}}
from nautilus_trader.trading import Strategy, StrategyConfig


class BadConfig(StrategyConfig):
    def __init__(self, *, fast: int) -> None:
        if fast >= 10:
            raise ValueError("fast must be under 10")


class Bad(Strategy):
    pass
