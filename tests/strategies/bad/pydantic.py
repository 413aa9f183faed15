# expect: 2 strategy.path: module pydantic of the spec's folder is hidden by an installed one of that name: rename it
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    pass
