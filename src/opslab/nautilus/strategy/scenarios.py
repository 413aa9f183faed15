"""The built-in scenarios: strategies without a market view, made to be operated."""

from decimal import ROUND_CEILING, ROUND_DOWN, Decimal

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Price, Quantity, StrategyId
from nautilus_trader.trading import StrategyConfig

from opslab.model.journal.engine_events import ScenarioActionTriggered
from opslab.model.market.instrument import Instrument
from opslab.model.primitives.instant import NS_PER_MINUTE
from opslab.nautilus.strategy.guarded import DEFAULT_ID, Guarded, StrategyRecorder, bind

ACTION_BAR = 10
TARGET_NOTIONAL = Decimal(200)
"""Value of one order, in the quote currency: above the venue's minimum, below the limit of every risk profile."""
LIMIT_DISTANCE = Decimal("0.0005")
"""Distance of the resting orders from the close, as a fraction."""
PURGE_EVERY_BARS = 512
PURGE_AFTER_SECONDS = 60
"""Age of a closed order at which it is dropped from the engine's cache; on the engine's clock, which is the bars' time
in a backtest and the wall clock in paper."""


class Scenario(Guarded):
    """A strategy of the lab: it has its instrument, and may send messages through its recorder.

    It never reads closed orders, so they are purged from the engine's cache: results are the same, memory does not
    grow with the run, and the engine is twice as fast. A user strategy may read them, so nothing is purged there.
    """

    recorder: StrategyRecorder
    instrument: Instrument
    _next_purge_bar = PURGE_EVERY_BARS

    def purge_closed(self) -> None:
        """Purge closed orders and positions from the engine's cache while no position is open.

        The engine keeps a copy of each closed position of an instrument, and drops the copies only together with the
        closed position itself, which the next fill would open again (measured: 5 KB each).
        """
        if self.recorder.bars < self._next_purge_bar or self.cache.positions_open_count():
            return
        self._next_purge_bar = self.recorder.bars + PURGE_EVERY_BARS
        now_ns = self.clock.timestamp_ns()
        self.cache.purge_closed_orders(now_ns, PURGE_AFTER_SECONDS)
        self.cache.purge_closed_positions(now_ns)


class OpsSmokeDemo(Scenario):
    """Counts bars, and acts once: it sends the close of bar 10. Sends no orders."""

    def on_start(self) -> None:
        self.subscribe_bars(BarType.from_str(self.instrument.bar_type))

    def on_bar(self, bar: Bar) -> None:
        if self.recorder.bars == ACTION_BAR:
            self.recorder.actions += 1
            action = ScenarioActionTriggered(bar=ACTION_BAR, ts_event=bar.ts_event, close=str(bar.close))
            self.recorder.messages.send(action)


class OrderLifecycleDemo(Scenario):
    """Opens a position in even minutes and closes it in odd ones, long and short in turn, with a resting limit order.

    Each decision depends on the bar's own time and close alone, never on fills or a counter: a restart in the middle
    repeats nothing. Even minutes 0, 4, 8, ... buy, the others sell; a market order opens, a limit order 0.05 % away
    may or may not fill; odd minutes cancel resting orders and close the position.
    """

    def on_start(self) -> None:
        self._instrument_id = InstrumentId.from_str(self.instrument.instrument_id)
        self.subscribe_bars(BarType.from_str(self.instrument.bar_type))

    def on_bar(self, bar: Bar) -> None:
        self.purge_closed()
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
            self.order_factory.limit(
                self._instrument_id, side, quantity, self._limit_price(close, Decimal(-1 if buy else 1))
            )
        )

    def _quantity(self, close: Decimal) -> Quantity:
        """The smallest quantity that is worth at least the target, in whole steps."""
        step = self.instrument.step
        steps = (TARGET_NOTIONAL / close / step).to_integral_value(ROUND_CEILING)
        return Quantity.from_str(f"{steps * step:f}")

    def _limit_price(self, close: Decimal, direction: Decimal) -> Price:
        tick = self.instrument.tick
        ticks = (close * (1 + direction * LIMIT_DISTANCE) / tick).to_integral_value(ROUND_DOWN)
        return Price.from_str(f"{ticks * tick:f}")


SCENARIOS: dict[tuple[str, str], type[Scenario]] = {
    ("ops_smoke_demo", "v1"): OpsSmokeDemo,
    ("order_lifecycle_demo", "v1"): OrderLifecycleDemo,
}


def make_scenario(scenario: type[Scenario], instrument: Instrument, recorder: StrategyRecorder) -> Scenario:
    """The strategy of a scenario, ready to be added to a node."""
    strategy = scenario(StrategyConfig(strategy_id=StrategyId(DEFAULT_ID)))
    strategy.instrument = instrument
    strategy.recorder = recorder
    bind(strategy, recorder)
    return strategy
