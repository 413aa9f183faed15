"""A run before it starts: its folder, the spec as given, and what is asked."""

from typing import Any

import opslab
from opslab.errors import AlreadyExists
from opslab.model.primitives.difference import differences
from opslab.model.primitives.ids import RunId
from opslab.model.run.metadata import RunMetadata
from opslab.model.spec.run_spec import RunSpec
from opslab.ports import Clock
from opslab.runs.planning.plan import RunPlan
from opslab.runs.record.state import apply, read_state, refuse_behind
from opslab.specs.load import load_spec
from opslab.store.layout import Layout
from opslab.store.runs.journal import Journal
from opslab.store.runs.run_folders import SPEC, new_run_folder, refuse_taken, taken, write_metadata


def initialize(layout: Layout, plan: RunPlan, clock: Clock) -> RunMetadata:
    """Make the run's folder; it appears whole. Raises AlreadyExists or Unwritable."""
    with (
        new_run_folder(layout, plan.run_id, plan.loaded.text) as staging,
        Journal(staging, clock) as journal,
    ):
        metadata = apply(None, journal.append("run_initialized", intent(plan)))
        write_metadata(staging, metadata)
    return metadata


def is_initialized(layout: Layout, run_id: RunId, spec: RunSpec) -> bool:
    """Whether the run waits to be started with this spec; False when there is no such run.

    Raises AlreadyExists when it was started before, or was initialized with another spec: then with what differs;
    Corrupt when its journal is broken.
    """
    folder = layout.run(run_id)
    if not folder.is_dir():
        refuse_taken(layout, run_id)
        return False
    begun = read_state(folder)
    if begun.status != "initialized":
        raise taken(run_id)
    refuse_behind(folder, begun)
    there = load_spec(folder / SPEC).spec
    found = differences(there.compared(), spec.compared())
    if found:
        raise AlreadyExists(
            f"run {run_id} was initialized with another spec",
            differences=[difference.model_dump() for difference in found],
            hint=f"choose another --run-id, or give the spec in artifacts/runs/{run_id}/{SPEC}",
        )
    return True


def intent(plan: RunPlan) -> dict[str, Any]:
    """What is asked, as the journal's first line says it."""
    spec = plan.spec
    return {
        "run_id": plan.run_id,
        "mode": spec.mode,
        "strategy": spec.strategy.named(),
        "venue": spec.venue,
        "instrument": spec.instrument,
        "risk_profile": spec.risk.profile,
        **made_of(plan),
        "reproduces": plan.reproduces,
        "spec_file_digest": plan.loaded.text_digest,
    }


def made_of(plan: RunPlan) -> dict[str, Any]:
    """What the run is made of as things stand now: between `init` and the start that can change."""
    return {
        "dataset": plan.run_dataset().model_dump(),
        "identity": plan.identity.model_dump(),
        "input_digest": plan.input_digest,
        "git": plan.git.model_dump() if plan.git else None,
        "lab_version": opslab.__version__,
    }
