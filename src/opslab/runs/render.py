"""Rewrite the files derived from a run's journal."""

from opslab.context import Context
from opslab.errors import Environment
from opslab.model.primitives.ids import RunId
from opslab.model.run.metadata import RunMetadata
from opslab.runs.record.latest_copies import write_latest_copies
from opslab.runs.record.report import write_reports
from opslab.runs.record.state import as_seen, read_state
from opslab.store.runs.owner import owned
from opslab.store.runs.run_folders import write_metadata


def render_run(context: Context, run_id: RunId) -> RunMetadata:
    """Write metadata, reports and copies of the last checks. Raises Environment while the owner lives."""
    folder = context.layout.run(run_id)
    seen = as_seen(read_state(folder), context.processes)
    if seen.status == "running":
        raise Environment(f"run {run_id} is running: its owner writes its files", hint="try again after it has ended")
    with owned(folder):
        metadata = read_state(folder)
        write_metadata(folder, metadata)
        write_latest_copies(folder, metadata)
        if metadata.status == "running":  # and its owner died before the lock was taken
            metadata = seen
        write_reports(folder, metadata)
    return metadata
