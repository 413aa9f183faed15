# strategy: {path: "the_base_itself:Strategy"}
# expect: 2 is the engine's base class itself
from nautilus_trader.trading import Strategy  # noqa: F401
