"""Mistakes of an input with their locations, for validators."""

from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import InitErrorDetails


def mistakes_at(mistakes: Iterable[tuple[tuple[int | str, ...], str]]) -> ValidationError:
    """An error for a validator to raise: mistakes with their locations below the field, without the input.

    Without it, because pydantic repeats an input in its own error texts.
    """
    lines = [
        InitErrorDetails(type="value_error", loc=location, input={}, ctx={"error": ValueError(message)})
        for location, message in mistakes
    ]
    return ValidationError.from_exception_data("spec", lines)
