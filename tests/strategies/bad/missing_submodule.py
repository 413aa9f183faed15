# strategy: {path: "missing_submodule.inner:Bad"}
# expect: 2 strategy.path: module missing_submodule.inner
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    pass
