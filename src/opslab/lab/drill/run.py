"""Carry out drills."""

from collections.abc import Sequence
from pathlib import Path

from opslab.context import Context
from opslab.drills.execution import planning
from opslab.drills.execution.run import DrillPlan, run_drill
from opslab.drills.registry import DRILLS, find_drill
from opslab.model.checks.drill import DrillRecord
from opslab.system import random_suffix

__all__ = ["DrillPlan", "DrillRecord", "can_last", "drill_names", "plan_drill", "run_drill"]


def drill_names() -> Sequence[str]:
    return tuple(DRILLS)


def can_last(name: str) -> bool:
    """Whether a longer duration of its fault can be requested. Raises Usage for an unknown name."""
    return find_drill(name).can_last


def plan_drill(context: Context, name: str, spec_file: Path | None, seconds: float | None = None) -> DrillPlan:
    """seconds: shortest duration of each fault. Writes nothing.

    Raises Usage for an unknown name or a duration that its faults cannot have; InvalidSpec, NotFound, DataChanged.
    """
    drill = find_drill(name)
    if seconds is not None:
        drill = planning.lasting(drill, seconds)
    return planning.plan_drill(context, drill, spec_file, random_suffix())
