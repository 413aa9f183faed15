"""Which run a check is kept with, when it is made from a spec."""

from dataclasses import dataclass
from pathlib import Path

from opslab.errors import Corrupt, InvalidSpec, NotFound, Usage
from opslab.model.primitives.difference import differences
from opslab.model.primitives.ids import RunId
from opslab.model.spec.run_spec import RunSpec
from opslab.specs.load import load_spec
from opslab.store.layout import Layout
from opslab.store.runs.run_folders import SPEC, run_folder


@dataclass(frozen=True, slots=True)
class ResolvedRun:
    """A run, or why there is none."""

    run_id: RunId | None
    why_none: str | None = None


def resolve_run(layout: Layout, spec: RunSpec, asked: str | None) -> ResolvedRun:
    """The run that was asked for, or the one that the spec names, if it is there and was made from such a spec.

    Raises BadId; NotFound and Usage for a run that was asked for and is not there, or was made from another spec;
    Corrupt when the spec that a run was made from cannot be read.
    """
    if asked is not None:
        folder = run_folder(layout, asked)
        _refuse_another(folder, spec)
        return ResolvedRun(RunId(folder.name))
    if spec.run_id is None:
        return ResolvedRun(None, "no --run-id was given, and the spec names no run")
    run_id = RunId(spec.run_id)
    if not layout.run(run_id).is_dir():
        return ResolvedRun(None, f"run {run_id} does not exist yet")
    try:
        _refuse_another(layout.run(run_id), spec)
    except Usage as error:
        return ResolvedRun(None, error.message)
    return ResolvedRun(run_id)


def _refuse_another(folder: Path, spec: RunSpec) -> None:
    """Raises Usage when the run was made from a spec that asks for something else, Corrupt when that cannot be told."""
    try:
        there = load_spec(folder / SPEC).spec
    except (InvalidSpec, NotFound):
        what = "is missing or is no spec"
        raise Corrupt(f"run {folder.name}: {SPEC} {what}", file=SPEC, what=what, is_missing=True) from None
    found = differences(there.compared(), spec.compared())
    if found:
        error = Usage(
            f"run {folder.name} was made from another spec", hint=f"give --spec artifacts/runs/{folder.name}/{SPEC}"
        )
        error.lines = tuple(f"{one.field}: {one.before} there, {one.after} given" for one in found)
        raise error
