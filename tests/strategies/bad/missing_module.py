# strategy: {path: "crosing:Bad"}
# expect: 2 strategy.path: module crosing not found in the spec's folder nor among the installed packages; modules in the folder: missing_module
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    pass
