"""A run before it starts: its folder, the given spec, its intent."""

from typing import Any

import opslab
from opslab.errors import AlreadyExists
from opslab.model.primitives.difference import differences
from opslab.model.primitives.ids import RunId
from opslab.model.run.event import RUN_FORMAT
from opslab.model.run.metadata import RunMetadata
from opslab.model.spec.run_spec import RunSpec
from opslab.ports import Clock
from opslab.runs.planning.plan import RunPlan
from opslab.runs.record.state import apply, read_state, refuse_behind
from opslab.specs.load import load_spec
from opslab.store.layout import Layout
from opslab.store.runs.journal import Journal
from opslab.store.runs.run_folders import SPEC, already_exists, new_run_folder, refuse_existing, write_metadata


def initialize(layout: Layout, plan: RunPlan, clock: Clock) -> RunMetadata:
    """Create the run's folder atomically. Raises AlreadyExists or Unwritable."""
    with (
        new_run_folder(layout, plan.run_id, plan.loaded.text) as staging,
        Journal(staging, clock) as journal,
    ):
        metadata = apply(None, journal.append("run_initialized", intent(plan)))
        write_metadata(staging, metadata)
    return metadata


def is_initialized(layout: Layout, run_id: RunId, spec: RunSpec) -> bool:
    """Whether the run is initialized with this spec; False when no such run exists.

    Raises AlreadyExists when it was started before or initialized with another spec (with the differences), Corrupt
    when its journal is broken.
    """
    folder = layout.run(run_id)
    if not folder.is_dir():
        refuse_existing(layout, run_id)
        return False
    metadata = read_state(folder)
    if metadata.status != "initialized":
        raise already_exists(run_id)
    refuse_behind(folder, metadata)
    stored = load_spec(folder / SPEC).spec
    differing = differences(stored.comparable_values(), spec.comparable_values())
    if differing:
        raise AlreadyExists(
            f"run {run_id} was initialized with another spec",
            differences=[difference.model_dump() for difference in differing],
            hint=f"choose another --run-id, or give the spec in artifacts/runs/{run_id}/{SPEC}",
        )
    return True


def intent(plan: RunPlan) -> dict[str, Any]:
    """Payload of `run_initialized`."""
    spec = plan.spec
    return {
        "format": RUN_FORMAT,
        "run_id": plan.run_id,
        "mode": spec.mode,
        "strategy": spec.strategy.reference(),
        "venue": spec.venue,
        "instrument": spec.instrument,
        "risk_profile": spec.risk.profile,
        **composition(plan),
        "reproduces": plan.reproduces,
        "spec_file_digest": plan.loaded.text_digest,
    }


def composition(plan: RunPlan) -> dict[str, Any]:
    """The current composition of the run; it can change between `init` and the start."""
    return {
        "dataset": plan.run_dataset().model_dump(),
        "identity": plan.identity.model_dump(),
        "input_digest": plan.input_digest,
        "git": plan.git.model_dump() if plan.git else None,
        "lab_version": opslab.__version__,
    }
