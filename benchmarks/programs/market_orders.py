"""A strategy that sends market orders at a constant rate, in the lab and in a bare node."""

from decimal import Decimal

from nautilus_trader.model import Bar, BarType, OrderSide, Quantity
from nautilus_trader.trading import Strategy, StrategyConfig


class MarketOrdersConfig(StrategyConfig):
    def __init__(self, *, bar_type: BarType, orders_per_bar: Decimal, quantity: Decimal, **base: object) -> None:
        self.bar_type = bar_type
        self.orders_per_bar = orders_per_bar
        self.quantity = quantity


class MarketOrders(Strategy):
    """Buys and sells in turn."""

    def __init__(self, config: MarketOrdersConfig) -> None:
        super().__init__(config)
        self._config = config
        self._due = Decimal(0)
        self.bars = self.orders = 0

    def on_start(self) -> None:
        self.subscribe_bars(self._config.bar_type)

    def on_bar(self, _bar: Bar) -> None:
        self.bars += 1
        self._due += self._config.orders_per_bar
        while self._due >= 1:
            self._due -= 1
            side = OrderSide.SELL if self.orders % 2 else OrderSide.BUY
            self.orders += 1
            quantity = Quantity.from_str(str(self._config.quantity))
            self.submit_order(self.order_factory.market(self._config.bar_type.instrument_id, side, quantity))
