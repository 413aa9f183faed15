"""One engine of a paper run, from its start to its end: what it said, and whether it is still well."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.paper_messages import EngineHeartbeat, Flattened
from opslab.model.run.live_status import Phase
from opslab.model.run.metadata import EngineCost, Failure, ScenarioCounters
from opslab.model.spec.run_spec import PaperLimits
from opslab.runs.processes.child_process import ChildProcess

Complaint = Literal["hang", "memory", "no_start"]
START_SECONDS = 60.0
"""From spawn to the first beat; the engine itself gives up connecting before."""
LAST_BAR_TIMEOUT_SECONDS = 5.0
"""How long the last bar may take to be dealt with, once the venue has sent all."""
SIGNALS: tuple[StopReason, ...] = ("SIGINT", "SIGTERM")
"""Why an engine closes its gate that somebody else told to end."""
LAST_EVENTS = 8
_KEPT_FIELDS = ("type", "client_order_id", "venue_order_id", "feed", "to", "why", "last_qty", "last_px", "bar")


@dataclass(slots=True)
class EngineSession:
    number: int
    child: ChildProcess
    started_s: float
    started_at: str
    first_beat_s: float | None = None
    last_beat_s: float | None = None
    beat: EngineHeartbeat | None = None
    beats: int = 0
    bars: int = 0
    rows: int = 0
    """Bars of the run's own type that it told of, each once."""
    actions: int = 0
    """Of a scenario, as it told last."""
    newest_ns: int = 0
    """`ts_event` of the newest of them."""
    failure: Failure | None = None
    counters: ScenarioCounters | None = None
    cost: EngineCost | None = None
    denial_reasons: dict[str, int] = field(default_factory=dict)
    dropped_messages: int = 0
    flattened: Flattened | None = None
    ending: bool = False
    """Whether it was asked to end, or said that it does."""
    killed_for: Complaint | None = None
    ended_by: str | None = None
    """In a word, once it is gone: see `model/paper_facts.EngineLife`."""
    last_events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LAST_EVENTS))
    """What it told last, for the record of its loss."""

    @property
    def source(self) -> str:
        """Its name in the inbox."""
        return f"engine {self.number}"

    def count_row(self, ts_event: int) -> None:
        """Its strategy was given a bar: told at once, while counts come now and then, and no more from the dead."""
        if ts_event > self.newest_ns:
            self.newest_ns = ts_event
            self.rows += 1
            self.bars = max(self.bars, self.rows)

    def apply(self, message: Mapping[str, Any]) -> None:
        """What it says of itself: how far it is, that and how it ended."""
        if "progress" in message:
            self.bars, self.actions = max(self.bars, message["progress"]["bars"]), message["progress"]["actions"]
        elif "ended" in message:
            self.bars, self.ending = message["ended"]["bars"], True
        elif "failure" in message:
            self.failure = Failure.model_validate(message["failure"])
        elif "result" in message:
            result = message["result"]
            self.counters = ScenarioCounters.model_validate(result["counters"])
            self.cost = EngineCost.model_validate(result["cost"])
            self.denial_reasons, self.dropped_messages = result["denial_reasons"], result["dropped"]

    def remember(self, name: str, payload: Mapping[str, Any]) -> None:
        """Remember which event it was, without its figures."""
        self.last_events.append({"event": name, **{key: payload[key] for key in _KEPT_FIELDS if key in payload}})


@dataclass(frozen=True, slots=True)
class EngineObservation:
    """What can be seen of an engine from outside. Seconds on one monotonic clock."""

    started_s: float
    last_beat_s: float | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Bounds:
    hang_after_seconds: float
    max_memory_bytes: int
    start_seconds: float = START_SECONDS


def complaint(signs: EngineObservation, bounds: Bounds, now_s: float) -> Complaint | None:
    """What is wrong with an engine; None: nothing. A leak is named before the hang that it may cause."""
    if signs.memory_bytes is not None and signs.memory_bytes > bounds.max_memory_bytes:
        return "memory"
    if signs.last_beat_s is None:
        return "no_start" if now_s - signs.started_s > bounds.start_seconds else None
    return "hang" if now_s - signs.last_beat_s > bounds.hang_after_seconds else None


def cause(session: EngineSession, death: Failure | None, bounds: Bounds) -> Failure | None:
    """Why an engine is gone; None when it ended as it should. death: what its process says of that."""
    if session.failure:
        return session.failure
    if session.killed_for:
        return Failure(
            kind="engine", message=complaint_text(session.killed_for, bounds), detail=death.detail if death else ""
        )
    if death:
        return death
    return None if session.counters else Failure(kind="engine", message="the engine ended without a result")


def engine_end_code(session: EngineSession, failure: Failure | None) -> str:
    """How it ended, in a word. failure: its cause."""
    if failure is None:
        return "stopped"
    if session.killed_for:
        return session.killed_for
    return failure.kind if session.failure else session.child.ended_with or failure.kind


def phase_of(session: EngineSession | None, is_ending: bool) -> Phase:
    """What a run does whose engine is as it is; None: it has none."""
    if is_ending or (session and session.ending):
        return "stopping"
    if session is None or session.first_beat_s is None:
        return "starting" if session is None or session.number == 1 else "restarting"
    return "running"


def last_bar_overdue(session: EngineSession, replayed_s: float | None, now_s: float) -> bool:
    """Whether there is nothing to wait for any more: the last bar is late, or was lost on the way."""
    if replayed_s is None or session.first_beat_s is None:
        return False
    return now_s > max(replayed_s, session.first_beat_s) + LAST_BAR_TIMEOUT_SECONDS


def unrequested_stop(reason: StopReason) -> Failure:
    """Why an engine ended that neither control nor its last bar let end."""
    return Failure(kind="engine", message=f"the engine ended by itself: {reason}, which did not come from tc")


def loss_payload(session: EngineSession, failure: Failure) -> dict[str, Any]:
    """What the journal keeps of an engine that was lost."""
    return {
        "engine_number": session.number,
        "ended_by": session.ended_by,
        "failure": failure.model_dump(),
        "bars": session.bars,
        "memory_bytes": session.beat.memory_bytes if session.beat else None,
        "last_events": list(session.last_events),
    }


def may_restart(session: EngineSession, failure: Failure, limits: PaperLimits) -> bool:
    """What befell the process may be over with a new one; a strategy that raised would do it again."""
    return limits.restart == "on_failure" and session.number <= limits.max_restarts and failure.kind != "strategy"


def complaint_text(about: Complaint, bounds: Bounds) -> str:
    """For people."""
    if about == "memory":
        return f"the engine used more than {bounds.max_memory_bytes >> 20} MB (paper.max_memory_mb), and was killed"
    if about == "hang":
        return (
            f"the engine gave no sign of life for {bounds.hang_after_seconds:g} s (paper.hang_after_seconds), "
            "and was killed"
        )
    return f"the engine did not come to life within {bounds.start_seconds:g} s, and was killed"
