"""Run specs: validate them, and their schema."""

import os
from pathlib import Path

from opslab.specs.load import LoadedSpec, load_spec
from opslab.specs.schema import spec_schema
from opslab.system import SystemClock

__all__ = ["folder_of", "spec_schema", "validate_spec"]


def validate_spec(spec_file: Path) -> tuple[LoadedSpec, list[str] | None]:
    """The spec, and the config keys of its user strategy; None for a scenario. Needs no home.

    Raises NotFound, Environment, or InvalidSpec with all mistakes, those of the strategy last.
    """
    from opslab.runs.planning.strategy_inspection import inspect_strategy

    loaded = load_spec(spec_file)
    inspection = inspect_strategy(loaded, folder_of(spec_file), SystemClock())
    return loaded, list(inspection.keys) if inspection else None


def folder_of(spec_file: Path) -> Path:
    """Absolute, without `..`, links kept: the folder that a user strategy's modules are loaded from."""
    return Path(os.path.abspath(spec_file)).parent  # noqa: PTH100  (`resolve` would follow symlinks)
