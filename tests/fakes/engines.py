"""Engine children with strategies that misbehave. Started as `python -P engines.py NAME FD`."""

import os
import sys
import threading
import time

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Quantity

from opslab.children.engine import main
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
        raise ValueError("cannot bear a fill")


class Panics(Misbehaving):
    """Touches the engine from another thread: a panic in Rust, which aborts the process."""

    def misbehave(self) -> None:
        thread = threading.Thread(target=lambda: self.cache)
        thread.start()
        thread.join()


class Leaves(Misbehaving):
    def misbehave(self) -> None:
        os._exit(7)


class Hangs(Misbehaving):
    """Never comes back from a bar, and says so first."""

    def misbehave(self) -> None:
        self.recorder.messages.send({"event": "scenario_action_triggered", "payload": {"bar": AT_BAR}})
        while True:
            time.sleep(3600)


class Talks(Misbehaving):
    def misbehave(self) -> None:
        print("a word on stdout, from", os.path.abspath(__file__))  # noqa: PTH100
        print("a word on stderr", file=sys.stderr)


class NeverLooks(Misbehaving):
    def on_start(self) -> None:
        pass


class SeesTime(Misbehaving):
    """Tells, of its first bars, when the engine says they are."""

    def on_bar(self, bar: Bar) -> None:
        if self.recorder.bars <= AT_BAR:
            times = {"ts_event": bar.ts_event, "ts_init": bar.ts_init, "clock": self.clock.timestamp_ns()}
            self.recorder.messages.send({"event": "scenario_action_triggered", "payload": times})


class BuysTooMuch(Misbehaving):
    """At about 42,000: 0.55 is worth some 23,000."""

    def misbehave(self) -> None:
        self.buy("0.550")


class BuysABit(Misbehaving):
    def misbehave(self) -> None:
        self.buy("0.450")


ENGINES = {found.__name__: found for found in Misbehaving.__subclasses__()}

if __name__ == "__main__":
    sys.exit(main({("ops_smoke_demo", "v1"): ENGINES[sys.argv[1]]}, int(sys.argv[2])))
