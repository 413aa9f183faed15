"""Reproduce a run from its stored inputs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from opslab.context import Context
from opslab.datasets.dataset_records import list_datasets, read_record
from opslab.errors import DataChanged, LabError, NotFound, Usage
from opslab.model.checks.comparison import Comparison, InputPart
from opslab.model.market.dataset import DatasetRecord
from opslab.model.primitives.ids import DatasetId, RunId
from opslab.model.primitives.record import Record
from opslab.model.run.metadata import RunMetadata
from opslab.ports import Clock
from opslab.runs.backtest.run import run_backtest
from opslab.runs.claim import claim
from opslab.runs.comparison.compare import RunSide, compare, input_parts, side_of
from opslab.runs.lifecycle import RunContext
from opslab.runs.planning.plan import BacktestPlan, Original, plan_backtest
from opslab.runs.planning.strategy_files import INSTALLED
from opslab.specs.load import LoadedSpec, load_spec
from opslab.store.files import copy_file, scratch_folder, writing
from opslab.store.layout import Layout
from opslab.store.runs.run_folders import SPEC, discard_run, stored_strategy_files

_NAME_CHARACTERS = 64


class RepeatedRun(Record):
    """One reproduction."""

    run_id: str
    status: str
    result_digest: str | None
    same: bool
    kept: bool
    """Whether its run folder was kept."""


class Reproduction(Record):
    """All repetitions and the verdict."""

    run_id: str
    result_digest: str
    verdict: Literal["pass", "fail", "unknown"]
    inputs: Literal["same", "differ"]
    parts: tuple[InputPart, ...]
    """Inputs that have changed since the run."""
    agreed: int
    repeated: int
    repetitions: tuple[RepeatedRun, ...]
    comparison: Comparison | None
    """With the first repetition that differs."""


def reproduce(
    run_id: RunId,
    times: int,
    keep: bool,
    context: RunContext,
    on_bars: Callable[[int], None],
    announce: Callable[[int, BacktestPlan, list[InputPart]], None],
) -> Reproduction:
    """Repeat the run `times` times, or until a signal. Repetitions that agree are removed unless `keep`.

    announce: called before each with its number, its plan and the changed inputs.
    Raises Usage, NotFound, Corrupt, or what a backtest raises.
    """
    layout = context.layout
    side, expected_digest = original(context, run_id)
    runs: list[RunMetadata] = []
    repetitions: list[RepeatedRun] = []
    parts: list[InputPart] = []
    comparison: Comparison | None = None
    for number in range(1, times + 1):
        with plan_of_repetition(layout, side, context.clock) as plan:
            parts = changed_inputs(layout, side, plan)
            if _stopped(context):
                break
            announce(number, plan, parts)
            with claim(context, plan) as claimed:
                run = run_backtest(claimed, context, on_bars)
        runs.append(run)
        same = run.result_digest == expected_digest
        kept = keep or not same
        if not same and run.status != "interrupted":
            comparison = comparison or compare(context, run_id, plan.run_id)
        if not kept:
            discard_run(layout, plan.run_id)
        repetitions.append(
            RepeatedRun(run_id=plan.run_id, status=run.status, result_digest=run.result_digest, same=same, kept=kept)
        )
        if _stopped(context):
            break
    return Reproduction(
        run_id=run_id,
        result_digest=expected_digest,
        verdict=verdict_of(runs, expected_digest),
        inputs="differ" if parts else "same",
        parts=tuple(parts),
        agreed=sum(one.same for one in repetitions),
        repeated=len(repetitions),
        repetitions=tuple(repetitions),
        comparison=comparison,
    )


def _stopped(context: RunContext) -> bool:
    return context.signals.count > 0


def original(context: Context, run_id: RunId) -> tuple[RunSide, str]:
    """The run and its result digest. Raises Usage when it cannot be reproduced, Corrupt when it was changed."""
    side = side_of(context, run_id)
    run = side.metadata
    if run.mode != "backtest":
        raise Usage(
            f"run {run_id} is a {run.mode} run: it depends on a clock and has no result digest", hint="tc run compare"
        )
    if run.result_digest is None:
        raise Usage(
            f"run {run_id} is {run.status} and has no result digest to compare with",
            hint="only a completed run can be reproduced; tc run compare compares any two runs",
        )
    return side, run.result_digest


@contextmanager
def plan_of_repetition(layout: Layout, side: RunSide, clock: Clock) -> Iterator[BacktestPlan]:
    """A plan for the same run under a new name; its strategy's files exist inside the `with` block."""
    run_id = RunId(side.metadata.run_id)
    loaded = _on_stored_data(layout, side, load_spec(side.folder / SPEC))
    stored = stored_strategy_files(side.folder, side.code.strategy if side.code else ())
    with scratch_folder(layout.runtime / "reproduce") as folder:
        with writing("lay out the stored strategy"):
            for name, path in sorted(stored.items(), key=lambda item: not item[0].startswith(INSTALLED)):
                copy_file(path, folder / name.removeprefix(INSTALLED))
        yield plan_backtest(layout, loaded, _free_name(layout, run_id), folder, clock, Original(run_id, stored))


def changed_inputs(layout: Layout, side: RunSide, plan: BacktestPlan) -> list[InputPart]:
    """Inputs that have changed since the run."""
    now = side.metadata.with_changes(identity=plan.identity, dataset=plan.run_dataset())
    return input_parts(side, RunSide(layout.run(plan.run_id), now, plan.spec, plan.code))


def verdict_of(runs: list[RunMetadata], expected_digest: str) -> Literal["pass", "fail", "unknown"]:
    """Whether runs with the same inputs gave the expected result; an interrupted run does not count."""
    if any(run.status != "interrupted" and run.result_digest != expected_digest for run in runs):
        return "fail"
    return "pass" if runs and all(run.result_digest == expected_digest for run in runs) else "unknown"


def _on_stored_data(layout: Layout, side: RunSide, loaded: LoadedSpec) -> LoadedSpec:
    """The spec on a dataset with the recorded fingerprint, under any name. Raises NotFound or DataChanged."""
    expected_digest = side.metadata.identity.dataset_fingerprint if side.metadata.identity else ""
    name = loaded.spec.data.dataset
    here: DatasetRecord | None = None
    missing: LabError | None = None
    try:
        here = read_record(layout, DatasetId(name))
    except LabError as error:
        missing = error
    if here and here.fingerprint == expected_digest:
        return loaded
    for other, record in list_datasets(layout):
        if isinstance(record, DatasetRecord) and record.fingerprint == expected_digest:
            data = loaded.spec.data.model_copy(update={"dataset": other})
            return replace(loaded, spec=loaded.spec.model_copy(update={"data": data}))
    message = f"the candles of run {side.metadata.run_id} are missing: no dataset has {expected_digest}"
    if here:
        raise DataChanged(f"{message}; {name} has {here.fingerprint}", hint="import the original candles again")
    raise NotFound(message, hint=missing.hint if missing else "import the original candles again")


def _free_name(layout: Layout, run_id: RunId) -> RunId:
    number = 1
    while True:
        suffix = f"-again-{number}"
        name = RunId(f"{run_id[: _NAME_CHARACTERS - len(suffix)].rstrip('.')}{suffix}")
        if not layout.run(name).exists():
            return name
        number += 1
