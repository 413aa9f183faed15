"""Leaves a process and a thread behind, prints much, and is none the worse for it."""

import os
import subprocess
import threading

from nautilus_trader.model import Bar, BarType
from nautilus_trader.trading import Strategy


class Quiet(Strategy):
    def on_start(self) -> None:
        self.subscribe_bars(BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"))
        threading.Thread(target=threading.Event().wait, name="waits for ever").start()
        self.asleep = subprocess.Popen(["sleep", "3600"])
        if os.fork() == 0:  # holds every descriptor of its parent
            threading.Event().wait()

    def on_bar(self, bar: Bar) -> None:
        print("a word of many, " * 200)
