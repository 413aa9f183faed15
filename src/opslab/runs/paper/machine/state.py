"""The state of a paper run as control has it."""

from dataclasses import dataclass
from typing import Literal

from opslab.model.messages.engine_messages import SignalName, StopReason
from opslab.model.run.live_status import Phase
from opslab.model.run.metadata import Failure
from opslab.model.spec.run_spec import PaperLimits

RunPhase = Literal["venue_starting", "engine_starting", "running", "engine_ending", "stopping", "done"]
"""`venue_starting`: no engine was started yet. `engine_starting`: no heartbeat of the current engine yet.
`engine_ending`: the engine ends by itself before the end of the run; another one may follow. `stopping`: the run has
its stop reason, and its engine ends. `done`: no engine runs, and none is started any more."""

COMPLETING: frozenset[StopReason] = frozenset({"max_bars", "end_of_data", "max_seconds"})
"""The bounds of a paper run. No other reason completes it."""
ACCOUNT_REASONS: frozenset[StopReason] = frozenset({"forced_close", "margin_call"})
"""What the exchange did to the account. They are recorded as `ended_by` of the failed run."""


@dataclass(frozen=True, slots=True)
class PaperState:
    """Seconds are those of control's monotonic clock."""

    phase: RunPhase = "venue_starting"
    reason: StopReason | None = None
    """The first reason to end the run; the kill switch replaces it."""
    signal: SignalName | None = None
    """Signal that ended the run, or killed its engine."""
    failure: Failure | None = None
    """First failure that the run did not survive."""
    engine_number: int = 0
    """Number of the current or last engine; 0: none was started."""
    first_heartbeat_s: float | None = None
    """Of the current engine."""
    replayed_s: float | None = None
    """When the venue had sent its last candle."""
    reconcile_at_s: float | None = None
    """When the next periodic reconciliation is due; None: after the one in progress."""

    @property
    def has_engine(self) -> bool:
        return self.phase not in ("venue_starting", "done")

    @property
    def is_halted(self) -> bool:
        return self.reason == "kill_switch"

    @property
    def live_phase(self) -> Phase:
        """The phase as the live status shows it."""
        match self.phase:
            case "venue_starting" | "engine_starting":
                return "restarting" if self.engine_number > 1 else "starting"
            case "running":
                return "running"
            case _:
                return "stopping"


@dataclass(frozen=True, slots=True)
class RunBounds:
    """What a run may do, from its plan. It does not change."""

    limits: PaperLimits
    rows: int
    """Number of bars of the run."""
    deadline_s: float
    """`max_seconds`, on control's monotonic clock."""
