"""Render the derived files of a run again."""

from opslab.context import Context
from opslab.lab.run.names import existing_run
from opslab.model.run.metadata import RunMetadata
from opslab.runs.render import render_run
from opslab.store.runs.seal import DERIVED


def render(context: Context, run_id: str) -> tuple[RunMetadata, list[str]]:
    """The run, and the names of its derived files. Raises BadId, NotFound, Environment, Corrupt."""
    name = existing_run(context, run_id)
    metadata = render_run(context, name)
    folder = context.layout.run(name)
    return metadata, [file for file in sorted(DERIVED) if (folder / file).exists()]
