"""Events that change the state of a run: its beginning, the kill switch, its end."""

from typing import Any, Literal, Self, TypedDict

from pydantic import Field

from opslab.model.journal.check_events import CHECK_KINDS
from opslab.model.journal.journal_event import RUNNING, UNFINISHED, JournalEvent, Kinds, by_name
from opslab.model.run.engine_log import LogFacts
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.metadata import (
    FINAL,
    EngineCost,
    Failure,
    Git,
    Identity,
    Owner,
    RunDataset,
    Safety,
    ScenarioCounters,
    Status,
    Trace,
)
from opslab.model.run.paper_summary import PaperFacts
from opslab.model.run.run_counters import OrderCounters
from opslab.model.run.warning import RunWarning

INITIALIZED: frozenset[Status] = frozenset({"initialized"})


class RunInitialized(JournalEvent):
    """The requested run; the first line of every journal."""

    EVENT = "run_initialized"
    STATUSES = frozenset()

    format: int
    """2: format of the run's folder."""
    run_id: str
    mode: Literal["backtest", "paper"]
    strategy: dict[str, str]
    """`name` and `version` of a scenario; `path` and `config_path` of a user strategy."""
    venue: str
    instrument: str
    risk_profile: str
    dataset: RunDataset | None = None
    identity: Identity | None = None
    """Parts of the input digest."""
    input_digest: str | None = None
    git: Git | None = None
    """State of the spec file's repository; `null` outside a repository."""
    lab_version: str
    reproduces: str | None = None
    """The run that this one repeats."""
    spec_file_digest: str | None = None
    """Digest of `run_spec.yaml`."""


class RunStarted(JournalEvent):
    """The owner of the run, and its trace. The other fields are those that have changed since `run_initialized`."""

    EVENT = "run_started"
    STATUSES = INITIALIZED

    owner: Owner
    dataset: RunDataset | None = None
    identity: Identity | None = None
    input_digest: str | None = None
    git: Git | None = None
    lab_version: str | None = None
    trace: Trace | None = None
    """Ids of the [trace](traces.md); without it, the run has none."""


# Kill switch.


class _SwitchObserved(JournalEvent, Safety):
    """As in the section `safety` of the metadata."""

    @classmethod
    def of(cls, safety: Safety) -> Self:
        return cls(**safety.model_dump())

    def safety(self) -> Safety:
        return Safety(**self.model_dump())


class KillSwitchObserved(_SwitchObserved):
    """The state of the kill switch: at the gate before `run_started`; after a `tc kill` of a run that had not ended;
    or when the run itself observed that it must stop. The fields are those of the
    [safety record](safety-gate.md#safety-record).
    """

    EVENT = "kill_switch_observed"
    STATUSES = UNFINISHED


class PaperSafetyChecked(_SwitchObserved):
    """As `kill_switch_observed`, at the gate of a paper run."""

    EVENT = "paper_safety_checked"
    STATUSES = INITIALIZED


class _SafetyBlocked(JournalEvent):
    STATUSES = INITIALIZED
    ENDS_AS = "safety_blocked"

    ended_by: Literal["kill_switch"]
    file: str
    """File of the switch, relative to the home."""
    reason: str | None


class RunSafetyBlocked(_SafetyBlocked):
    """The kill switch blocked a backtest."""

    EVENT = "run_safety_blocked"


class PaperSafetyBlocked(_SafetyBlocked):
    """The kill switch blocked a paper run."""

    EVENT = "paper_safety_blocked"


# The end of a run. Fields without a value in the line: there are no results up to that point.


class RunEnded(JournalEvent):
    """Base class of the events that end a run after its start."""

    STATUSES = RUNNING

    metrics: ScenarioCounters | None = None
    """[Counters](run.md#counters) of the results."""
    orders: OrderCounters | None = None
    """[Orders by outcome](run.md#orders-by-outcome)."""
    engine_cost: EngineCost | None = None
    """Resources of the engine."""
    denial_reasons: dict[str, int] = Field(default_factory=dict)
    """Reason to number of orders that were denied."""
    rejection_reasons: dict[str, int] = Field(default_factory=dict)
    """Reason, without prices and order ids, to number of orders that the venue rejected."""
    artifacts: dict[str, str] = Field(default_factory=dict)
    """File name to content digest."""
    paper: PaperFacts | None = None
    """[Summary](paper-results.md#the-section-paper) of a paper run."""
    warnings: tuple[RunWarning, ...] = ()
    """[Warnings](run.md#warnings)."""
    log: LogFacts | None = None
    """[Counts](run.md#log) of the log of engine and strategy."""


class RunResults(TypedDict, total=False):
    """The fields of `RunEnded`, as far as there are results."""

    metrics: ScenarioCounters
    orders: OrderCounters
    engine_cost: EngineCost
    denial_reasons: dict[str, int]
    rejection_reasons: dict[str, int]
    artifacts: dict[str, str]
    paper: PaperFacts
    warnings: tuple[RunWarning, ...]
    log: LogFacts


class RunCompleted(RunEnded):
    """The run completed."""

    EVENT = "run_completed"
    ENDS_AS = "completed"

    ended_by: str | None = None
    """[Stop reason](paper.md#stop-reasons) of a paper run."""
    result_digest: str | None = None
    """`null` for a paper run."""


class RunFailed(RunEnded):
    """The run failed."""

    EVENT = "run_failed"
    STATUSES = UNFINISHED
    ENDS_AS = "failed"

    halt: HaltFacts | None = None
    """[Halt record](kill-switch.md#halt-record) of a paper run that the kill switch stopped."""
    ended_by: str | None = None
    """`kill_switch`, with `halt`; `forced_close` or `margin_call` of a paper run."""
    failure: Failure


class RunHalted(RunEnded):
    """The kill switch stopped the run, or `tc run recover` found that it had stopped it."""

    EVENT = "run_halted"
    ENDS_AS = "halted"

    halt: HaltFacts | None = None
    """[Halt record](kill-switch.md#halt-record)."""
    ended_by: str
    """`kill_switch`."""
    result_digest: None = None
    ended_at: str | None = None
    """When its owner was last alive, UTC, of a recovered run."""
    recovered_at: str | None = None
    """When the recovery settled it, UTC."""

    def payload(self) -> dict[str, Any]:
        """A backtest and a recovery have always written `halt` and `result_digest` in another order."""
        payload = super().payload()
        moved = "ended_by" if self.recovered_at else "halt" if self.paper is None else ""
        following = ("ended_by", "ended_at", "recovered_at") if moved == "ended_by" else (moved,)
        last = {name: payload.pop(name) for name in following if name in payload}
        return payload | last


class RunInterrupted(RunEnded):
    """The run was interrupted."""

    EVENT = "run_interrupted"
    ENDS_AS = "interrupted"

    halt: HaltFacts | None = None
    """[Halt record](kill-switch.md#halt-record) of a recovered run whose halt did not end flat."""
    ended_by: str | None
    """Signal name, `max_seconds`, or `owner_gone`."""
    ended_at: str | None = None
    """When its owner was last alive, UTC, of a recovered run."""
    recovered_at: str | None = None
    """When the recovery settled it, UTC."""


# After the end of a run, checks also before it.


class RunAcknowledged(JournalEvent):
    """`tc run acknowledge`: an operator has dealt with the [end of the run](run.md#acknowledgement)."""

    EVENT = "run_acknowledged"
    STATUSES = FINAL

    reason: str
    actor: str


RUN_EVENTS: Kinds = {
    **by_name(
        RunInitialized,
        RunStarted,
        KillSwitchObserved,
        PaperSafetyChecked,
        RunSafetyBlocked,
        PaperSafetyBlocked,
        RunCompleted,
        RunFailed,
        RunHalted,
        RunInterrupted,
        RunAcknowledged,
    ),
    **CHECK_KINDS,
}
ENDINGS: dict[str, Status] = {name: kind.ENDS_AS for name, kind in RUN_EVENTS.items() if kind.ENDS_AS}
"""Name to status, of the events that end a run."""
