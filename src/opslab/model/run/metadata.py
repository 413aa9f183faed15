"""Metadata of a run: owner, identity, state."""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from opslab.model.primitives.record import Record
from opslab.model.run.engine_log import LogFacts
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.paper_summary import PaperFacts
from opslab.model.run.run_counters import OrderCounters
from opslab.model.run.warning import RunWarning

Status = Literal["initialized", "running", "completed", "failed", "safety_blocked", "halted", "interrupted"]

FINAL: frozenset[Status] = frozenset({"completed", "failed", "safety_blocked", "halted", "interrupted"})
EXIT_CODES: dict[Status, int] = {"completed": 0, "failed": 1, "safety_blocked": 4, "halted": 4, "interrupted": 130}
"""Of the command that carried the run out; a completed paper run exits by its final reconciliation."""


class Owner(Record):
    """The process that owns a run. A reused pid, a reboot or another container cannot be mistaken for it."""

    host: str
    boot_id: str
    pid: int
    process_start: int
    """Clock ticks from boot to the process's start, as the kernel counts them."""
    pid_namespace: str | None = None
    """The process table of `pid`: a container has its own."""


class Identity(Record):
    """Parts of the input digest: everything a result may depend on, and no name."""

    spec_digest: str
    dataset_fingerprint: str
    code_digest: str
    engine_version: str
    python_version: str


class Git(Record):
    """State of the spec file's repository; recorded beside the identity, not in it."""

    commit: str
    dirty: bool


class RunDataset(Record):
    name: str
    kind: Literal["synthetic", "imported"]
    fingerprint: str
    rows: int
    """Number of candles used: all of the dataset, or those of the window."""
    first_open: str
    last_open: str
    start: str | None = None
    """The requested window, as open times; `end` is exclusive."""
    end: str | None = None
    allowed: tuple[str, ...] = ()
    """Rules that the candles violate, allowed by name at the import."""
    allowed_findings: dict[str, int] = Field(default_factory=dict)
    """Number of findings of each of these rules."""
    market: Literal["spot"] | None = None
    """`spot`: the candles are those of the spot market."""
    rounded: int = 0
    """Number of candles with a rounded price, and of those with a rounded volume."""


class Failure(Record):
    """Cause of a failed run: `strategy` (a callback raised), `engine` (a panic or an error of the engine), `account`
    (the exchange closed the position by force, or called for margin), `lab`."""

    kind: Literal["strategy", "engine", "account", "lab"]
    message: str
    detail: str = ""
    """Traceback or panic text, without absolute paths."""


class ScenarioCounters(Record):
    """Counters of every scenario."""

    strategy_registered: int = 0
    bars_seen: int = 0
    deterministic_action_triggered: int = 0
    orders_submitted: int = 0
    fills_count: int = 0
    orders_denied: int = 0
    orders_rejected: int = 0
    orders_canceled: int = 0


class EngineCost(Record):
    """Resources that the engine child used. Never part of a result."""

    elapsed_seconds: float
    bars_per_second: float
    peak_memory_bytes: int


class Safety(Record):
    """State of the kill switch for a run at the last check."""

    state: Literal["absent", "active", "cleared"]
    scope: Literal["run", "all"]
    """The switch that decided: of the run, or of all runs."""
    file: str
    """Relative to the home."""
    reason: str | None = None
    actor: str | None = None
    activated_at: str | None = None
    cleared_at: str | None = None
    cleared_by: str | None = None
    clear_reason: str | None = None
    problem: str | None = None
    """Why the switch could not be read; an unreadable switch is active."""
    observed_by: Literal["start_gate", "command", "watch"]
    """`command`: a `tc kill` recorded it in a run that had not ended; `watch`: the run itself, while running."""
    checked_at: str


TraceId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
SpanId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Trace(Record):
    """Ids of a run's [trace](traces.md) in OpenTelemetry, in hexadecimal digits."""

    trace_id: TraceId
    span_id: SpanId
    """The span of the run, the root of its spans."""
    parent_span_id: SpanId | None = None
    """The span of the process that started the run, from `TRACEPARENT`."""


class Acknowledgement(Record):
    """An operator has dealt with the end of a run."""

    at: str
    """UTC."""
    actor: str
    reason: str

    @property
    def line(self) -> str:
        """Display text."""
        return f"{self.at} by {self.actor}: {self.reason}"


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
    """Signal name or `max_seconds` for an interrupted run; `owner_gone` when the owner died before it recorded an end;
    `kill_switch` for a run that the switch blocked or stopped; a `StopReason` for a paper run."""
    recovered_at: str | None = None
    """When `tc run recover` settled it; `ended_at` is then the last record of its owner."""
    acknowledged: Acknowledgement | None = None
    """The last one by `tc run acknowledge`; None again after a later check with the state `mismatch`."""
    strategy: dict[str, str]
    """`name` and `version` of a scenario; `path` and `config_path` of a user strategy."""
    venue: str
    instrument: str
    risk_profile: str
    dataset: RunDataset | None = None
    input_digest: str | None = None
    result_digest: str | None = None
    identity: Identity | None = None
    git: Git | None = None
    reproduces: str | None = None
    """The run that this one repeats; set by `tc run reproduce`."""
    lab_version: str
    engine: Annotated[str, Field(description="the engine's name")] = "nautilus"
    owner: Owner | None = None
    trace: Trace | None = None
    """None: no traces were requested when the run started."""
    metrics: ScenarioCounters | None = None
    orders: OrderCounters | None = None
    """Orders by outcome. None before the end of the run, and when they are not known."""
    engine_cost: EngineCost | None = None
    denial_reasons: dict[str, int] = Field(default_factory=dict)
    rejection_reasons: dict[str, int] = Field(default_factory=dict)
    warnings: tuple[RunWarning, ...] = ()
    """Empty before the end of the run."""
    log: LogFacts | None = None
    """None before the end of the run."""
    failure: Failure | None = None
    artifacts: dict[str, str] = Field(default_factory=dict)
    """File name to content digest, of the canonical results."""
    safety: Safety | None = None
    """None before the first start."""
    halt: HaltFacts | None = None
    """None unless the kill switch stopped the run."""
    connectivity_readiness: dict[str, Any] | None = None
    """Summary, `artifact` and `digest` of the last such check, as in the two fields below."""
    connectivity_probe: dict[str, Any] | None = None
    reconciliation: dict[str, Any] | None = None
    failure_drill: dict[str, JsonValue] | None = None
    """Summary of the drill whose fault the run had; None for any other run."""
    paper: PaperFacts | None = None
    """None for a backtest, and for a paper run without a closing event."""

    @property
    def strategy_title(self) -> str:
        """Display text: `ops_smoke_demo v1`, or `crossing.cross:Cross (config crossing.cross:CrossConfig)`."""
        if "path" not in self.strategy:
            return " ".join(self.strategy.values())
        config = self.strategy.get("config_path")
        return f"{self.strategy['path']} (config {config})" if config else self.strategy["path"]

    def with_changes(self, **changes: Any) -> "RunMetadata":
        return self.model_copy(update=changes)
