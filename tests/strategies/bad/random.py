# expect: 2 strategy.path: module random of the spec's folder is hidden by Python's own of that name: rename it
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    pass
