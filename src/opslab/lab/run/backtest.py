"""Run a backtest."""

from collections.abc import Callable

from opslab.context import Context
from opslab.lab.run.context import run_context
from opslab.model.run.metadata import RunMetadata, Trace
from opslab.runs.backtest import run as loop
from opslab.runs.claim import ClaimedRun
from opslab.runs.planning.plan import BacktestPlan
from opslab.system import StopSignals


def run_backtest(
    context: Context,
    run: ClaimedRun[BacktestPlan],
    signals: StopSignals,
    on_bars: Callable[[int], None],
    trace: Trace | None,
) -> RunMetadata:
    """on_bars: called with the number of bars so far."""
    return loop.run_backtest(run, run_context(context, signals, trace), on_bars)
