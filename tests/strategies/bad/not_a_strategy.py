# expect: 2 strategy.path: not_a_strategy:Bad is not a strategy: it must derive from nautilus_trader.trading.Strategy
class Bad:
    pass
