"""Count the bars of a run: each once, in order, and processed when its orders are acknowledged too."""

from collections.abc import Callable
from dataclasses import dataclass

LAST_BAR_SECONDS = 2.0
"""Time for the orders of the last bar to be acknowledged."""
BAR_TIMEOUT_SECONDS = 15.0
"""Time for the orders of any bar: longer than the engine needs to give up an order without an acknowledgement."""


@dataclass(frozen=True, slots=True)
class OutOfOrderBar:
    """A bar that is not newer than the newest one."""

    ts_event: int
    newest: int


class BarTracker:
    def __init__(self, last_close_ns: int, none_in_flight: Callable[[], bool], report: Callable[[int], None]) -> None:
        """none_in_flight: whether every order is acknowledged. report: called with the number of processed bars."""
        self.count = 0
        self.newest_ns: int | None = None
        self._last_close_ns = last_close_ns
        self._none_in_flight = none_in_flight
        self._report = report
        self._reported = 0
        self._received_at = 0.0
        self._is_handled = True

    def record(self, ts_event: int, now: float) -> OutOfOrderBar | None:
        if self.newest_ns is not None and ts_event <= self.newest_ns:
            return OutOfOrderBar(ts_event, self.newest_ns)
        self.count += 1
        self.newest_ns = ts_event
        self._received_at = now
        self._is_handled = False
        return None

    def handler_returned(self) -> None:
        """The strategy's handler has returned from the newest bar, or was not called for it."""
        self._is_handled = True

    def report_processed(self, now: float) -> None:
        """Report the newest bar if it is processed."""
        if self._reported == self.count or not self._is_handled:
            return
        if self._none_in_flight() or now - self._received_at >= BAR_TIMEOUT_SECONDS:
            self._reported = self.count
            self._report(self.count)

    def is_finished(self, now: float) -> bool:
        """Whether the last bar of the run is processed, or its time has passed."""
        if self.newest_ns is None or self.newest_ns < self._last_close_ns:
            return False
        return self._reported == self.count or now - self._received_at >= LAST_BAR_SECONDS
