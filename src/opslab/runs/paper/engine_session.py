"""One engine process of a paper run: its reported state, its health, the classification of its end."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from opslab.model.journal.engine_events import EngineEnd, EngineEnded, EngineLost
from opslab.model.messages.paper_messages import EngineHeartbeat
from opslab.model.pipe.messages import Ended, EngineResult, Progress, ReceivedMessage
from opslab.model.run.metadata import Failure
from opslab.runs.processes.child_process import ChildProcess

Complaint = Literal["hang", "memory", "no_start"]
START_SECONDS = 60.0
"""From spawn to the first heartbeat; the engine itself gives up connecting earlier."""
LAST_EVENTS = 8
_KEPT_FIELDS = ("type", "client_order_id", "venue_order_id", "feed", "to", "reason", "last_qty", "last_px", "bar")


@dataclass(slots=True)
class EngineSession:
    number: int
    child: ChildProcess
    started_s: float
    started_at: str
    last_heartbeat_s: float | None = None
    heartbeat: EngineHeartbeat | None = None
    heartbeats: int = 0
    bars: int = 0
    received: int = 0
    """Bars of the run's own type that reached the engine, also without a subscription of its strategy."""
    rows: int = 0
    """Bars of the run's own bar type that the engine reported, each counted once."""
    actions: int = 0
    """Scenario actions, as last reported."""
    newest_ns: int = 0
    """`ts_event` of the newest reported bar."""
    failure: Failure | None = None
    result: EngineResult | None = None
    """None for an engine that did not end by itself."""
    killed_for: Complaint | None = None
    ended_by: str | None = None
    """Code, set after its end: see `EngineFacts.ended_by`."""
    last_events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LAST_EVENTS))
    """Its last events, for the record of its loss."""

    @property
    def source(self) -> str:
        """Source name in the inbox."""
        return f"engine {self.number}"

    def count_row(self, ts_event: int) -> None:
        """A bar was delivered to its strategy. Reported at once; periodic counters are lost with a dead engine."""
        if ts_event > self.newest_ns:
            self.newest_ns = ts_event
            self.rows += 1
            self.bars = max(self.bars, self.rows)
            self.received = max(self.received, self.rows)

    def apply(self, message: ReceivedMessage) -> None:
        """Apply a message about the engine itself: progress, end, failure, result."""
        match message:
            case Progress(bars=bars, actions=actions):
                self.bars, self.actions = max(self.bars, bars), actions
            case Ended(bars=bars, received=received):
                self.bars = bars
                self.received = max(self.received, received)
            case Failure():
                self.failure = message
            case EngineResult():
                self.result = message

    def remember(self, name: str, payload: Mapping[str, Any]) -> None:
        """Keep the event's name and identifying fields."""
        self.last_events.append({"event": name, **{key: payload[key] for key in _KEPT_FIELDS if key in payload}})


@dataclass(frozen=True, slots=True)
class EngineObservation:
    """An engine as seen from outside. Seconds on one monotonic clock."""

    started_s: float
    last_heartbeat_s: float | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Bounds:
    hang_after_seconds: float
    max_memory_bytes: int
    start_seconds: float = START_SECONDS


def complaint(observed: EngineObservation, bounds: Bounds, now_s: float) -> Complaint | None:
    """The complaint about an engine, if any. Memory comes before a hang, which it may cause."""
    if observed.memory_bytes is not None and observed.memory_bytes > bounds.max_memory_bytes:
        return "memory"
    if observed.last_heartbeat_s is None:
        return "no_start" if now_s - observed.started_s > bounds.start_seconds else None
    return "hang" if now_s - observed.last_heartbeat_s > bounds.hang_after_seconds else None


def failure_of(session: EngineSession, process_failure: Failure | None, bounds: Bounds) -> Failure | None:
    """Why an engine ended; None for a normal end. process_failure: from its exit code."""
    if session.failure:
        return session.failure
    if session.killed_for:
        return Failure(
            kind="engine",
            message=complaint_text(session.killed_for, bounds),
            detail=process_failure.detail if process_failure else "",
        )
    if process_failure:
        return process_failure
    return None if session.result else Failure(kind="engine", message="the engine ended without a result")


def engine_end_code(session: EngineSession, failure: Failure | None) -> str:
    """How the engine ended, as a code. failure: its cause."""
    if failure is None:
        return "stopped"
    if session.killed_for:
        return session.killed_for
    return failure.kind if session.failure else session.child.ended_with or failure.kind


def engine_ended(session: EngineSession) -> EngineEnded:
    result = session.result
    return EngineEnded(**dict(_engine_end(session)), subscriptions=result.subscriptions if result else ())


def engine_lost(session: EngineSession, failure: Failure) -> EngineLost:
    return EngineLost(
        **dict(_engine_end(session)),
        ended_by=session.ended_by,
        failure=failure,
        memory_bytes=session.heartbeat.memory_bytes if session.heartbeat else None,
        last_events=tuple(session.last_events),
    )


def _engine_end(session: EngineSession) -> EngineEnd:
    """Without a result, as far as known."""
    result = session.result
    return EngineEnd(
        engine_number=session.number,
        bars=session.bars,
        actions=max(session.actions, result.actions if result else 0),
        gated=result.gated if result else {},
        dropped_messages=result.dropped if result else 0,
    )


def complaint_text(kind: Complaint, bounds: Bounds) -> str:
    """The complaint as text."""
    if kind == "memory":
        return f"the engine used more than {bounds.max_memory_bytes >> 20} MB (paper.max_memory_mb), and was killed"
    if kind == "hang":
        return (
            f"the engine sent no heartbeat for {bounds.hang_after_seconds:g} s (paper.hang_after_seconds), "
            "and was killed"
        )
    return f"the engine did not start within {bounds.start_seconds:g} s, and was killed"
