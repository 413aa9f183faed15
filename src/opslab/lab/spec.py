"""Run specs: validate them, and their schema."""

from pathlib import Path
from typing import TYPE_CHECKING

from opslab.specs.schema import spec_schema

if TYPE_CHECKING:
    from opslab.specs.load import LoadedSpec

__all__ = ["spec_schema", "validate_spec"]


def validate_spec(spec_file: Path) -> "tuple[LoadedSpec, list[str] | None]":
    """The spec, and the config keys of its user strategy; None for a scenario. Needs no home.

    Raises NotFound, Environment, or InvalidSpec with all mistakes, those of the strategy last.
    """
    from opslab.runs.planning.strategy_inspection import inspect_strategy
    from opslab.specs.load import folder_of, load_spec
    from opslab.system import SystemClock

    loaded = load_spec(spec_file)
    inspection = inspect_strategy(loaded, folder_of(spec_file), SystemClock())
    return loaded, list(inspection.keys) if inspection else None
