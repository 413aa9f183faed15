"""Bars as the run counts them: each once, in order, and dealt with when its orders are answered too."""

from collections.abc import Callable
from dataclasses import dataclass

LAST_SECONDS = 2.0
"""How long the orders of the last bar may take to be answered."""
PATIENCE_SECONDS = 15.0
"""How long any bar may: longer than the engine needs to give up an order that nobody answers it about."""


@dataclass(frozen=True, slots=True)
class OutOfOrderBar:
    """A bar that is not newer than the newest one."""

    ts_event: int
    newest: int


class BarTracker:
    def __init__(self, last_close_ns: int, is_empty: Callable[[], bool], tell: Callable[[int], None]) -> None:
        """none_waits: whether every order has been answered. tell: called with the number of bars dealt with."""
        self.count = 0
        self.newest_ns: int | None = None
        self._last_close_ns = last_close_ns
        self._none_in_flight = is_empty
        self._tell = tell
        self._told = 0
        self._came_at = 0.0
        self._returned = True

    def saw(self, ts_event: int, now: float) -> OutOfOrderBar | None:
        if self.newest_ns is not None and ts_event <= self.newest_ns:
            return OutOfOrderBar(ts_event, self.newest_ns)
        self.count += 1
        self.newest_ns = ts_event
        self._came_at = now
        self._returned = False
        return None

    def returned(self) -> None:
        """The strategy's handler is through with the newest bar, or was not called for it."""
        self._returned = True

    def settle(self, now: float) -> None:
        """Tell of the newest bar if it is dealt with."""
        if self._told == self.count or not self._returned:
            return
        if self._none_in_flight() or now - self._came_at >= PATIENCE_SECONDS:
            self._told = self.count
            self._tell(self.count)

    def all_done(self, now: float) -> bool:
        """Whether the last bar of the run is dealt with, or has had its time."""
        if self.newest_ns is None or self.newest_ns < self._last_close_ns:
            return False
        return self._told == self.count or now - self._came_at >= LAST_SECONDS
