# expect: 2 strategy.path: module random of the spec's folder is hidden by a module of the standard library with the same name: rename it
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    pass
