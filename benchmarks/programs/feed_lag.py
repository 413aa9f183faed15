"""Counting messages, and how old each one is when it is looked at; shared by the clients that measure a feed."""

import statistics
import time
from array import array

WARM_SECONDS = 1.0
"""Not counted: subscriptions come one after the other, and what was due meanwhile comes at once."""
PARTS = 4


class Lags:
    """`seen` for each message; `document` once it is over."""

    def __init__(self, seconds: float) -> None:
        """seconds: how long to count, behind the warm-up."""
        self.messages = 0
        self._begin_ns = 0
        self._length_ns = int(seconds * 1e9)
        self._ages = [array("d") for _ in range(PARTS)]
        """In ms, of each part of the time."""
        self._last_ns = 0
        self.over = False

    def seen(self, stamped_ns: int | None) -> None:
        """stamped_ns: wall clock on the message; None: it has none, and is only counted."""
        now_ns = time.time_ns()
        if not self._begin_ns:
            self._begin_ns = now_ns + int(WARM_SECONDS * 1e9)
        since_ns = now_ns - self._begin_ns
        if since_ns < 0:
            return
        if since_ns >= self._length_ns:
            self.over = True
            return
        self.messages += 1
        self._last_ns = now_ns
        if stamped_ns is not None:
            self._ages[since_ns * PARTS // self._length_ns].append((now_ns - stamped_ns) / 1e6)

    def document(self) -> dict[str, object]:
        """`seconds`: from the end of the warm-up to the last message; `medians_ms`: of each part, in order."""
        every = sorted(age for part in self._ages for age in part)
        return {
            "messages": self.messages,
            "seconds": (self._last_ns - self._begin_ns) / 1e9 if self.messages else 0.0,
            "medians_ms": [statistics.median(part) if part else None for part in self._ages],
            "p99_ms": every[len(every) * 99 // 100] if every else None,
            "worst_ms": every[-1] if every else None,
        }
