"""Repeat a run and compare the result digests."""

from collections.abc import Callable
from dataclasses import dataclass

from opslab.context import Context
from opslab.lab.run.context import run_context
from opslab.lab.run.names import existing_run
from opslab.model.checks.comparison import InputPart
from opslab.runs.comparison import reproduce as repetition
from opslab.runs.comparison.reproduce import Reproduction
from opslab.runs.planning.plan import BacktestPlan
from opslab.system import StopSignals

__all__ = ["BacktestPlan", "ReproduceOptions", "reproduce"]


@dataclass(frozen=True, slots=True)
class ReproduceOptions:
    """The options of `tc run reproduce`."""

    run_id: str
    times: int
    keep: bool
    """Also keep repetitions that agree."""


def reproduce(
    context: Context,
    options: ReproduceOptions,
    signals: StopSignals,
    on_bars: Callable[[int], None],
    announce: Callable[[int, BacktestPlan, list[InputPart]], None],
) -> Reproduction:
    """announce: called before each repetition with its number, its plan and the changed inputs."""
    run_id = existing_run(context, options.run_id)
    return repetition.reproduce(run_id, options.times, options.keep, run_context(context, signals), on_bars, announce)
