"""The trace of the run that a command starts: its ids, and its export when the run has ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opslab.cli.output import note

if TYPE_CHECKING:
    from opslab.context import Context
    from opslab.model.primitives.ids import RunId
    from opslab.model.run.metadata import Trace


@dataclass(slots=True)
class TracedCommand:
    trace: "Trace | None"
    run_id: "RunId | None" = None
    """Set when this process owns the run."""


@contextmanager
def exported_trace(context: "Context") -> Iterator[TracedCommand]:
    """Export the trace after the block, however it ends: the run is sealed and its result is printed."""
    from opslab.lab.run.traces import export_runs, new_trace

    trace, problem = new_trace()
    if problem:
        note(problem)
    command = TracedCommand(trace)
    try:
        yield command
    finally:
        if command.trace and command.run_id and (failure := export_runs(context, [command.run_id])):
            note(failure)
