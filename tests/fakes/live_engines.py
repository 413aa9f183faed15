"""Engine children of paper runs with strategies for tests. Started as `python -P live_engines.py NAME FD`."""

import sys
import time

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Price, Quantity

from opslab.children.engine import main
from opslab.model.journal.engine_events import ScenarioActionTriggered
from opslab.nautilus.strategy.scenarios import Scenario

BLOCKED_SECONDS = 4.0


class Live(Scenario):
    def on_start(self) -> None:
        self._instrument_id = InstrumentId.from_str(self.instrument.instrument_id)
        self.subscribe_bars(BarType.from_str(self.instrument.bar_type))

    def buy(self, quantity: str) -> None:
        self.submit_order(self.order_factory.market(self._instrument_id, OrderSide.BUY, Quantity.from_str(quantity)))

    def rest(self, price: str) -> None:
        """A bid that the market does not reach."""
        terms = (self._instrument_id, OrderSide.BUY, Quantity.from_str("0.010"), Price.from_str(price))
        self.submit_order(self.order_factory.limit(*terms))


class Holds(Live):
    """Opens a position at its first bar, with two resting orders; then it does nothing."""

    def on_bar(self, bar: Bar) -> None:
        if self.recorder.bars == 1:
            self.buy("0.020")
            self.buy("0.011")
            self.rest("41000.0")
            self.rest("40000.0")


class HoldsAndRaises(Holds):
    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
        if self.recorder.bars == 3:
            raise ValueError("a strategy's own mistake")


class CannotStart(Live):
    def on_start(self) -> None:
        raise ValueError("cannot start")


class Blocks(Holds):
    """Blocks the engine's thread for a while in its third bar."""

    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
        if self.recorder.bars == 3:
            self.recorder.messages.send(ScenarioActionTriggered(bar=3, ts_event=bar.ts_event, close=""))
            time.sleep(BLOCKED_SECONDS)


class NeverReturns(Holds):
    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
        if self.recorder.bars == 3:
            self.recorder.messages.send(ScenarioActionTriggered(bar=3, ts_event=bar.ts_event, close=""))
            time.sleep(3600)


class Insists(Holds):
    """Sends orders without end, from a timer, and one more when it is stopped."""

    def on_start(self) -> None:
        super().on_start()
        self.clock.set_timer_ns("insist", 5_000_000, callback=lambda _event: self.rest("39000.0"))

    def on_bar(self, bar: Bar) -> None: ...

    def on_stop(self) -> None:
        self.buy("0.010")


class Near(Live):
    """One bid so near to the market that it is filled soon."""

    def on_bar(self, bar: Bar) -> None:
        if self.recorder.bars == 1:
            self.rest(f"{bar.close.as_double() * 0.9997:.1f}")


class Piles(Live):
    """Builds a position above the limit of one order, by orders below it; then sends an order above the limit."""

    def on_bar(self, bar: Bar) -> None:
        if self.recorder.bars <= 3:
            self.buy("0.020")
        elif self.recorder.bars == 4:
            self.buy("0.060")


class SubscribesToNothing(Live):
    def on_start(self) -> None: ...


class SendsBars(Live):
    def on_bar(self, bar: Bar) -> None:
        self.recorder.messages.send(ScenarioActionTriggered(bar=self.recorder.bars, ts_event=bar.ts_event, close=""))


class StopsItself(Holds):
    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
        if self.recorder.bars == 3:
            self.shutdown_system("enough")


_HOLDING = (Holds, HoldsAndRaises, Blocks, NeverReturns, Insists, StopsItself)
_OTHERS = (CannotStart, Near, Piles, SubscribesToNothing, SendsBars)
ENGINES: dict[str, type[Live]] = {strategy.__name__: strategy for strategy in (*_HOLDING, *_OTHERS)}

if __name__ == "__main__":
    name = sys.argv[1].removesuffix("Polled")  # with this suffix the engine polls its kill switch
    scenarios: dict[tuple[str, str], type[Scenario]] = {("ops_smoke_demo", "v1"): ENGINES[name]}
    sys.exit(main(scenarios, int(sys.argv[2]), polls_switch=name != sys.argv[1]))
