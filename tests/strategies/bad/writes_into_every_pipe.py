# expect: 1 something else wrote to its pipe to tc
import os
from contextlib import suppress
from pathlib import Path

from nautilus_trader.model import Bar, BarType
from nautilus_trader.trading import Strategy

BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


class Bad(Strategy):
    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        for path in Path("/proc/self/fd").iterdir():
            if path.is_symlink() and str(path.readlink()).startswith("pipe:") and int(path.name) > 2:
                with suppress(OSError):  # the reading end of one
                    os.write(int(path.name), b'{"order_event":{"type":"Order\n')
