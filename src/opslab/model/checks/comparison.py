"""Two runs held side by side."""

from typing import Any, Literal

from opslab.model.checks.parity import Parity
from opslab.model.primitives.difference import Difference
from opslab.model.primitives.record import Record

Part = Literal["spec", "dataset", "code", "engine", "python"]
Outcome = Literal["same", "differ", "unknown"]


class InputPart(Record):
    """One part of the input digest that differs, field by field."""

    part: Part
    differences: tuple[Difference, ...]


class Place(Record):
    """One side of a difference: the line of the file, from 1, and what it says."""

    line: int
    content: dict[str, Any]


class FirstDifference(Record):
    """The first event or row that is not the same; a side that is None had ended by then."""

    file: str
    number: int
    """Which of the events or rows that were compared, from 1."""
    a: Place | None
    b: Place | None
    differences: tuple[Difference, ...]


class Comparison(Record):
    """Run `a` against run `b`."""

    a: str
    b: str
    inputs: Literal["same", "differ"]
    parts: tuple[InputPart, ...]
    results: Outcome
    message: str
    counters: tuple[Difference, ...]
    first: FirstDifference | None
    parity: Parity | None = None
    """Where one of the two is a paper run; `first` is None then, and `compared` counts decisions."""
    compared: int
    """Events or rows that were the same before the first difference, or all there are."""
