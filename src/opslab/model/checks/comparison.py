"""Records of a comparison of two runs."""

from typing import Any, Literal

from opslab.model.checks.parity import Parity
from opslab.model.primitives.difference import Difference
from opslab.model.primitives.record import Record
from opslab.model.run.warning import RunWarning, WarningCode

InputName = Literal["spec", "dataset", "code", "engine", "python"]
ComparisonOutcome = Literal["same", "differ", "unknown"]


class InputPart(Record):
    """One part of the input digest that differs, field by field."""

    part: InputName
    differences: tuple[Difference, ...]


class RecordedLine(Record):
    """One side of a difference: the line of the file, from 1, and its content."""

    line: int
    content: dict[str, Any]


class FirstDifference(Record):
    """The first event or row that differs; None: that side had ended before."""

    file: str
    number: int
    """Number of the compared event or row, from 1."""
    a: RecordedLine | None
    b: RecordedLine | None
    differences: tuple[Difference, ...]


class UnservedSubscriptions(Record):
    """A warning of a compared run about subscriptions of its strategy."""

    run_id: str
    code: WarningCode
    text: str


class WarningPair(Record):
    """The warnings of one code in both runs; None: that run has none."""

    code: WarningCode
    a: RunWarning | None
    b: RunWarning | None


class Comparison(Record):
    """Run `a` against run `b`."""

    a: str
    b: str
    inputs: Literal["same", "differ"]
    parts: tuple[InputPart, ...]
    results: ComparisonOutcome
    message: str
    warnings: tuple[WarningPair, ...] = ()
    """By code, those of run `a` first. They decide nothing: two runs may miss the same and have equal results."""
    counters: tuple[Difference, ...]
    first: FirstDifference | None
    parity: Parity | None = None
    """Set when one of the two is a paper run; then `first` is None, and `compared` counts decisions."""
    unserved: tuple[UnservedSubscriptions, ...] = ()
    """Subscriptions that received nothing or the wrong bars, in either run: equal results do not include them."""
    compared: int
    """Number of equal events or rows before the first difference, or of all."""
