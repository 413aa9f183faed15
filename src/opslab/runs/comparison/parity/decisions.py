"""Two runs' decisions side by side, bar by bar; and for each that both made, what became of it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, zip_longest

from opslab.model.checks.parity import (
    MAX_LISTED,
    Cause,
    DecisionDifference,
    DecisionsParity,
    FillDifference,
    FillsParity,
    LeftOut,
)
from opslab.model.primitives.difference import differences
from opslab.model.primitives.instant import iso
from opslab.runs.comparison.parity.bars import BarsSeen
from opslab.runs.comparison.parity.candles import Candles
from opslab.runs.comparison.parity.fills import DetectedDifference, FillJudge, Pair
from opslab.runs.comparison.parity.orders import OrderDecision, Orders


@dataclass(frozen=True, slots=True)
class Stretch:
    """The candles from `first` to before `end`."""

    first: int
    end: int


@dataclass(slots=True)
class ParityCounts:
    """Everything that was found so far."""

    same: int = 0
    different: int = 0
    first: DecisionDifference | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    fills_same: int = 0
    fills_different: int = 0
    causes: Counter[Cause] = field(default_factory=Counter)
    listed: list[FillDifference] = field(default_factory=list)
    unexplained: list[FillDifference] = field(default_factory=list)

    def decisions(self) -> DecisionsParity:
        outcome = "differ" if self.different else "same"
        message = f"{self.same:,} are the same" + (f", {self.different:,} are not" if self.different else "")
        message = message if self.same or self.different else "neither made an order"
        left_out = LeftOut(**self.left_out)
        return DecisionsParity.model_validate(
            {
                "outcome": outcome,
                "message": message,
                "same": self.same,
                "different": self.different,
                "first": self.first,
                "left_out": left_out,
            }
        )

    def fills(self) -> FillsParity:
        outcome = "same"
        message = f"{self.fills_same:,} orders came out the same" if self.same else "there was no order to come out"
        if self.fills_different:
            explained = "unexplained" not in self.causes
            outcome = "explained" if explained else "unexplained"
            causes = ", ".join(f"{cause} {count:,}" for cause, count in sorted(self.causes.items()))
            message += f", {self.fills_different:,} did not: {causes}"
        return FillsParity.model_validate(
            {
                "outcome": outcome,
                "message": message,
                "same": self.fills_same,
                "different": self.fills_different,
                "causes": dict(sorted(self.causes.items())),
                "differences": (*self.unexplained, *self.listed)[:MAX_LISTED],
            }
        )


def side_by_side(
    candles: Candles, stretch: Stretch, a: Orders, b: Orders, seen: tuple[BarsSeen, BarsSeen], judge: FillJudge
) -> ParityCounts:
    """seen: by each of the two."""
    tally = ParityCounts()
    ones = groupby(_compared(a, candles, stretch, seen[1], tally), key=lambda order: order.index)
    twos = groupby(_compared(b, candles, stretch, seen[0], tally), key=lambda order: order.index)
    one, two = next(ones, None), next(twos, None)
    while one or two:
        index = min(found[0] for found in (one, two) if found)
        firsts = list(one[1]) if one and one[0] == index else []
        seconds = list(two[1]) if two and two[0] == index else []
        _at_bar(candles, stretch, index, (firsts, seconds), (a, b), judge, tally)
        one = next(ones, None) if one and one[0] == index else one
        two = next(twos, None) if two and two[0] == index else two
    return tally


def _compared(
    orders: Orders, candles: Candles, stretch: Stretch, other: BarsSeen, tally: ParityCounts
) -> Iterator[OrderDecision]:
    """Those that the other run can have made too."""
    for order in orders.decided():
        if order.by_lab:
            tally.left_out["lab_orders"] += 1
        elif order.index < 0:
            tally.left_out["before_first_bar"] += 1
        elif not stretch.first <= order.index < stretch.end:
            tally.left_out["outside_window"] += 1
        elif not other.marks[order.index]:
            tally.left_out["at_missing_bars"] += 1
        else:
            yield order


def _at_bar(
    candles: Candles,
    stretch: Stretch,
    index: int,
    found: tuple[list[OrderDecision], list[OrderDecision]],
    orders: tuple[Orders, Orders],
    judge: FillJudge,
    tally: ParityCounts,
) -> None:
    """Behind the first decision of a bar that is not the same, the others of that bar cannot be told apart."""
    for number, (one, two) in enumerate(zip_longest(*found)):
        closing = one is not None and two is not None and one.shown.closes and two.shown.closes
        if one is None or two is None or one.terms(closing=closing) != two.terms(closing=closing):
            tally.first = tally.first or _difference(candles, index, one, two, tally.same + 1)
            tally.different += max(map(len, found)) - number
            return
        tally.same += 1
        outcomes = [side.outcome(order, stretch.end) for side, order in zip(orders, (one, two), strict=True)]
        pair = Pair(index, one.shown, outcomes[0], outcomes[1], closing)
        _note(tally, judge.differences(pair), one, two)


def _difference(
    candles: Candles, index: int, one: OrderDecision | None, two: OrderDecision | None, number: int
) -> DecisionDifference:
    both = one is not None and two is not None
    return DecisionDifference(
        number=number,
        bar=iso(candles.ts_ns(index)),
        a=one.shown if one else None,
        b=two.shown if two else None,
        differences=tuple(differences(one.terms(closing=False), two.terms(closing=False)))
        if both and one and two
        else (),
    )


def _note(tally: ParityCounts, found: list[DetectedDifference], one: OrderDecision, two: OrderDecision) -> None:
    if not found:
        tally.fills_same += 1
        return
    tally.fills_different += 1
    tally.causes.update({each.cause for each in found})
    for each in found:
        into = tally.unexplained if each.cause == "unexplained" else tally.listed
        if len(into) < MAX_LISTED:
            names = {"a": one.shown.client_order_id, "b": two.shown.client_order_id}
            values = {"field": each.what, "before": each.before, "after": each.after}
            into.append(
                FillDifference.model_validate(
                    {"bar": one.shown.bar, **names, **values, "cause": each.cause, "detail": each.why}
                )
            )
