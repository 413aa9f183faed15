"""What happens in a paper run. A fact that has an event is in the journal before the rules are applied to it."""

from dataclasses import dataclass

from opslab.model.messages.engine_messages import SignalName, StopReason
from opslab.model.messages.forced_close import ForcedCloseKind
from opslab.model.run.metadata import Failure
from opslab.runs.paper.engine_session import Complaint
from opslab.runs.paper.reconciler import LiveOccasion


@dataclass(frozen=True, slots=True)
class VenueListening: ...


@dataclass(frozen=True, slots=True)
class VenueExited:
    start_number: int
    """Number of venue starts so far."""
    cause: str


@dataclass(frozen=True, slots=True)
class ReplayEnded:
    """The venue has sent its last candle."""

    now_s: float


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """Control received a signal."""

    name: SignalName
    count: int
    """Number of signals so far."""


@dataclass(frozen=True, slots=True)
class KillSwitchActive:
    """Seen by control or reported by the engine, each time."""


@dataclass(frozen=True, slots=True)
class FirstHeartbeat:
    """Of the current engine."""

    now_s: float


@dataclass(frozen=True, slots=True)
class GateReported:
    """The engine closed its gate."""

    reason: StopReason
    """As the engine gave it."""


@dataclass(frozen=True, slots=True)
class PositionForceClosed:
    """The exchange closed the position by force."""

    kind: ForcedCloseKind


@dataclass(frozen=True, slots=True)
class MarginCalled:
    """The exchange called for margin."""


@dataclass(frozen=True, slots=True)
class EngineFinishing:
    """The engine applied `on_stop`, or reported its end."""


@dataclass(frozen=True, slots=True)
class FinalSnapshot:
    """The node sent its last snapshot."""


@dataclass(frozen=True, slots=True)
class EngineUnhealthy:
    """The engine hangs, did not start, or uses too much memory."""

    complaint: Complaint


@dataclass(frozen=True, slots=True)
class EngineExited:
    """The process of the engine has ended."""

    failure: Failure | None
    """None: as requested, or by itself with a result."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    occasion: LiveOccasion
    now_s: float


@dataclass(frozen=True, slots=True)
class ClockChecked:
    """Some time has passed, and the engine is healthy."""

    now_s: float


@dataclass(frozen=True, slots=True)
class ControlFailed:
    """An exception in control: the run cannot continue."""

    failure: Failure


Fact = (
    VenueListening
    | VenueExited
    | ReplayEnded
    | SignalReceived
    | KillSwitchActive
    | FirstHeartbeat
    | GateReported
    | PositionForceClosed
    | MarginCalled
    | EngineFinishing
    | FinalSnapshot
    | EngineUnhealthy
    | EngineExited
    | Reconciled
    | ClockChecked
    | ControlFailed
)
