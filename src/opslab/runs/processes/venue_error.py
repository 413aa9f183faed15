"""Rebuild an error of the venue process from its exit code, message and hint."""

from opslab.errors import Corrupt, Environment, LabError, Refused, Usage

_CLASSES: dict[int, type[LabError]] = {error.exit_code: error for error in (Usage, Refused, Environment, Corrupt)}


def venue_error(exit_code: int, message: str, hint: str | None) -> LabError:
    """Environment for an exit code of none of these classes."""
    return _CLASSES.get(exit_code, Environment)(message, hint=hint)
