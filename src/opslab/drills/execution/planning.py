"""Plan a drill: the spec of its runs, and their names."""

import os
from dataclasses import replace
from math import ceil
from pathlib import Path

from pydantic_core import to_json

from opslab.context import Context
from opslab.drills.drill import Drill
from opslab.drills.execution.run import DrillPlan
from opslab.errors import Usage
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import name_stamp
from opslab.model.spec.run_spec import PaperSpec
from opslab.runs.planning.plan import other_mode, plan_paper
from opslab.specs.load import LoadedSpec, folder_of, load_spec, parse_spec

_DEFAULT_SPEC = """\
spec_version: v1
mode: paper
engine: nautilus
venue: binance
instrument: BTCUSDT
strategy: {name: order_lifecycle_demo, version: v1}
data: {dataset: btcusdt-sample}
account: {starting_balances: {USDT: 10000}, leverage: 5}
"""
MAX_SECONDS = 300
"""Of each run, without requested durations: its own bound, if nothing else ends it."""
MAX_FAULT_SECONDS = 1_800.0


def lasting(drill: Drill, seconds: float) -> Drill:
    """The drill with faults that last at least so long. Raises Usage for a drill whose faults end by themselves."""
    if not drill.can_last:
        raise Usage(
            f"drill {drill.name} has no fault that could last longer: the lab itself ends it",
            hint="run it without --seconds",
        )
    if not 0 < seconds <= MAX_FAULT_SECONDS:
        raise Usage(f"--seconds {seconds:g} is not between 0 and {MAX_FAULT_SECONDS:g}")
    steps = tuple(step.model_copy(update={"min_seconds": seconds}) for step in drill.definition.steps)
    return replace(
        drill,
        definition=drill.definition.model_copy(update={"steps": steps}),
        disturbances=tuple(
            replace(disturbance, hold_seconds=max(seconds, disturbance.hold_seconds))
            for disturbance in drill.disturbances
        ),
    )


def plan_drill(context: Context, drill: Drill, spec_file: Path | None, suffix: str) -> DrillPlan:
    """Check everything that can be checked before a run. spec_file: None for the spec of the lab. Writes nothing.

    Raises InvalidSpec, Usage, NotFound, DataChanged.
    """
    if spec_file is None:
        base, folder = parse_spec(_DEFAULT_SPEC, f"the spec of drill {drill.name}"), Path(os.sep)
    else:
        base, folder = load_spec(spec_file), folder_of(spec_file)
    text = _spec_text(base, drill)
    loaded = parse_spec(text, base.file)
    stem = f"{name_stamp(context.clock.now_ns())}-{drill.name}-{suffix}"
    plan_paper(context.layout, loaded, RunId(f"{stem}-fault"), folder, context.clock)
    return DrillPlan(
        drill=drill,
        spec_text=text,
        spec_digest=loaded.text_digest,
        spec_file=base.file,
        spec_folder=str(folder),
        control_id=RunId(f"{stem}-control"),
        fault_id=RunId(f"{stem}-fault"),
    )


def _spec_text(base: LoadedSpec, drill: Drill) -> str:
    """The spec with the fields that the drill sets. JSON is YAML."""
    if not isinstance(base.spec, PaperSpec):
        raise other_mode(base, "paper")
    if base.spec.paper.on_stop != "flatten":
        raise Usage(
            f"{base.file}: a drill needs paper.on_stop: flatten", hint="it ends its runs, and proves that they end flat"
        )
    values = base.spec.model_dump(mode="json", exclude_unset=True)
    values.pop("run_id", None)
    paper = {**values.get("paper", {}), "max_seconds": MAX_SECONDS + ceil(drill.requested_seconds)}
    paper |= {"reconcile_every_seconds": 2, **drill.paper}
    paper.pop("max_bars", None)
    observability = {**values.get("observability", {}), "journal": True}
    return to_json({**values, "paper": paper, "observability": observability}, indent=1).decode() + "\n"
