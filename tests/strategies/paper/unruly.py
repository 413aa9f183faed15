"""Strategies that hold a position and a resting order, and then do what a strategy should not.

Each trades at its third bar and misbehaves at its fifth, so that there is something to lose.
"""

import os
import signal
import sys
import threading
import time
from typing import Any

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Price, Quantity
from nautilus_trader.trading import Strategy

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
SIZE = Quantity.from_str("0.005")
FAR_BELOW = Price.from_str("30000.0")
EVERY_MS_NS = 1_000_000
FOREVER_SECONDS = 3_600
MEGABYTES = 8 << 20


class Holds(Strategy):
    seen = 0

    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        if self.seen == 3:
            self.trade()
        elif self.seen == 5:
            self.misbehave()

    def trade(self) -> None:
        self.submit_order(self.order_factory.market(INSTRUMENT, OrderSide.BUY, SIZE))
        self.submit_order(self.order_factory.limit(INSTRUMENT, OrderSide.BUY, SIZE, FAR_BELOW))

    def misbehave(self) -> None:
        pass


class RaisesInOnBar(Holds):
    def misbehave(self) -> None:
        raise ValueError("its own mistake")


class RaisesInOnOrderFilled(Holds):
    def on_order_filled(self, event: Any) -> None:
        raise ValueError("its own mistake")


class RaisesInATimer(Holds):
    def misbehave(self) -> None:
        self.clock.set_timer_ns("t", EVERY_MS_NS, callback=self.tick)

    def tick(self, event: Any) -> None:
        raise ValueError("its own mistake")


class RaisesInOnStart(Holds):
    def on_start(self) -> None:
        raise ValueError("its own mistake")


class RaisesInOnStop(Holds):
    def on_stop(self) -> None:
        raise ValueError("its own mistake")


class BlocksForAWhile(Holds):
    def misbehave(self) -> None:
        time.sleep(5)


class BlocksForEver(Holds):
    def misbehave(self) -> None:
        time.sleep(FOREVER_SECONDS)


class BlocksInOnStart(Holds):
    def on_start(self) -> None:
        time.sleep(FOREVER_SECONDS)


class BlocksInOnStop(Holds):
    def on_stop(self) -> None:
        time.sleep(FOREVER_SECONDS)


class HearsNothing(Holds):
    """And cannot be asked where it stands either."""

    def misbehave(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(FOREVER_SECONDS)


class Leaks(Holds):
    def misbehave(self) -> None:
        self.held: list[bytes] = []
        self.clock.set_timer_ns("t", 10 * EVERY_MS_NS, callback=self.tick)

    def tick(self, event: Any) -> None:
        self.held.append(b"x" * MEGABYTES)


class LeaksAtOnce(Holds):
    def misbehave(self) -> None:
        held = []
        while True:
            held.append(b"x" * MEGABYTES)


class LeavesAtOnce(Holds):
    def misbehave(self) -> None:
        os._exit(3)


class LeavesAsIfAllWereWell(Holds):
    def misbehave(self) -> None:
        os._exit(0)


class Exits(Holds):
    def misbehave(self) -> None:
        sys.exit(0)


class KillsItself(Holds):
    def misbehave(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class EndsItself(Holds):
    def misbehave(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


class StopsTheNode(Holds):
    def misbehave(self) -> None:
        self.shutdown_system("enough")


class ClosesDescriptors(Holds):
    def misbehave(self) -> None:
        os.closerange(3, 256)


class Floods(Holds):
    """With an order every millisecond, from its first bar on and for as long as it is let."""

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        if self.seen == 1:
            self.clock.set_timer_ns("t", EVERY_MS_NS, callback=self.tick)

    def tick(self, event: Any) -> None:
        self.submit_order(self.order_factory.market(INSTRUMENT, OrderSide.BUY, SIZE))


class Unruly(Holds):
    """What harms nobody: it prints megabytes, leaves a thread behind, puts another `submit_order` in place of its own,
    and trades on when it is told to stop.
    """

    def misbehave(self) -> None:
        for _ in range(100):
            print("x" * 100_000)
        threading.Thread(target=time.sleep, args=(FOREVER_SECONDS,)).start()
        self.submit_order = lambda *_words, **_more: None  # type: ignore[method-assign]

    def on_stop(self) -> None:
        Strategy.submit_order(self, self.order_factory.market(INSTRUMENT, OrderSide.BUY, SIZE))
        super().submit_order(self.order_factory.limit(INSTRUMENT, OrderSide.BUY, SIZE, FAR_BELOW))
