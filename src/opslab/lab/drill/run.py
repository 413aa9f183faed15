"""Carry out drills."""

from collections.abc import Sequence
from pathlib import Path

from opslab.context import Context
from opslab.drills.execution import planning
from opslab.drills.execution.run import DrillPlan, run_drill
from opslab.drills.registry import DRILLS, find_drill
from opslab.model.checks.drill import DrillRecord
from opslab.system import random_suffix

__all__ = ["DrillPlan", "DrillRecord", "drill_names", "plan_drill", "run_drill"]


def drill_names() -> Sequence[str]:
    return tuple(DRILLS)


def plan_drill(context: Context, name: str, spec_file: Path | None) -> DrillPlan:
    """Raises Usage for an unknown name; InvalidSpec, NotFound, DataChanged. Writes nothing."""
    return planning.plan_drill(context, find_drill(name), spec_file, random_suffix())
