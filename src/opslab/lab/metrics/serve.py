"""Serve and export the metrics of the home."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import opslab
from opslab.errors import Environment, NotFound, Unwritable
from opslab.lab.metrics.collector import Collector, Shown
from opslab.metrics.exposition import document
from opslab.model.primitives.ids import RunId
from opslab.store.files import write_whole, writing
from opslab.store.runs.list_index import run_folder_names

if TYPE_CHECKING:
    from opslab.context import Context
    from opslab.metrics.exposition import Format

__all__ = ["Shown", "document", "export", "serve", "write_export"]


def serve(
    context: "Context",
    shown: Shown,
    hosts: tuple[str, ...],
    port: int,
    on_listening: Callable[[list[tuple[str, int]], Callable[[], None]], None],
) -> None:
    """Serve until stopped; on_listening: as in `serve_until`. Raises Environment, NotFound."""
    from opslab.metrics.server import serve_until  # loads aiohttp

    _check(context, shown)
    serve_until(Collector(context, shown), opslab.__version__, hosts, port, on_listening)


def export(context: "Context", shown: Shown, form: "Format") -> bytes:
    """The text of all series. Raises Environment, NotFound."""
    _check(context, shown)
    collector = Collector(context, shown)
    text = collector.collect(form)
    problem = collector.problem()
    if problem is not None:
        raise Environment(problem)
    return text


def write_export(file: Path, text: bytes) -> None:
    """Replace `file` atomically. Raises Unwritable."""
    try:
        with writing(f"write {file}"):
            write_whole(file, text, durable=False)
    except Unwritable as error:
        raise Unwritable(error.message, hint="give a file in a folder that exists and is writable") from error


def _check(context: "Context", shown: Shown) -> None:
    """Raises Environment when there is no home, NotFound for a run that does not exist."""
    if not context.layout.home.is_dir():
        raise Environment(
            f"the home {context.layout.home} does not exist", hint="give the folder of the lab with --home or TC_HOME"
        )
    names = run_folder_names(context.layout)
    for run_id in sorted(shown.run_ids):
        if RunId(run_id) not in names:
            raise NotFound(f"run {run_id} not found", hint="tc run list")
