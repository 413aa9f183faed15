"""The state of one run."""

from opslab.context import Context
from opslab.errors import Corrupt
from opslab.model.primitives.ids import RunId
from opslab.model.run.live_status import LiveStatus
from opslab.runs.record.paper_report import fault_rows, source
from opslab.runs.record.registry import show_run
from opslab.store.runs.live_files import read_live
from opslab.store.runs.seal import read_manifest

__all__ = ["fault_rows", "live_status", "seal_digest", "show_run", "source"]


def live_status(context: Context, run_id: str) -> LiveStatus | None:
    """Live status of a running run."""
    return read_live(context.layout, RunId(run_id))


def seal_digest(context: Context, run_id: str) -> str | None:
    """Digest of a run's seal; None without a readable seal."""
    try:
        manifest = read_manifest(context.layout.run(RunId(run_id)))
    except Corrupt:
        return None
    return manifest.seal if manifest else None
