"""All runs, as seen now."""

from dataclasses import dataclass
from pathlib import Path

from opslab.errors import Corrupt, LabError
from opslab.model.run import RunMetadata
from opslab.ports import Processes
from opslab.runs.state import as_seen, project
from opslab.store.journal import read_events
from opslab.store.layout import Layout
from opslab.store.runs import read_metadata, run_folder, run_names


@dataclass(frozen=True, slots=True)
class Row:
    """One run of the list; `error` says why it cannot be read."""

    run_id: str
    metadata: RunMetadata | None
    error: str | None


def list_runs(layout: Layout, processes: Processes) -> list[Row]:
    """Every run folder, oldest first, then by name; those that cannot be read come last."""
    rows = [_row(layout, name, processes) for name in run_names(layout)]
    return sorted(
        rows, key=lambda row: (row.metadata is None, row.metadata.initialized_at if row.metadata else "", row.run_id)
    )


def show_run(layout: Layout, run_id: str, processes: Processes) -> tuple[RunMetadata, Path]:
    """One run and its folder. Raises BadId, NotFound, Corrupt."""
    folder = run_folder(layout, run_id)
    return as_seen(_metadata(folder), processes), folder


def _row(layout: Layout, name: str, processes: Processes) -> Row:
    try:
        return Row(name, as_seen(_metadata(layout.runs / name), processes), None)
    except LabError as error:
        return Row(name, None, error.message)


def _metadata(folder: Path) -> RunMetadata:
    """From `metadata.json`, or from the journal when that is gone."""
    metadata = read_metadata(folder) or project(read_events(folder))
    if metadata is None:
        raise Corrupt(f"run {folder.name}: neither metadata.json nor a journal to read")
    if metadata.run_id != folder.name:
        raise Corrupt(f"run {folder.name}: its metadata is of run {metadata.run_id}")
    return metadata
