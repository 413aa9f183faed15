"""The built-in scenarios: strategies with nothing to win, made to be operated."""

from decimal import ROUND_CEILING, ROUND_DOWN, Decimal

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Price, Quantity, StrategyId
from nautilus_trader.trading import StrategyConfig

from opslab.model.market.instrument import Instrument
from opslab.model.primitives.instant import NS_PER_MINUTE
from opslab.nautilus.strategy.guarded import DEFAULT_ID, Guarded, StrategyRecorder, bind

ACTION_BAR = 10
TARGET_NOTIONAL = Decimal(200)
"""Value of one order, in the quote currency: over the venue's minimum, under every profile's limit."""
LIMIT_DISTANCE = Decimal("0.0005")
"""How far from the close the resting orders stand, as a fraction."""


FORGET_EVERY_BARS = 512
FORGET_AFTER_SECONDS = 60
"""On the engine's clock, which is the bars' in a backtest and the wall's in paper: orders that ended so long ago are
dropped from its cache."""


class Scenario(Guarded):
    """A strategy of the lab's own: it knows its instrument, and may speak through its watch.

    It never looks back, so the engine may forget what has ended: results are the same, memory does not grow with the
    run, and the engine is twice as fast. A user's strategy may look back, and so nothing is forgotten there.
    """

    recorder: StrategyRecorder
    instrument: Instrument
    _forgets_at = FORGET_EVERY_BARS

    def forget_what_ended(self) -> None:
        """While no position is open: of an instrument's positions the engine keeps a copy of each that was closed, and
        drops them with the closed one alone, which the next fill would open again (measured: 5 KB each).
        """
        if self.recorder.bars < self._forgets_at or self.cache.positions_open_count():
            return
        self._forgets_at = self.recorder.bars + FORGET_EVERY_BARS
        now_ns = self.clock.timestamp_ns()
        self.cache.purge_closed_orders(now_ns, FORGET_AFTER_SECONDS)
        self.cache.purge_closed_positions(now_ns)


class OpsSmokeDemo(Scenario):
    """Counts bars, acts once at bar 10 by telling its close. Sends no orders."""

    def on_start(self) -> None:
        self.subscribe_bars(BarType.from_str(self.instrument.bar_type))

    def on_bar(self, bar: Bar) -> None:
        if self.recorder.bars == ACTION_BAR:
            self.recorder.actions += 1
            payload = {"bar": ACTION_BAR, "ts_event": bar.ts_event, "close": str(bar.close)}
            self.recorder.messages.send({"event": "scenario_action_triggered", "payload": payload})


class OrderLifecycleDemo(Scenario):
    """Opens in even minutes and closes in odd ones, long and short in turn, with a resting limit order beside.

    What it does follows from the bar's own time and close alone, never from fills or a counter: a restart in the
    middle repeats nothing. Even minutes 0, 4, 8, ... buy, the others sell; a market order opens, a limit order
    0.05 % away may or may not fill; odd minutes cancel what rests and close what is open.
    """

    def on_start(self) -> None:
        self._instrument_id = InstrumentId.from_str(self.instrument.instrument_id)
        self.subscribe_bars(BarType.from_str(self.instrument.bar_type))

    def on_bar(self, bar: Bar) -> None:
        self.forget_what_ended()
        minute = bar.ts_event // NS_PER_MINUTE
        if minute % 2:
            self.cancel_all_orders(self._instrument_id)
            self.close_all_positions(self._instrument_id, reduce_only=True)
            return
        self.recorder.actions = 1
        buy = minute % 4 == 0
        side = OrderSide.BUY if buy else OrderSide.SELL
        close = bar.close.as_decimal()
        quantity = self._quantity(close)
        self.submit_order(self.order_factory.market(self._instrument_id, side, quantity))
        self.submit_order(
            self.order_factory.limit(self._instrument_id, side, quantity, self._away(close, Decimal(-1 if buy else 1)))
        )

    def _quantity(self, close: Decimal) -> Quantity:
        """The smallest quantity worth the target, in whole steps."""
        step = self.instrument.step
        steps = (TARGET_NOTIONAL / close / step).to_integral_value(ROUND_CEILING)
        return Quantity.from_str(f"{steps * step:f}")

    def _away(self, close: Decimal, direction: Decimal) -> Price:
        tick = self.instrument.tick
        ticks = (close * (1 + direction * LIMIT_DISTANCE) / tick).to_integral_value(ROUND_DOWN)
        return Price.from_str(f"{ticks * tick:f}")


SCENARIOS: dict[tuple[str, str], type[Scenario]] = {
    ("ops_smoke_demo", "v1"): OpsSmokeDemo,
    ("order_lifecycle_demo", "v1"): OrderLifecycleDemo,
}


def make(scenario: type[Scenario], instrument: Instrument, recorder: StrategyRecorder) -> Scenario:
    """The strategy, ready to be added to a node."""
    strategy = scenario(StrategyConfig(strategy_id=StrategyId(DEFAULT_ID)))
    strategy.instrument = instrument
    strategy.recorder = recorder
    bind(strategy, recorder)
    return strategy
