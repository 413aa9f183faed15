"""Places one limit order on each side of the close, and cancels both some bars later."""

from decimal import ROUND_DOWN, Decimal

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Price, Quantity
from nautilus_trader.trading import Strategy, StrategyConfig


class RestingConfig(StrategyConfig):
    def __init__(
        self,
        *,
        instrument_id: InstrumentId,
        bar_type: BarType,
        quantity: Quantity,
        distance: Decimal,
        rest_bars: int = 3,
        sides: list[str],
        **base: object,
    ) -> None:
        unknown = set(sides) - {"buy", "sell"}
        if unknown:
            raise ValueError(f"sides are buy and sell, got {', '.join(sorted(unknown))}")
        self.instrument_id = instrument_id
        self.bar_type = bar_type
        self.quantity = quantity
        self.distance = distance
        self.rest_bars = rest_bars
        self.sides = sides


class Resting(Strategy):
    def __init__(self, config: RestingConfig) -> None:
        super().__init__(config)
        self._bars = 0

    def on_start(self) -> None:
        self._tick = self.cache.instrument(self.config.instrument_id).price_increment.as_decimal()
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar: Bar) -> None:
        step = self._bars % (2 * self.config.rest_bars)
        self._bars += 1
        if step == 0:
            for side in self.config.sides:
                self._rest(OrderSide.from_str(side), bar.close.as_decimal())
        elif step == self.config.rest_bars:
            self.cancel_all_orders(self.config.instrument_id)
            self.close_all_positions(self.config.instrument_id, reduce_only=True)

    def _rest(self, side: OrderSide, close: Decimal) -> None:
        """A limit order `distance` away from the close, which may or may not fill."""
        away = -self.config.distance if side == OrderSide.BUY else self.config.distance
        ticks = (close * (1 + away) / self._tick).to_integral_value(ROUND_DOWN)
        price = Price.from_str(f"{ticks * self._tick:f}")
        self.submit_order(self.order_factory.limit(self.config.instrument_id, side, self.config.quantity, price))

    def on_stop(self) -> None:
        self.cancel_all_orders(self.config.instrument_id)
