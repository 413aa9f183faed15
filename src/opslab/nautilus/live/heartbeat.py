"""What a beat tells of the engine itself: how late it is, how much memory it has, how its queues and sockets are."""

import os
from dataclasses import dataclass, field
from typing import Any

from opslab.model.messages.paper_messages import QueueState
from opslab.model.primitives.instant import NS_PER_MS

BEAT_SECONDS = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class HeartbeatTimer:
    """When the next beat is due. One that is late is not made up for: what was missed stays missed."""

    def __init__(self, started_at: float) -> None:
        self.number = 0
        self._due = started_at

    def late_seconds(self, now: float) -> float | None:
        """By how much the beat that is due is late; None when none is. Counts it."""
        late = now - self._due
        if late < 0:
            return None
        self.number += 1
        self._due += BEAT_SECONDS * (1 + late // BEAT_SECONDS)
        return late

    def last(self, now: float) -> float:
        """As `late_seconds`, of the beat behind which there is none: it comes when it comes."""
        self.number += 1
        return max(0.0, now - self._due)


@dataclass(slots=True)
class EngineVitals:
    sockets: dict[str, str] = field(default_factory=dict)
    lag_ns: int | None = None
    """The longest since the last beat."""
    _full: dict[str, int] = field(default_factory=dict)
    """Queues that the engine's monitor complains of, to their depth."""

    def record_lag(self, lag_ns: int) -> None:
        if self.lag_ns is None or lag_ns > self.lag_ns:
            self.lag_ns = lag_ns

    def take_max_lag_ms(self) -> float | None:
        lag_ns, self.lag_ns = self.lag_ns, None
        return None if lag_ns is None else round(max(0, lag_ns) / NS_PER_MS, 3)

    def record_queue(self, event: Any) -> None:
        name = f"{_word(event.channel)} {_word(event.condition)}".lower()
        if _word(event.state) == "TRIGGERED":
            self._full[name] = event.queue_depth
        else:
            self._full.pop(name, None)

    def queue(self) -> QueueState:
        if not self._full:
            return QueueState(state="normal", depth=None)
        return QueueState(state=", ".join(sorted(self._full)), depth=max(self._full.values()))


def memory_bytes() -> int:
    """Resident, of this process."""
    with open("/proc/self/statm", "rb") as stream:
        return int(stream.read().split()[1]) * _PAGE_BYTES


def _word(found: Any) -> str:
    return str(found).rpartition(".")[2]
