"""Compare two account snapshots, and keep the result with a run."""

from opslab.reconciliation.limits import limits_of
from opslab.reconciliation.result import (
    EXIT_CODES,
    Limits,
    ReconciliationFinding,
    ReconciliationResult,
    SnapshotSummary,
    State,
)
from opslab.runs.checks.heartbeat import reconcile_heartbeat
from opslab.runs.checks.reconciliation import RecordedReconciliation, reconcile_files

__all__ = [
    "EXIT_CODES",
    "Limits",
    "ReconciliationFinding",
    "ReconciliationResult",
    "RecordedReconciliation",
    "SnapshotSummary",
    "State",
    "limits_of",
    "reconcile_files",
    "reconcile_heartbeat",
]
