"""Parity of a paper run with another run on the same candles: received bars, decisions, and causes of different fills.

Times are closes of bars, UTC.
"""

from typing import Literal

from opslab.model.primitives.difference import Difference
from opslab.model.primitives.record import Record

MAX_LISTED = 1_000
"""Maximum number of listed ranges and fill differences; all are counted."""

Cause = Literal[
    "price_source",
    "latency",
    "fee",
    "partial",
    "overtaken",
    "triggered_elsewhere",
    "refused_for_another_reason",
    "unexplained",
]
"""Cause of a fill that differs between the runs.

`price_source`: one run fills at a bar's prices, the other at a venue's book. `latency`: the order, or its cancellation,
reached the venue at another moment. `partial`: the book had less than the order's quantity. `fee`: each fee is its own
run's rate of its own price. `overtaken`: in one run two orders of one bar reached the venue in another order than the
strategy created them. `triggered_elsewhere`: the market reached the trigger price, and the runs saw it at different
moments, or one of them not at all. `refused_for_another_reason`: both runs refused the order. `unexplained`: none of
these, as far as is known.
"""


class BarRange(Record):
    """Consecutive bars, both ends included."""

    first: str
    last: str
    bars: int


class BarDifference(Record):
    """A bar that differs from its candle: `before` is the dataset's value, `after` the received one."""

    bar: str
    differences: tuple[Difference, ...]


class BarsParity(Record):
    """The bars that a paper run's strategy received, compared with the candles of the dataset."""

    run: str
    outcome: Literal["same", "differ", "unknown"]
    message: str
    same: int
    missing: int
    missing_ranges: tuple[BarRange, ...]
    different: int
    """Received with other values."""
    unexpected: int
    """Received, but not a candle of the run's data, or out of order."""
    first: BarDifference | None
    not_subscribed: int = 0
    """Reached the engine while the strategy was not subscribed to them; not among the missing ones."""


class Decision(Record):
    """An order as the strategy created it. Numbers are text."""

    bar: str
    """The last bar received before its creation; for a strategy without bars the last one closed before its acceptance.
    Empty: before the first candle."""
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
    """It closes the whole position: its quantity follows from the fills before it."""


class DecisionDifference(Record):
    """The first decision that differs; None: that side made no further decision at that bar."""

    number: int
    """Number of the compared decision, from 1."""
    bar: str
    a: Decision | None
    b: Decision | None
    differences: tuple[Difference, ...]


class LeftOut(Record):
    """Numbers of orders that were not compared."""

    at_missing_bars: int = 0
    """Decided by one run at bars that the other did not receive."""
    outside_window: int = 0
    """Decided before the first common bar, or after the last."""
    lab_orders: int = 0
    """Created by the lab to end the run, not by a strategy."""
    before_first_bar: int = 0
    """Created before the first bar, and the runs start at different candles."""


class DecisionsParity(Record):
    outcome: Literal["same", "differ", "unknown"]
    message: str
    same: int
    different: int
    first: DecisionDifference | None
    left_out: LeftOut


class FillDifference(Record):
    """One difference in the outcome of an order."""

    bar: str
    a: str
    """Client order id in run `a`."""
    b: str
    field: Literal["status", "reason", "quantity", "fills", "price", "liquidity", "fee", "canceled"]
    before: str | None
    """In run `a`."""
    after: str | None
    cause: Cause
    detail: str


class FillsParity(Record):
    outcome: Literal["same", "explained", "unexplained", "unknown"]
    message: str
    same: int
    """Number of orders with the same outcome."""
    different: int
    """Number of orders with another outcome."""
    causes: dict[Cause, int]
    """Number of those orders with each cause; an order may have several."""
    differences: tuple[FillDifference, ...]


class Parity(Record):
    verdict: Literal["pass", "fail", "unknown"]
    message: str
    first_bar: str | None
    """First compared bar. None: nothing was compared."""
    last_bar: str | None
    bars: tuple[BarsParity, ...]
    """One entry for each paper run of the two."""
    decisions: DecisionsParity
    fills: FillsParity
