"""Strategies of the benchmark `halt`, for the lab and for a bare node. They create the file `ready` in their folder.

`Blocked` creates it and then blocks its handler, so that it is stopped while the handler blocks.
"""

import time
from pathlib import Path

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Price, Quantity
from nautilus_trader.trading import Strategy

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
RESTING = 20
BLOCKED_SECONDS = 4.0
FLOOD_NS = 1_000_000


def ready() -> None:
    (Path(__file__).parent / "ready").touch()


class Idle(Strategy):
    def on_start(self) -> None:
        self.accepted = 0
        self.has_sent = False
        self.subscribe_bars(BARS)

    def on_bar(self, _bar: Bar) -> None:
        ready()

    def on_order_accepted(self, _event: object) -> None:
        self.accepted += 1

    def buy(self) -> None:
        self.submit_order(self.order_factory.market(INSTRUMENT, OrderSide.BUY, Quantity.from_str("0.020")))

    def rest(self, number: int) -> None:
        terms = (INSTRUMENT, OrderSide.BUY, Quantity.from_str("0.010"), Price.from_str(f"{20_000 + number}.0"))
        self.submit_order(self.order_factory.limit(*terms))


class Resting(Idle):
    def on_bar(self, _bar: Bar) -> None:
        if not self.has_sent:
            self.has_sent = True
            self.buy()
            for number in range(RESTING):
                self.rest(number)
        elif self.accepted > RESTING:
            self.on_all_accepted()

    def on_all_accepted(self) -> None:
        ready()


class Sending(Idle):
    def on_start(self) -> None:
        super().on_start()
        self.sent = 0
        self.clock.set_timer_ns("flood", FLOOD_NS, callback=self.send)

    def on_bar(self, _bar: Bar) -> None:
        if self.accepted > RESTING:
            ready()

    def send(self, _event: object) -> None:
        self.sent += 1
        if self.sent == 1:
            self.buy()
        self.rest(self.sent % 1000)


class Blocked(Resting):
    def on_all_accepted(self) -> None:
        ready()
        time.sleep(BLOCKED_SECONDS)


CASES = {"idle": Idle, "resting": Resting, "sending": Sending, "blocked": Blocked, "socket-down": Resting}
