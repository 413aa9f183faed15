"""The state of one run."""

from opslab.context import Context
from opslab.errors import Corrupt
from opslab.model.primitives.ids import RunId
from opslab.model.run.live_status import LiveStatus
from opslab.model.run.metadata import RunMetadata
from opslab.model.run.paper_summary import LedgerAccount
from opslab.runs.record.paper_report import account_source, fault_rows
from opslab.runs.record.registry import show_run
from opslab.runs.record.selection import OWNER_GONE
from opslab.store.runs.live_files import read_live
from opslab.store.runs.seal import read_manifest

__all__ = ["account_source", "fault_rows", "live_status", "seal_digest", "show_run"]


def live_status(context: Context, run_id: str) -> LiveStatus | None:
    """Live status of a running run."""
    return read_live(context.layout, RunId(run_id))


def last_known_account(context: Context, run: RunMetadata) -> LedgerAccount | None:
    """The account by the venue's ledger, of a paper run whose owner died before it recorded the end."""
    if run.mode != "paper" or not is_unsettled(run):
        return None
    from opslab.runs.paper.ledger_account import last_known_account

    return last_known_account(context.layout, RunId(run.run_id))


def is_unsettled(run: RunMetadata) -> bool:
    """Whether its owner died, and the run was not recovered."""
    return run.ended_by == OWNER_GONE and run.recovered_at is None


def seal_digest(context: Context, run_id: str) -> str | None:
    """Digest of a run's seal; None without a readable seal."""
    try:
        manifest = read_manifest(context.layout.run(RunId(run_id)))
    except Corrupt:
        return None
    return manifest.seal if manifest else None
