"""What control does in a paper run, as the rules request it."""

from dataclasses import dataclass

from opslab.model.messages.engine_messages import StopReason
from opslab.model.run.metadata import Failure
from opslab.runs.paper.reconciler import LiveOccasion


@dataclass(frozen=True, slots=True)
class StartVenue: ...


@dataclass(frozen=True, slots=True)
class StartEngine:
    """The first engine, or one that replaces a lost one, which is recorded."""

    number: int


@dataclass(frozen=True, slots=True)
class StopEngine:
    reason: StopReason


@dataclass(frozen=True, slots=True)
class KillEngine:
    dump_stacks: bool = False
    """Whether the engine first prints the stack of each thread into its log."""


@dataclass(frozen=True, slots=True)
class HaltEngine:
    """Send the kill switch to the engine."""


@dataclass(frozen=True, slots=True)
class FailEngine:
    """Record a failure of the engine; its end will be its loss."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class RecordGateClosed:
    """In a halt: no engine runs, so that no order can pass."""


@dataclass(frozen=True, slots=True)
class RecordStopping:
    """Append `run_stopping`."""

    reason: StopReason


@dataclass(frozen=True, slots=True)
class CountClosedMinutes:
    """Keep the number of candles closed so far: no engine is expected to see later ones."""


@dataclass(frozen=True, slots=True)
class AcknowledgeAllBars:
    """Tell the venue not to wait for the candles of a lost engine."""


@dataclass(frozen=True, slots=True)
class StartReconciliation:
    occasion: LiveOccasion


@dataclass(frozen=True, slots=True)
class AbandonChildren:
    """Kill the engine; the venue flattens the account and ends."""


Action = (
    StartVenue
    | StartEngine
    | StopEngine
    | KillEngine
    | HaltEngine
    | FailEngine
    | RecordGateClosed
    | RecordStopping
    | CountClosedMinutes
    | AcknowledgeAllBars
    | StartReconciliation
    | AbandonChildren
)
