# expect: 2 strategy.config_path: class BadConfig is missing in module missing_config_class
# strategy: {path: "missing_config_class:Bad", config_path: "missing_config_class:BadConfig"}
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    pass
