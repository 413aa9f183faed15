# strategy: {path: "missing_class:Badd"}
# expect: 2 strategy.path: class Badd is not there in module missing_class (did you mean 'Bad'?); it has: Bad
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    pass
