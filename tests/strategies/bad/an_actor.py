# expect: 2 strategy.path: an_actor:Bad is not a strategy (it is an actor)
from nautilus_trader.common import DataActor


class Bad(DataActor):
    pass
