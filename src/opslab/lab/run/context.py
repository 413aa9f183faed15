"""The context of an operation that runs an engine."""

from opslab.context import Context
from opslab.model.run.metadata import Trace
from opslab.runs.lifecycle import RunContext
from opslab.system import StopSignals


def run_context(context: Context, signals: StopSignals, trace: Trace | None = None) -> RunContext:
    """trace: to record in the run."""
    return RunContext(context.layout, context.clock, context.processes, context.redact, signals, trace=trace)
