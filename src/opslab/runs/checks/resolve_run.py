"""Resolve the run that a check of a spec is recorded in."""

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
    """A run, or the reason why there is none."""

    run_id: RunId | None
    unresolved_reason: str | None = None


def resolve_run(layout: Layout, spec: RunSpec, requested: str | None) -> ResolvedRun:
    """The requested run; else the run that the spec names, if it exists and was made from an equal spec.

    Raises BadId; NotFound or Usage for a requested run that does not exist or was made from another spec; Corrupt if
    the run's spec cannot be read.
    """
    if requested is not None:
        folder = run_folder(layout, requested)
        _refuse_other_spec(folder, spec)
        return ResolvedRun(RunId(folder.name))
    if spec.run_id is None:
        return ResolvedRun(None, "no --run-id was given, and the spec names no run")
    run_id = RunId(spec.run_id)
    if not layout.run(run_id).is_dir():
        return ResolvedRun(None, f"run {run_id} does not exist yet")
    try:
        _refuse_other_spec(layout.run(run_id), spec)
    except Usage as error:
        return ResolvedRun(None, error.message)
    return ResolvedRun(run_id)


def _refuse_other_spec(folder: Path, spec: RunSpec) -> None:
    """Raises Usage if the run was made from another spec, Corrupt if its spec cannot be read."""
    try:
        run_spec = load_spec(folder / SPEC).spec
    except (InvalidSpec, NotFound):
        problem = "is missing or not a spec"
        raise Corrupt(f"run {folder.name}: {SPEC} {problem}", file=SPEC, problem=problem, is_missing=True) from None
    changed = differences(run_spec.comparable_values(), spec.comparable_values())
    if changed:
        error = Usage(
            f"run {folder.name} was made from another spec", hint=f"give --spec artifacts/runs/{folder.name}/{SPEC}"
        )
        error.lines = tuple(f"{field.field}: {field.before} in the run, {field.after} given" for field in changed)
        raise error
