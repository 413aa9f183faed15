"""A paper run beside another run on the same candles: the bars it saw, what it decided, and why fills differ.

Times are closes of bars, UTC.
"""

from typing import Literal

from opslab.model.primitives.difference import Difference
from opslab.model.primitives.record import Record

LISTED = 1_000
"""Ranges and differences of fills that are listed; all are counted."""

Cause = Literal["price_source", "latency", "fee", "partial", "unexplained"]
"""Why a fill is not the other run's.

`price_source`: one fills on a bar's prices, the other on a venue's book. `latency`: the order, or the word that took it
back, came to the venue at another moment. `partial`: the book had less than the order wanted. `fee`: a fee that is its
own run's rate of its own price. `unexplained`: none of these, by what is known.
"""


class BarRange(Record):
    """Bars in a row, both ends included."""

    first: str
    last: str
    bars: int


class BarDifference(Record):
    """A bar that is not the candle's: `before` is the dataset's value, `after` what was seen."""

    bar: str
    differences: tuple[Difference, ...]


class BarsParity(Record):
    """The bars that a paper run's strategy saw, beside the candles of the dataset."""

    run: str
    outcome: Literal["same", "differ", "unknown"]
    message: str
    same: int
    missing: int
    missing_ranges: tuple[BarRange, ...]
    different: int
    """Seen with other values."""
    unexpected: int
    """Seen, and not a candle of the run's data, or not in its turn."""
    first: BarDifference | None


class Decision(Record):
    """An order as a strategy made it. Numbers are text."""

    bar: str
    """The last bar that was seen when it was made."""
    client_order_id: str
    side: str
    type: str
    quantity: str
    price: str | None
    trigger_price: str | None
    time_in_force: str
    reduce_only: bool
    post_only: bool
    closes: bool
    """It took all that was open: its quantity is what the fills before had left."""


class DecisionDifference(Record):
    """The first decision that is not the same; a side that is None decided nothing more at that bar."""

    number: int
    """From 1, of the decisions that were compared."""
    bar: str
    a: Decision | None
    b: Decision | None
    differences: tuple[Difference, ...]


class LeftOut(Record):
    """Orders that were not compared."""

    at_missing_bars: int = 0
    """Decided by one run at bars that the other did not see."""
    outside_window: int = 0
    """Decided before the first bar of both, or behind the last."""
    lab_orders: int = 0
    """Made to end the run, by no strategy."""
    before_first_bar: int = 0
    """Made before there was a bar."""


class DecisionsParity(Record):
    outcome: Literal["same", "differ", "unknown"]
    message: str
    same: int
    different: int
    first: DecisionDifference | None
    left_out: LeftOut


class FillDifference(Record):
    """One thing in which an order came out otherwise."""

    bar: str
    a: str
    """Client order id in run `a`."""
    b: str
    field: Literal["status", "quantity", "fills", "price", "liquidity", "fee", "canceled"]
    before: str | None
    """In run `a`."""
    after: str | None
    cause: Cause
    detail: str


class FillsParity(Record):
    outcome: Literal["same", "explained", "unexplained", "unknown"]
    message: str
    same: int
    """Orders that came out the same."""
    different: int
    """Orders that did not."""
    causes: dict[Cause, int]
    """How many of those have it; an order may have several."""
    differences: tuple[FillDifference, ...]


class Parity(Record):
    verdict: Literal["pass", "fail", "unknown"]
    message: str
    first_bar: str | None
    """What was compared: from here on. None: nothing was."""
    last_bar: str | None
    bars: tuple[BarsParity, ...]
    """One for each paper run of the two."""
    decisions: DecisionsParity
    fills: FillsParity
