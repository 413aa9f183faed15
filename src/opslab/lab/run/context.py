"""The context of an operation that runs an engine."""

from opslab.context import Context
from opslab.model.run.metadata import Trace
from opslab.runs.lifecycle import RunContext
from opslab.runs.processes.started_process import EngineAhead
from opslab.system import StopSignals


def run_context(
    context: Context, signals: StopSignals, trace: Trace | None = None, ahead: EngineAhead | None = None
) -> RunContext:
    """trace: to record in the run. ahead: has started the engine."""
    base = (context.layout, context.clock, context.processes, context.redact)
    return RunContext(*base, signals, ahead=ahead, trace=trace)
