"""What a run is known by: its owner, its identity, its state."""

from typing import Annotated, Any, Literal

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.paper_summary import PaperFacts

Status = Literal["initialized", "running", "completed", "failed", "safety_blocked", "halted", "interrupted"]

FINAL: frozenset[str] = frozenset({"completed", "failed", "safety_blocked", "halted", "interrupted"})


class Owner(Record):
    """The process that runs a run. Enough that a reused pid, a reboot or another container cannot pass for it."""

    host: str
    boot_id: str
    pid: int
    process_start: int
    """Clock ticks from boot to the process's start, as the kernel counts them."""
    pid_namespace: str | None = None
    """Which process table `pid` is of: a container has its own."""


class Identity(Record):
    """The parts of the input digest: everything a result may depend on, and no name."""

    spec_digest: str
    dataset_fingerprint: str
    code_digest: str
    engine_version: str
    python_version: str


class Git(Record):
    """State of the repository the spec file stands in; recorded beside the identity, not in it."""

    commit: str
    dirty: bool


class RunDataset(Record):
    name: str
    kind: Literal["synthetic", "imported"]
    fingerprint: str
    rows: int
    """Candles used: all of the dataset, or those of the window."""
    first_open: str
    last_open: str
    start: str | None = None
    """The window that was asked for, as open times; `end` is not part of it."""
    end: str | None = None
    allowed: tuple[str, ...] = ()
    """Rules that the dataset's candles break, allowed by name when they were imported."""


class Failure(Record):
    """Why a run failed: `strategy` (a callback raised), `engine` (a panic or an error of the engine), `lab`."""

    kind: Literal["strategy", "engine", "lab"]
    message: str
    detail: str = ""
    """Traceback or panic text, without absolute paths."""


class ScenarioCounters(Record):
    """What every scenario counts."""

    strategy_registered: int = 0
    bars_seen: int = 0
    deterministic_action_triggered: int = 0
    orders_submitted: int = 0
    fills_count: int = 0
    orders_denied: int = 0
    orders_rejected: int = 0
    orders_canceled: int = 0


class EngineCost(Record):
    """What the engine child took. Never part of a result."""

    elapsed_seconds: float
    bars_per_second: float
    peak_memory_bytes: int


class Safety(Record):
    """What the kill switch said of a run when it was last asked."""

    state: Literal["absent", "active", "cleared"]
    scope: Literal["run", "all"]
    """Whose switch decided: the run's own or that of all runs."""
    file: str
    """Relative to the home."""
    reason: str | None = None
    actor: str | None = None
    activated_at: str | None = None
    cleared_at: str | None = None
    cleared_by: str | None = None
    clear_reason: str | None = None
    problem: str | None = None
    """Why the switch could not be read; it is active for that."""
    observed_by: Literal["start_gate", "command", "watch"]
    """`command`: a `tc kill` told a run that had not ended; `watch`: the run itself, while it ran."""
    checked_at: str


class RunMetadata(Record):
    """`metadata.json`: a projection of the journal, safe to delete."""

    metadata_version: Literal["v2"] = "v2"
    run_id: str
    mode: Literal["backtest", "paper"]
    status: Status
    initialized_at: str
    started_at: str | None = None
    ended_at: str | None = None
    ended_by: str | None = None
    """Signal name or `max_seconds`, which ended an interrupted run; `owner_gone` when nobody was left to say;
    `kill_switch` of one that it kept from starting, or stopped."""
    recovered_at: str | None = None
    """When `tc run recover` settled it; `ended_at` is then its last sign of life."""
    strategy: dict[str, str]
    """`name` and `version` of a scenario; `path` and `config_path` of a user's own."""
    venue: str
    instrument: str
    risk_profile: str
    dataset: RunDataset | None = None
    input_digest: str | None = None
    result_digest: str | None = None
    identity: Identity | None = None
    git: Git | None = None
    reproduces: str | None = None
    """The run that this one repeats, when `tc run reproduce` made it."""
    lab_version: str
    engine: Annotated[str, Field(description="the engine's name")] = "nautilus"
    owner: Owner | None = None
    metrics: ScenarioCounters | None = None
    engine_cost: EngineCost | None = None
    denial_reasons: dict[str, int] = Field(default_factory=dict)
    failure: Failure | None = None
    artifacts: dict[str, str] = Field(default_factory=dict)
    """File name to content digest, of the canonical results."""
    safety: Safety | None = None
    """None before a first start, and of runs from before there was a kill switch."""
    halt: HaltFacts | None = None
    """None unless the kill switch stopped it."""
    connectivity_readiness: dict[str, Any] | None = None
    """Of the last such check, as of the two below: its summary, `artifact` and `digest`."""
    connectivity_probe: dict[str, Any] | None = None
    reconciliation: dict[str, Any] | None = None
    paper: PaperFacts | None = None
    """None of a backtest, and of a paper run that has not ended or that nobody was left to end."""

    @property
    def strategy_title(self) -> str:
        """For people: `ops_smoke_demo v1`, or `crossing.cross:Cross (config crossing.cross:CrossConfig)`."""
        if "path" not in self.strategy:
            return " ".join(self.strategy.values())
        config = self.strategy.get("config_path")
        return f"{self.strategy['path']} (config {config})" if config else self.strategy["path"]

    def with_changes(self, **changes: Any) -> "RunMetadata":
        return self.model_copy(update=changes)
