"""Strategies that a kill switch meets. `mark` makes a file: a test waits for it."""

import ctypes
import time
from pathlib import Path

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Price, Quantity
from nautilus_trader.trading import Strategy

IID = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


def mark(name: str) -> None:
    (Path(__file__).parent / name).touch()


class Idle(Strategy):
    def on_start(self) -> None:
        self.seen = 0
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        self.act(bar)
        mark(f"bar-{self.seen}")

    def act(self, bar: Bar) -> None: ...

    def buy(self, quantity: str) -> None:
        self.submit_order(self.order_factory.market(IID, OrderSide.BUY, Quantity.from_str(quantity)))

    def rest(self, price: str) -> None:
        terms = (IID, OrderSide.BUY, Quantity.from_str("0.010"), Price.from_str(price))
        self.submit_order(self.order_factory.limit(*terms))


class Rests(Idle):
    """A position and 20 orders that rest."""

    def act(self, bar: Bar) -> None:
        if self.seen == 1:
            self.buy("0.020")
            for n in range(20):
                self.rest(f"{20_000 + n}.0")


class Floods(Idle):
    """An order every millisecond: more than its adapter sends."""

    def on_start(self) -> None:
        super().on_start()
        self.sent = 0
        self.clock.set_timer_ns("flood", 1_000_000, callback=self._send)

    def _send(self, _event: object) -> None:
        self.sent += 1
        if self.sent % 2:
            self.rest(f"{20_000 + self.sent % 1000}.0")
        else:
            self.buy("0.003")


class Asked(Idle):
    """Orders when it is asked to, by the file `order`."""

    def on_start(self) -> None:
        super().on_start()
        self.clock.set_timer_ns("look", 5_000_000, callback=self._look)

    def _look(self, _event: object) -> None:
        asked = Path(__file__).parent / "order"
        if asked.exists():
            asked.unlink()
            self.buy("0.020")
            self.rest("20000.0")
            mark("ordered")


class Blocks(Rests):
    """Holds the engine's thread up until the file `release`, and orders once more when it is free again."""

    def act(self, bar: Bar) -> None:
        super().act(bar)
        asked = Path(__file__).parent / "block"
        if asked.exists():
            asked.unlink()
            mark("blocked")
            self.hold()
            self.buy("0.010")

    def hold(self) -> None:
        while not (Path(__file__).parent / "release").exists():
            time.sleep(0.01)


class BlocksForEver(Blocks):
    def hold(self) -> None:
        time.sleep(3600)


class BlocksAll(Blocks):
    """The whole interpreter: no thread of the engine's process does anything."""

    def hold(self) -> None:
        ctypes.PyDLL(None).sleep(3600)


class BlocksBacktest(Idle):
    def act(self, bar: Bar) -> None:
        self.buy("0.003")
        if self.seen == 2000:
            mark("blocked")
            time.sleep(3600)
