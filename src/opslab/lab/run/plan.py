"""Plan a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, overload

from opslab.context import Context
from opslab.model.primitives.ids import RunId
from opslab.model.spec.run_spec import Mode
from opslab.runs.planning.plan import BacktestPlan, PaperPlan, RunPlan, generate_run_id, other_mode, plan_run
from opslab.runs.processes.started_process import EngineAhead
from opslab.specs.load import folder_of, load_spec
from opslab.system import random_suffix

__all__ = ["EngineAhead", "make_plan"]


@overload
def make_plan(
    context: Context, spec_file: Path, run_id: str | None, mode: Literal["backtest"], on_valid: Callable[[], None] = ...
) -> BacktestPlan: ...
@overload
def make_plan(context: Context, spec_file: Path, run_id: str | None, mode: Literal["paper"]) -> PaperPlan: ...
@overload
def make_plan(context: Context, spec_file: Path, run_id: str | None, mode: None = None) -> RunPlan: ...
def make_plan(
    context: Context,
    spec_file: Path,
    run_id: str | None,
    mode: Mode | None = None,
    on_valid: Callable[[], None] = lambda: None,
) -> RunPlan:
    """Check the inputs of a run and plan it. Writes nothing, and does not ask whether the run exists.

    mode: the one that the spec must have; None for either. on_valid: called when the spec itself has no mistake, before
    data and strategy are checked.
    """
    loaded = load_spec(spec_file)
    if mode is not None and mode != loaded.spec.mode:
        raise other_mode(loaded, mode)
    on_valid()
    asked = run_id if run_id is not None else loaded.spec.run_id
    if asked is not None:
        name = RunId(asked)
    else:
        name = generate_run_id(context.layout, loaded.spec, context.clock, random_suffix())
    return plan_run(context.layout, loaded, name, folder_of(spec_file), context.clock)
