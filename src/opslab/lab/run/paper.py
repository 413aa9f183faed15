"""Run a live node against a loopback venue."""

from collections.abc import Callable

from opslab.context import Context
from opslab.lab.run.context import run_context
from opslab.model.run.live_status import LiveStatus
from opslab.model.run.metadata import RunMetadata, Trace
from opslab.reconciliation.result import EXIT_CODES
from opslab.runs.claim import ClaimedRun
from opslab.runs.paper import run as loop
from opslab.runs.planning.plan import PaperPlan
from opslab.system import StopSignals

__all__ = ["EXIT_CODES", "run_paper"]


def run_paper(
    context: Context,
    run: ClaimedRun[PaperPlan],
    signals: StopSignals,
    on_live: Callable[[LiveStatus], None],
    trace: Trace | None,
) -> RunMetadata:
    """on_live: called with the run's live values, about once a second."""
    return loop.run_paper(run, run_context(context, signals, trace), on_live)
