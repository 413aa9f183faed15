"""Holds a position of one size, long or short, on the side of the faster moving average."""

from decimal import Decimal

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Quantity
from nautilus_trader.trading import Strategy, StrategyConfig

from .average import MovingAverage


class CrossConfig(StrategyConfig):
    """The engine creates its base before `__init__` runs: never pass the keywords on to `super().__init__`."""

    def __init__(
        self,
        *,
        instrument_id: InstrumentId,
        bar_type: BarType,
        quantity: Decimal,
        fast: int = 10,
        slow: int = 30,
        label: str = "cross",
        **base: object,  # strategy_id and the other keys of the engine's StrategyConfig
    ) -> None:
        if not 0 < fast < slow:
            raise ValueError(f"fast must be between 0 and slow, got fast {fast} and slow {slow}")
        self.instrument_id = instrument_id
        self.bar_type = bar_type
        self.quantity = quantity
        self.fast = fast
        self.slow = slow
        self.label = label


class Cross(Strategy):
    def __init__(self, config: CrossConfig) -> None:
        super().__init__(config)
        self._fast = MovingAverage(config.fast)
        self._slow = MovingAverage(config.slow)
        self._side: OrderSide | None = None

    def on_start(self) -> None:
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar: Bar) -> None:
        close = bar.close.as_decimal()
        fast, slow = self._fast.add(close), self._slow.add(close)
        if fast is None or slow is None or fast == slow:
            return
        side = OrderSide.BUY if fast > slow else OrderSide.SELL
        if side != self._side:
            self._change_side(side)

    def _change_side(self, side: OrderSide) -> None:
        """Hold one quantity on this side; the order has twice the quantity if it also closes the other side."""
        times = 1 if self._side is None else 2
        quantity = Quantity.from_str(f"{times * self.config.quantity:f}")
        tags = [self.config.label]
        self.submit_order(self.order_factory.market(self.config.instrument_id, side, quantity, tags=tags))
        self._side = side

    def on_stop(self) -> None:
        self.close_all_positions(self.config.instrument_id, reduce_only=True)
