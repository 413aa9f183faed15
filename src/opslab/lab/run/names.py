"""Existing runs by name."""

from opslab.context import Context
from opslab.model.primitives.ids import RunId
from opslab.store.runs.run_folders import run_folder, run_names


def existing_run(context: Context, run_id: str) -> RunId:
    """Raises BadId or NotFound."""
    return RunId(run_folder(context.layout, run_id).name)


def all_runs(context: Context) -> list[RunId]:
    return [RunId(name) for name in run_names(context.layout)]
