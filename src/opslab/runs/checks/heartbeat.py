"""Reconcile a recorded heartbeat of a paper run: the node's account against its venue's at that time.

Only from the journal: the same heartbeat always has the same result.
"""

from collections.abc import Sequence
from pathlib import Path

from opslab.context import Context
from opslab.errors import Usage
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.reconciliation.account_snapshots import NOT_COMPARED
from opslab.reconciliation.confirmation import TimeTolerances
from opslab.reconciliation.result import Limits, ReconciliationResult, conclude
from opslab.reconciliation.tracker import ComparisonResult, SnapshotPair, Tracker, no_answer
from opslab.reconciliation.values import instant
from opslab.runs.checks.check_results import record_check
from opslab.runs.checks.heartbeat_log import RecordedHeartbeat, read_heartbeats
from opslab.runs.checks.reconciliation import RecordedReconciliation, check_result
from opslab.runs.record.state import read_state
from opslab.store.runs.run_folders import run_folder


def reconcile_heartbeat(context: Context, run_id: str, seq: int | None, limits: Limits) -> RecordedReconciliation:
    """seq: of the heartbeat's event; None for the last one that has the venue's account.

    Raises Usage for a run that is not a paper run, NotFound, Corrupt; for the run as `reconcile_files`.
    """
    folder = run_folder(context.layout, run_id)
    metadata = read_state(folder)
    if metadata.mode != "paper":
        raise Usage(
            f"run {folder.name} is a {metadata.mode}: it has no heartbeats",
            hint="--run-id, --expected and --observed compare two snapshot files",
        )
    result = _reconcile_last(folder, read_heartbeats(folder, seq), metadata.instrument, limits)
    return RecordedReconciliation(result, record_check(context, RunId(run_id), check_result(result)))


def _reconcile_last(
    folder: Path, heartbeats: Sequence[RecordedHeartbeat], instrument: str, limits: Limits
) -> ReconciliationResult:
    """The result for the last heartbeat; the earlier ones of its engine show which differences are in transit."""
    last = heartbeats[-1]
    same_engine = [each for each in heartbeats if each.engine_number == last.engine_number]
    comparison, comparisons = _replay(same_engine, instrument, limits)
    return conclude(
        comparison.findings,
        run_id=folder.name,
        instrument=instrument,
        checked_at=iso(last.at_ns),
        expected=comparison.expected,
        observed=comparison.observed,
        limits=limits,
        in_flight=comparison.in_flight,
        occasion="heartbeat",
        comparisons=comparisons,
        heartbeat=last.seq,
        not_compared=NOT_COMPARED,
    )


def _replay(heartbeats: Sequence[RecordedHeartbeat], instrument: str, limits: Limits) -> tuple[ComparisonResult, int]:
    """(the last comparison, number of comparisons)."""
    last = heartbeats[-1]
    if last.venue is None:
        return no_answer("observed", last.heartbeat.node, None), 0
    tracker, now_ns = Tracker(instrument, limits, TimeTolerances()), 0
    for recorded in heartbeats:
        if recorded.venue is None:
            continue
        now_ns = max(now_ns, _sent_ns(recorded))  # a wall clock may have been set back
        tracker.add_venue_snapshot(recorded.venue, now_ns)
        pair = SnapshotPair(recorded.heartbeat.node, now_ns, None, recorded.venue)
        comparison = tracker.compare(pair, now_ns, recorded.at_ns)
    return tracker.mark_moving(comparison, now_ns, include_recent=False), len(heartbeats)


def _sent_ns(recorded: RecordedHeartbeat) -> int:
    """The time in the heartbeat itself; if that is invalid, the time of its event."""
    sent_ns = instant(recorded.heartbeat.sent_at)
    return sent_ns if isinstance(sent_ns, int) else recorded.at_ns
