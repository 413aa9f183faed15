"""Optional fields of a check."""

from typing import TypedDict


class CheckDetails(TypedDict, total=False):
    step: int | None
    seq: int | None
    seconds: float | None
    bound: float | None
    is_premise: bool
