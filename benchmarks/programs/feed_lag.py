"""Counts messages and measures the lag of each; shared by the clients that measure a feed."""

import statistics
import time
from array import array

WARM_SECONDS = 1.0
"""Warm-up, not counted: subscriptions start one after the other, and messages due meanwhile arrive at once."""
PARTS = 4


class Lags:
    """Call `record` for each message, and `document` after `is_complete`."""

    def __init__(self, seconds: float) -> None:
        """seconds: counting time after the warm-up."""
        self.messages = 0
        self._start_ns = 0
        self._length_ns = int(seconds * 1e9)
        self._ages = [array("d") for _ in range(PARTS)]
        """Lags in ms, for each part of the time."""
        self._last_ns = 0
        self.is_complete = False

    def record(self, stamped_ns: int | None) -> None:
        """stamped_ns: wall-clock timestamp of the message; None: without one, it is only counted."""
        now_ns = time.time_ns()
        if not self._start_ns:
            self._start_ns = now_ns + int(WARM_SECONDS * 1e9)
        since_ns = now_ns - self._start_ns
        if since_ns < 0:
            return
        if since_ns >= self._length_ns:
            self.is_complete = True
            return
        self.messages += 1
        self._last_ns = now_ns
        if stamped_ns is not None:
            self._ages[since_ns * PARTS // self._length_ns].append((now_ns - stamped_ns) / 1e6)

    def document(self) -> dict[str, object]:
        """`seconds`: from the end of the warm-up to the last message; `medians_ms`: of each part, in order."""
        ages = sorted(age for part in self._ages for age in part)
        return {
            "messages": self.messages,
            "seconds": (self._last_ns - self._start_ns) / 1e9 if self.messages else 0.0,
            "medians_ms": [statistics.median(part) if part else None for part in self._ages],
            "p99_ms": ages[len(ages) * 99 // 100] if ages else None,
            "worst_ms": ages[-1] if ages else None,
        }
