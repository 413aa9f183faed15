"""What is derived from a run's journal, written again."""

from opslab.errors import Environment
from opslab.model.ids import RunId
from opslab.model.run import RunMetadata
from opslab.ports import Processes
from opslab.runs.report import write_reports
from opslab.runs.state import as_seen, told
from opslab.store.layout import Layout
from opslab.store.owner import owned
from opslab.store.runs import write_metadata


def render_again(layout: Layout, run_id: RunId, processes: Processes) -> RunMetadata:
    """`metadata.json`, `report.md` and `report.html`; the run as seen. Raises Environment while its owner lives."""
    folder = layout.run(run_id)
    metadata = told(folder)
    if as_seen(metadata, processes).status == "running":
        raise Environment(f"run {run_id} is running: its owner writes its files", hint="try again when it has ended")
    with owned(folder):
        metadata = told(folder)
        write_metadata(folder, metadata)
        metadata = as_seen(metadata, processes)
        write_reports(folder, metadata)
    return metadata
