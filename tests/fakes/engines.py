"""Engine children of backtests with strategies that misbehave. Started as `python -P engines.py NAME FD`."""

import os
import sys
import threading
import time

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Quantity

from opslab.children.engine import main
from opslab.model.journal.engine_events import ScenarioActionTriggered
from opslab.nautilus.strategy.scenarios import Scenario

AT_BAR = 5


class Misbehaving(Scenario):
    def on_start(self) -> None:
        self.subscribe_bars(BarType.from_str(self.instrument.bar_type))

    def on_bar(self, bar: Bar) -> None:
        if self.recorder.bars == AT_BAR:
            self.misbehave()

    def misbehave(self) -> None:
        raise NotImplementedError

    def buy(self, quantity: str) -> None:
        instrument_id = InstrumentId.from_str(self.instrument.instrument_id)
        self.submit_order(self.order_factory.market(instrument_id, OrderSide.BUY, Quantity.from_str(quantity)))


class RaisesOnBar(Misbehaving):
    def misbehave(self) -> None:
        raise ValueError("a strategy's own mistake")


class RaisesOnStart(Misbehaving):
    def on_start(self) -> None:
        raise ValueError("cannot start")


class RaisesOnFill(Misbehaving):
    def misbehave(self) -> None:
        self.buy("0.010")

    def on_order_filled(self, event: object) -> None:
        raise ValueError("a mistake in a fill handler")


class Panics(Misbehaving):
    """Uses the engine from another thread: a panic in Rust, which aborts the process."""

    def misbehave(self) -> None:
        thread = threading.Thread(target=lambda: self.cache)
        thread.start()
        thread.join()


class Exits(Misbehaving):
    def misbehave(self) -> None:
        os._exit(7)


class Hangs(Misbehaving):
    """Sends a message, and never returns from the bar."""

    def misbehave(self) -> None:
        self.recorder.messages.send(ScenarioActionTriggered(bar=AT_BAR, ts_event=0, close=""))
        while True:
            time.sleep(3600)


class Prints(Misbehaving):
    def misbehave(self) -> None:
        print("printed on stdout, from", os.path.abspath(__file__))  # noqa: PTH100
        print("printed on stderr", file=sys.stderr)


class SubscribesToNothing(Misbehaving):
    def on_start(self) -> None:
        pass


class SendsTimes(Misbehaving):
    """Sends the engine's times of its first bars; those of its receipt and its clock in place of the close."""

    def on_bar(self, bar: Bar) -> None:
        if self.recorder.bars <= AT_BAR:
            times = f"{bar.ts_init} {self.clock.timestamp_ns()}"
            action = ScenarioActionTriggered(bar=self.recorder.bars, ts_event=bar.ts_event, close=times)
            self.recorder.messages.send(action)


class BuysTooMuch(Misbehaving):
    """At about 42,000: 0.55 is worth some 23,000."""

    def misbehave(self) -> None:
        self.buy("0.550")


class BuysLess(Misbehaving):
    def misbehave(self) -> None:
        self.buy("0.450")


ENGINES = {strategy.__name__: strategy for strategy in Misbehaving.__subclasses__()}

if __name__ == "__main__":
    sys.exit(main({("ops_smoke_demo", "v1"): ENGINES[sys.argv[1]]}, int(sys.argv[2])))
