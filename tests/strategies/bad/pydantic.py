# expect: 2 strategy.path: module pydantic of the spec's folder is hidden by an installed module with the same name: rename it
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    pass
