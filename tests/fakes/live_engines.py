"""Engine children of paper runs with strategies for tests. Started as `python -P live_engines.py NAME FD`."""

import sys
import time

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Price, Quantity

from opslab.children.engine import main
from opslab.nautilus.strategy.scenarios import Scenario

BLOCKED_SECONDS = 4.0


class Live(Scenario):
    def on_start(self) -> None:
        self._instrument_id = InstrumentId.from_str(self.instrument.instrument_id)
        self.subscribe_bars(BarType.from_str(self.instrument.bar_type))

    def buy(self, quantity: str) -> None:
        self.submit_order(self.order_factory.market(self._instrument_id, OrderSide.BUY, Quantity.from_str(quantity)))

    def rest(self, price: str) -> None:
        """A bid that is not reached."""
        terms = (self._instrument_id, OrderSide.BUY, Quantity.from_str("0.010"), Price.from_str(price))
        self.submit_order(self.order_factory.limit(*terms))


class Holds(Live):
    """Opens at its first bar, with two orders that rest beside; then it does nothing."""

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
    """Holds the engine's thread for a while in its third bar."""

    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
        if self.recorder.bars == 3:
            self.recorder.messages.send({"event": "scenario_action_triggered", "payload": {}})
            time.sleep(BLOCKED_SECONDS)


class NeverReturns(Holds):
    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
        if self.recorder.bars == 3:
            self.recorder.messages.send({"event": "scenario_action_triggered", "payload": {}})
            time.sleep(3600)


class Insists(Holds):
    """Orders without end, from a timer, and once more when it is stopped."""

    def on_start(self) -> None:
        super().on_start()
        self.clock.set_timer_ns("insist", 5_000_000, callback=lambda _event: self.rest("39000.0"))

    def on_bar(self, bar: Bar) -> None: ...

    def on_stop(self) -> None:
        self.buy("0.010")


class Near(Live):
    """One bid so near to the market that it is reached soon."""

    def on_bar(self, bar: Bar) -> None:
        if self.recorder.bars == 1:
            self.rest(f"{bar.close.as_double() * 0.9997:.1f}")


class Piles(Live):
    """A position that is worth more than one order may be, by orders that each are not; and one order too many."""

    def on_bar(self, bar: Bar) -> None:
        if self.recorder.bars <= 3:
            self.buy("0.020")
        elif self.recorder.bars == 4:
            self.buy("0.060")


class SeesNoBars(Live):
    def on_start(self) -> None: ...


class TellsBars(Live):
    def on_bar(self, bar: Bar) -> None:
        self.recorder.messages.send({"event": "scenario_action_triggered", "payload": {"ts_event": bar.ts_event}})


class StopsItself(Holds):
    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
        if self.recorder.bars == 3:
            self.shutdown_system("enough")


_FOUND = (Holds, HoldsAndRaises, CannotStart, Blocks, NeverReturns, Insists, Near, Piles, SeesNoBars, TellsBars)
ENGINES = {found.__name__: found for found in (*_FOUND, StopsItself)}

if __name__ == "__main__":
    name = sys.argv[1].removesuffix("Polled")  # which polls its kill switch
    found: dict[tuple[str, str], type[Scenario]] = {("ops_smoke_demo", "v1"): ENGINES[name]}
    sys.exit(main(found, int(sys.argv[2]), polls_switch=name != sys.argv[1]))
