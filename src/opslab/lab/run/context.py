"""The context of an operation that runs an engine."""

from opslab.context import Context
from opslab.runs.lifecycle import RunContext
from opslab.system import StopSignals


def run_context(context: Context, signals: StopSignals) -> RunContext:
    return RunContext(context.layout, context.clock, context.processes, context.redact, signals)
