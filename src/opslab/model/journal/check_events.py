"""Events of checks and drills: they are recorded before the start of a run, while it runs, and after its end."""

from typing import Literal, Self

from pydantic import Field

from opslab.model.checks.connectivity import (
    ProbePhase,
    ProbeReason,
    ProbeResult,
    ProbeState,
    ReadinessResult,
    ReadinessState,
)
from opslab.model.checks.drill import DrillStatus, Verdict
from opslab.model.journal.journal_event import ANY_STATUS, JournalEvent, Kinds, by_name
from opslab.model.run.run_counters import Reconciled


class CheckRecorded(JournalEvent):
    """Base class of the events of a check: the summary of its result."""

    STATUSES = ANY_STATUS

    def with_file(self, artifact: str | None, digest: str | None) -> Self:
        """With the file of the result and its digest; None: it has no file."""
        return self.model_copy(update={"artifact": artifact, "digest": digest})


class ConnectivityReadinessEvaluated(CheckRecorded):
    """A [readiness check](connectivity.md#readiness)."""

    EVENT = "connectivity_readiness_evaluated"

    state: ReadinessState
    problems: str | None = None
    """Codes, separated by commas."""
    target: str | None = None
    venue: str | None = None
    required: int | None = None
    """Number of required variables."""
    required_set: int | None = None
    optional: int | None = None
    """Number of optional variables."""
    optional_set: int | None = None
    missing: str | None = None
    """Names of the required variables that are not set, separated by commas."""
    artifact: str | None = None
    """File with the result."""
    digest: str | None = None
    """Digest of this file."""

    @classmethod
    def of(cls, result: ReadinessResult) -> Self:
        required, optional = list(result.required_env.values()), list(result.optional_env.values())
        return cls(
            state=result.state,
            problems=", ".join(result.problems) or None,
            target=result.target,
            venue=result.venue,
            required=len(required),
            required_set=required.count("set"),
            optional=len(optional),
            optional_set=optional.count("set"),
            missing=", ".join(result.missing_env) or None,
        )


class ConnectivityProbeEvaluated(CheckRecorded):
    """A [probe](connectivity.md#probe). Times in milliseconds."""

    EVENT = "connectivity_probe_evaluated"

    state: ProbeState
    reason: ProbeReason | None = None
    """Reason for a state other than `probe_ok`."""
    phase: ProbePhase | None = None
    """Last phase reached."""
    host: str | None = None
    port: int | None = None
    path: str | None = None
    address: str | None = None
    """Address of the connection."""
    status_code: int | None = None
    body_bytes: int | None = None
    resolve_ms: float | None = None
    connect_ms: float | None = None
    first_byte_ms: float | None = None
    total_ms: float | None = None
    timeout_ms: int | None = None
    artifact: str | None = None
    """File with the result."""
    digest: str | None = None
    """Digest of this file."""

    @classmethod
    def of(cls, result: ProbeResult) -> Self:
        return cls(**result.model_dump(include=set(cls.model_fields) - {"artifact", "digest"}))


class ReconciliationChecked(CheckRecorded):
    """A [comparison](reconciliation.md) of two account snapshots."""

    EVENT = "reconciliation_checked"

    occasion: Literal["startup", "periodic", "final", "heartbeat"] | None = None
    """For a paper run: when its node was compared with its venue; `heartbeat`: later, from a heartbeat."""
    comparisons: int | None = None
    """Number of comparisons until this result."""
    heartbeat: int | None = None
    """`seq` of the heartbeat."""
    state: Reconciled
    mismatch: int | None = None
    """Number of findings in this state; as the next three."""
    unknown: int | None = None
    warning: int | None = None
    ok: int | None = None
    expected_as_of: str | None = None
    """Time of the snapshot, UTC."""
    observed_as_of: str | None = None
    expected_digest: str | None = None
    observed_digest: str | None = None
    first_finding: str | None = None
    """The worst finding as text; `null` when all are `ok`."""
    artifact: str | None = None
    """File with the result; `null` without a file."""
    digest: str | None = None
    """Digest of this file."""


class FailureDrillExecuted(CheckRecorded):
    """A [failure drill](drills.md), in the run that had its fault. Times are of the slowest step."""

    EVENT = "failure_drill_executed"

    drill: str
    status: DrillStatus
    verdict: Verdict
    deviated_at: str | None
    """The first check that did not pass."""
    control_run_id: str | None
    started_at: str
    """UTC, as `ended_at`."""
    ended_at: str
    detect_seconds: float | None
    """From the injection to the detection."""
    recover_seconds: float | None
    """From the end of the fault to the recovery."""
    engine_limits: list[str] = Field(default_factory=list)
    """Names of the [known limits](drills.md#known-limits) that it passed with."""
    artifact: str | None = None
    """File with the record."""
    digest: str | None = None
    """Digest of this file."""


CHECK_KINDS: Kinds = by_name(
    ConnectivityReadinessEvaluated, ConnectivityProbeEvaluated, ReconciliationChecked, FailureDrillExecuted
)
