"""Plan a run."""

from pathlib import Path
from typing import Literal, overload

from opslab.context import Context
from opslab.model.primitives.ids import RunId
from opslab.model.spec.run_spec import Mode
from opslab.runs.planning.plan import BacktestPlan, PaperPlan, RunPlan, generate_run_id, other_mode, plan_run
from opslab.specs.load import folder_of, load_spec
from opslab.system import random_suffix


@overload
def make_plan(context: Context, spec_file: Path, run_id: str | None, mode: Literal["backtest"]) -> BacktestPlan: ...
@overload
def make_plan(context: Context, spec_file: Path, run_id: str | None, mode: Literal["paper"]) -> PaperPlan: ...
@overload
def make_plan(context: Context, spec_file: Path, run_id: str | None, mode: None = None) -> RunPlan: ...
def make_plan(context: Context, spec_file: Path, run_id: str | None, mode: Mode | None = None) -> RunPlan:
    """Check the inputs of a run and plan it. Writes nothing, and does not ask whether the run exists.

    mode: the one that the spec must have; None for either.
    """
    loaded = load_spec(spec_file)
    if mode is not None and mode != loaded.spec.mode:
        raise other_mode(loaded, mode)
    asked = run_id if run_id is not None else loaded.spec.run_id
    if asked is not None:
        name = RunId(asked)
    else:
        name = generate_run_id(context.layout, loaded.spec, context.clock, random_suffix())
    return plan_run(context.layout, loaded, name, folder_of(spec_file), context.clock)
