"""Claim a run before it starts: its folder, lock, journal and state, taken in one step and handed on as one value."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import opslab
from opslab.context import Context
from opslab.errors import AlreadyExists
from opslab.model.journal.journal_event import RecordedEvent
from opslab.model.journal.run_events import RunInitialized
from opslab.model.primitives.difference import differences
from opslab.model.run.event import RUN_FORMAT
from opslab.model.run.metadata import Git, Identity, RunDataset, RunMetadata
from opslab.model.spec.run_spec import RunSpec
from opslab.runs.planning.plan import RunPlan
from opslab.runs.record.run_journal import RunJournal
from opslab.runs.record.state import apply, read_state, refuse_cut_journal
from opslab.specs.load import load_spec
from opslab.store.lock import take_lock
from opslab.store.runs.journal import Journal
from opslab.store.runs.owner import owned
from opslab.store.runs.run_folders import (
    SPEC,
    already_exists,
    clear_temporary_files,
    new_run_folder,
    write_inputs,
    write_metadata,
)


@dataclass(frozen=True, slots=True)
class ClaimedRun[Plan: RunPlan]:
    """A run that this process owns, and that no process has started."""

    plan: Plan
    folder: Path
    log: RunJournal
    """The open journal with its projection, the metadata."""


@contextmanager
def claim[Plan: RunPlan](context: Context, plan: Plan) -> Iterator[ClaimedRun[Plan]]:
    """Create the run, or take over an initialized one; the run is locked until the end of the `with` block.

    Raises AlreadyExists when it was started before or initialized with another spec (with the differences), Environment
    when another process has locked it, Corrupt when its journal is broken, Unwritable. Then nothing was written.
    """
    folder = context.layout.run(plan.run_id)
    with ExitStack() as resources:
        if folder.is_dir():
            resources.enter_context(_locked(folder, plan))
            metadata = _read_initialized(folder, plan)
            journal = resources.enter_context(Journal(folder, context.clock))
            clear_temporary_files(folder)  # of a process that was killed just before it recorded the start
        else:
            journal, metadata = _create(context, plan, resources)
        write_inputs(folder, plan.code.model_dump(mode="json"), plan.strategy_files)
        yield ClaimedRun(plan, folder, RunJournal(folder, journal, metadata))


def initialize(context: Context, plan: RunPlan) -> RunMetadata:
    """Create the run without starting it. Raises as `claim`, and AlreadyExists for an initialized run too."""
    folder = context.layout.run(plan.run_id)
    if folder.is_dir():
        _read_initialized(folder, plan)
        raise already_exists(plan.run_id)
    with ExitStack() as resources:
        _journal, metadata = _create(context, plan, resources)
    return metadata


@dataclass(frozen=True, slots=True)
class Composition:
    """What a run is made of; it can change between `init` and the start."""

    dataset: RunDataset
    identity: Identity
    input_digest: str
    git: Git | None
    lab_version: str


def composition(plan: RunPlan) -> Composition:
    return Composition(plan.run_dataset(), plan.identity, plan.input_digest, plan.git, opslab.__version__)


def _create(context: Context, plan: RunPlan, resources: ExitStack) -> tuple[Journal, RunMetadata]:
    """A new run, whose folder appears under its name locked and with the open journal. `resources` closes both."""
    with new_run_folder(context.layout, plan.run_id, plan.loaded.text, resources) as staging:
        journal = resources.enter_context(Journal(staging, context.clock))
        intent = _intent(plan)
        line = journal.append(intent.EVENT, intent.payload())
        metadata = apply(None, RecordedEvent(line.seq, line.time, line.event, intent))
        write_metadata(staging, metadata)
    journal.folder_renamed(context.layout.run(plan.run_id))
    return journal, metadata


@contextmanager
def _locked(folder: Path, plan: RunPlan) -> Iterator[None]:
    """Lock an existing run. A run that has started is refused at once; a command that locks for a moment is not."""

    def take(descriptor: int, patience_seconds: float) -> bool:
        for seconds in (0.0, patience_seconds):
            if take_lock(descriptor, seconds):
                return True
            _refuse_started(read_state(folder), plan)
        return False

    with owned(folder, take):
        yield


def _read_initialized(folder: Path, plan: RunPlan) -> RunMetadata:
    """The state of an existing run, which must be initialized with the spec of the plan."""
    metadata = read_state(folder)
    _refuse_started(metadata, plan)
    refuse_cut_journal(folder, metadata)
    _refuse_other_spec(folder, plan.run_id, plan.spec)
    return metadata


def _refuse_started(metadata: RunMetadata, plan: RunPlan) -> None:
    if metadata.status != "initialized":
        raise already_exists(plan.run_id)


def _refuse_other_spec(folder: Path, run_id: str, spec: RunSpec) -> None:
    stored = load_spec(folder / SPEC).spec
    differing = differences(stored.comparable_values(), spec.comparable_values())
    if differing:
        raise AlreadyExists(
            f"run {run_id} was initialized with another spec",
            differences=[difference.model_dump() for difference in differing],
            hint=f"choose another --run-id, or give the spec in artifacts/runs/{run_id}/{SPEC}",
        )


def _intent(plan: RunPlan) -> RunInitialized:
    spec, current = plan.spec, composition(plan)
    return RunInitialized(
        format=RUN_FORMAT,
        run_id=plan.run_id,
        mode=spec.mode,
        strategy=spec.strategy.reference(),
        venue=spec.venue,
        instrument=spec.instrument,
        risk_profile=spec.risk.profile,
        dataset=current.dataset,
        identity=current.identity,
        input_digest=current.input_digest,
        git=current.git,
        lab_version=current.lab_version,
        reproduces=plan.reproduces,
        spec_file_digest=plan.loaded.text_digest,
    )
