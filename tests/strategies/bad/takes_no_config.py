# expect: 2 strategy.path: Bad(config) raised TypeError: Bad.__init__() takes 1 positional argument but 2 were given
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    def __init__(self) -> None:
        super().__init__()
