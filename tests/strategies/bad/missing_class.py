# strategy: {path: "missing_class:Badd"}
# expect: 2 strategy.path: class Badd is missing in module missing_class (did you mean 'Bad'?); classes of the module: Bad
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    pass
