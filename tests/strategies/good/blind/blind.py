from nautilus_trader.trading import Strategy


class Blind(Strategy):
    """Looks at nothing, and cancels every timer it may have."""

    def on_start(self) -> None:
        self.clock.cancel_timers()
