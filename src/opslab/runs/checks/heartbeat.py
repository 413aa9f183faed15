"""A recorded heartbeat of a paper run: what its node believed, held against what its venue said at the time.

From the record alone: the same heartbeat has the same result, whenever it is asked for.
"""

from collections.abc import Sequence
from pathlib import Path

from opslab.errors import Usage
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.reconciliation.account_snapshots import NOT_COMPARED
from opslab.reconciliation.confirmation import TimeTolerances
from opslab.reconciliation.result import Limits, ReconciliationResult, conclude
from opslab.reconciliation.tracker import ComparisonResult, SnapshotPair, Tracker, unanswered
from opslab.reconciliation.values import instant
from opslab.runs.checks.check_results import RECONCILIATION, CheckSurroundings, record_check
from opslab.runs.checks.heartbeat_log import Heartbeat, read_heartbeats
from opslab.runs.checks.reconciliation import RecordedReconciliation
from opslab.runs.record.state import told
from opslab.store.runs.run_folders import run_folder


def reconcile_heartbeat(
    around: CheckSurroundings, run_id: str, seq: int | None, limits: Limits
) -> RecordedReconciliation:
    """seq: of the heartbeat's event; None for the last one that knows what the venue said.

    Raises Usage of a run that is no paper run, NotFound, Corrupt; of the run as `reconcile_files`.
    """
    folder = run_folder(around.layout, run_id)
    metadata = told(folder)
    if metadata.mode != "paper":
        raise Usage(
            f"run {folder.name} is a {metadata.mode}: it has no heartbeats",
            hint="--run-id, --expected and --observed hold two snapshot files against each other",
        )
    result = judge(folder, read_heartbeats(folder, seq), metadata.instrument, limits)
    document = result.model_dump(mode="json")
    kept = record_check(around, RunId(run_id), RECONCILIATION, result.summary(), document)
    return RecordedReconciliation(result, kept)


def judge(folder: Path, known: Sequence[Heartbeat], instrument: str, limits: Limits) -> ReconciliationResult:
    """The last of them, in the light of those before: of its own engine alone, another believes what it believes."""
    asked = known[-1]
    looked, looks = _folded([one for one in known if one.engine == asked.engine], instrument, limits)
    return conclude(
        looked.findings,
        run_id=folder.name,
        instrument=instrument,
        checked_at=iso(asked.at_ns),
        expected=looked.expected,
        observed=looked.observed,
        limits=limits,
        in_flight=looked.in_flight,
        occasion="heartbeat",
        comparisons=looks,
        heartbeat=asked.seq,
        not_compared=NOT_COMPARED,
    )


def _folded(known: Sequence[Heartbeat], instrument: str, limits: Limits) -> tuple[ComparisonResult, int]:
    """(the last look, how many there were)."""
    asked = known[-1]
    if asked.venue is None:
        return unanswered("observed", asked.beat.node, None), 0
    watch, now_ns = Tracker(instrument, limits, TimeTolerances()), 0
    for one in known:
        if one.venue is None:
            continue
        now_ns = max(now_ns, _taken_ns(one))  # a wall clock may have been set back
        watch.heard(one.venue, now_ns)
        looked = watch.look(SnapshotPair(one.beat.node, now_ns, None, one.venue), now_ns, one.at_ns)
    return watch.give_up(looked, now_ns, everything=False), len(known)


def _taken_ns(one: Heartbeat) -> int:
    """When the node was as the heartbeat says."""
    found = instant(one.beat.sent_at)
    return found if isinstance(found, int) else one.at_ns
