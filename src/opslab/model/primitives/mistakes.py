"""Mistakes of an input with their locations, for validators."""

from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import InitErrorDetails


def mistakes_at(mistakes: Iterable[tuple[tuple[int | str, ...], str]]) -> ValidationError:
    """To be raised by a validator: mistakes with their places below it, and with nothing of the input.

    A reader of errors would repeat what it finds there.
    """
    lines = [
        InitErrorDetails(type="value_error", loc=place, input={}, ctx={"error": ValueError(message)})
        for place, message in mistakes
    ]
    return ValidationError.from_exception_data("spec", lines)
