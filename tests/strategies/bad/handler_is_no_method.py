# expect: 2 strategy.path: Bad.on_bar is not a method
from nautilus_trader.trading import Strategy


class Bad(Strategy):
    on_bar = None
