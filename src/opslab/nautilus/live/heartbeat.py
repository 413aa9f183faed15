"""Parts of a heartbeat: when it is due, and the engine's own condition (lag, queues, sockets)."""

from dataclasses import dataclass, field
from typing import Any

from opslab.model.messages.paper_messages import QueueState
from opslab.model.primitives.instant import NS_PER_MS
from opslab.nautilus.canonical import enum_name

HEARTBEAT_SECONDS = 1.0


class HeartbeatTimer:
    """Schedule of the heartbeats. A missed heartbeat is not made up for."""

    def __init__(self, started_at: float) -> None:
        self.number = 0
        self._due_at = started_at

    def beat(self, now: float) -> float | None:
        """Delay of the heartbeat that is due, in seconds, and count it; None when none is due."""
        delay = now - self._due_at
        if delay < 0:
            return None
        self.number += 1
        self._due_at += HEARTBEAT_SECONDS * (1 + delay // HEARTBEAT_SECONDS)
        return delay

    def final_beat(self, now: float) -> float:
        """As `beat`, for the last heartbeat: it is sent at once, due or not."""
        self.number += 1
        return max(0.0, now - self._due_at)


@dataclass(slots=True)
class EngineVitals:
    sockets: dict[str, str] = field(default_factory=dict)
    lag_ns: int | None = None
    """The longest since the last heartbeat."""
    _triggered: dict[str, int] = field(default_factory=dict)
    """Conditions that the engine's queue monitor reports, to the depth of the queue."""

    def record_lag(self, lag_ns: int) -> None:
        if self.lag_ns is None or lag_ns > self.lag_ns:
            self.lag_ns = lag_ns

    def take_max_lag_ms(self) -> float | None:
        lag_ns, self.lag_ns = self.lag_ns, None
        return None if lag_ns is None else round(max(0, lag_ns) / NS_PER_MS, 3)

    def record_queue(self, event: Any) -> None:
        name = f"{enum_name(event.channel)} {enum_name(event.condition)}".lower()
        if enum_name(event.state) == "TRIGGERED":
            self._triggered[name] = event.queue_depth
        else:
            self._triggered.pop(name, None)

    def queue(self) -> QueueState:
        if not self._triggered:
            return QueueState(state="normal", depth=None)
        return QueueState(state=", ".join(sorted(self._triggered)), depth=max(self._triggered.values()))
