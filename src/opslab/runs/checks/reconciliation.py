"""Reconcile two snapshot files, and record the result in a run."""

from dataclasses import dataclass
from pathlib import Path

from opslab.context import Context
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.reconciliation.compare import compare
from opslab.reconciliation.document import MAX_BYTES
from opslab.reconciliation.result import Limits, ReconciliationResult, conclude
from opslab.reconciliation.snapshot import read_snapshots
from opslab.runs.checks.check_results import RECONCILIATION, CheckResult, RecordedCheck, record_check
from opslab.runs.record.state import read_state
from opslab.store.runs.run_folders import run_folder
from opslab.store.snapshot_file import read_snapshot_file, shown_path


@dataclass(frozen=True, slots=True)
class RecordedReconciliation:
    result: ReconciliationResult
    recorded: RecordedCheck


def reconcile_files(
    context: Context, run_id: str, expected: Path, observed: Path, limits: Limits
) -> RecordedReconciliation:
    """Raises InvalidSnapshots with every mistake of both files, Usage, NotFound, Environment; for the run BadId,
    NotFound, Corrupt, Environment, Unwritable. Then nothing was recorded.
    """
    folder = run_folder(context.layout, run_id)
    instrument = read_state(folder).instrument
    files = [(shown_path(path), read_snapshot_file(path, MAX_BYTES)) for path in (expected, observed)]
    expected_snapshot, observed_snapshot = read_snapshots(files[0], files[1])
    now_ns = context.clock.now_ns()
    result = conclude(
        compare(expected_snapshot, observed_snapshot, instrument, limits, now_ns),
        run_id=folder.name,
        instrument=instrument,
        checked_at=iso(now_ns),
        expected=expected_snapshot.summary(),
        observed=observed_snapshot.summary(),
        limits=limits,
    )
    return RecordedReconciliation(result, record_check(context, RunId(run_id), check_result(result)))


def check_result(result: ReconciliationResult) -> CheckResult:
    return CheckResult(RECONCILIATION, result.event(), result.model_dump(mode="json"))
