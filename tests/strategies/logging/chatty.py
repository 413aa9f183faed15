"""Strategies that log."""

import os
import threading
import time
from pathlib import Path

from nautilus_trader.model import BarType, ExecAlgorithmId, InstrumentId, OrderSide, Quantity
from nautilus_trader.trading import Strategy, StrategyConfig

BARS = "BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"


class ChattyConfig(StrategyConfig):
    def __init__(self, *, lines: int = 1, ends: str = "", **base: object) -> None:
        self.lines = lines
        self.ends = ends


class Chatty(Strategy):
    """Logs at each level at every bar; `lines` warnings."""

    def on_start(self) -> None:
        self.bars = 0
        self.subscribe_bars(BarType.from_str(BARS))
        if self.config.ends == "thread":
            threading.Thread(target=time.sleep, args=(3_600,)).start()

    def on_bar(self, bar: object) -> None:
        self.bars += 1
        self.log.debug("a debug line")
        self.log.info("an info line")
        for number in range(self.config.lines):
            self.log.warning(f"warning {number} at bar {self.bars}: {'x' * 100}")
        self.log.error(f"error at bar {self.bars}, see {Path(__file__).resolve()}")
        if self.bars == 5 and self.config.ends == "raise":
            raise ValueError("its own mistake")
        if self.bars == 5 and self.config.ends == "block":
            control = os.getppid()
            while os.getppid() == control:
                time.sleep(0.01)
            os._exit(3)


class Buyer(Strategy):
    """A market order at every bar."""

    algorithm: ExecAlgorithmId | None = None

    def on_start(self) -> None:
        self.bars = 0
        self.subscribe_bars(BarType.from_str(BARS))

    def on_bar(self, bar: object) -> None:
        instrument_id = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
        quantity = Quantity.from_str("0.010")
        order = self.order_factory.market(instrument_id, OrderSide.BUY, quantity, exec_algorithm_id=self.algorithm)
        self.submit_order(order)


class Delegating(Buyer):
    """Its orders are for an execution algorithm that does not exist."""

    algorithm = ExecAlgorithmId("TWAP")
