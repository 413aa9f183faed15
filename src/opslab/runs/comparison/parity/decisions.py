"""Compare the decisions of two runs bar by bar, and the outcome of each decision both made."""

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
class CandleRange:
    """The candles with `first` <= index < `end`."""

    first: int
    end: int


@dataclass(slots=True)
class ParityCounts:
    """Counts and differences found so far."""

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
        message = f"{self.same:,} are equal" + (f", {self.different:,} differ" if self.different else "")
        message = message if self.same or self.different else "neither run made an order"
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
        message = f"{self.fills_same:,} orders have equal outcomes" if self.same else "no order to compare"
        if self.fills_different:
            explained = "unexplained" not in self.causes
            outcome = "explained" if explained else "unexplained"
            causes = ", ".join(f"{cause} {count:,}" for cause, count in sorted(self.causes.items()))
            message += f", {self.fills_different:,} differ: {causes}"
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


def compare_decisions(
    candles: Candles, candle_range: CandleRange, a: Orders, b: Orders, seen: tuple[BarsSeen, BarsSeen], judge: FillJudge
) -> ParityCounts:
    """seen: the bars that each run saw."""
    counts = ParityCounts()
    left_bars = groupby(_compared(a, candles, candle_range, seen[1], counts), key=lambda order: order.index)
    right_bars = groupby(_compared(b, candles, candle_range, seen[0], counts), key=lambda order: order.index)
    left, right = next(left_bars, None), next(right_bars, None)
    while left or right:
        index = min(differing[0] for differing in (left, right) if differing)
        left_orders = list(left[1]) if left and left[0] == index else []
        right_orders = list(right[1]) if right and right[0] == index else []
        _compare_bar(candles, candle_range, index, (left_orders, right_orders), (a, b), judge, counts)
        left = next(left_bars, None) if left and left[0] == index else left
        right = next(right_bars, None) if right and right[0] == index else right
    return counts


def _compared(
    orders: Orders, candles: Candles, candle_range: CandleRange, other: BarsSeen, counts: ParityCounts
) -> Iterator[OrderDecision]:
    """Decisions that the other run can have made as well."""
    for order in orders.decisions():
        if order.by_lab:
            counts.left_out["lab_orders"] += 1
        elif order.index < 0:
            counts.left_out["before_first_bar"] += 1
        elif not candle_range.first <= order.index < candle_range.end:
            counts.left_out["outside_window"] += 1
        elif not other.marks[order.index]:
            counts.left_out["at_missing_bars"] += 1
        else:
            yield order


def _compare_bar(
    candles: Candles,
    candle_range: CandleRange,
    index: int,
    differing: tuple[list[OrderDecision], list[OrderDecision]],
    orders: tuple[Orders, Orders],
    judge: FillJudge,
    counts: ParityCounts,
) -> None:
    """After the first differing decision of a bar its other decisions cannot be matched."""
    for number, (left, right) in enumerate(zip_longest(*differing)):
        closing = left is not None and right is not None and left.shown.closes and right.shown.closes
        if left is None or right is None or left.terms(closing=closing) != right.terms(closing=closing):
            counts.first = counts.first or _difference(candles, index, left, right, counts.same + 1)
            counts.different += max(map(len, differing)) - number
            return
        counts.same += 1
        outcomes = [side.outcome(order, candle_range.end) for side, order in zip(orders, (left, right), strict=True)]
        pair = Pair(index, left.shown, outcomes[0], outcomes[1], closing)
        _count_fills(counts, judge.differences(pair), left, right)


def _difference(
    candles: Candles, index: int, left: OrderDecision | None, right: OrderDecision | None, number: int
) -> DecisionDifference:
    both = left is not None and right is not None
    return DecisionDifference(
        number=number,
        bar=iso(candles.ts_ns(index)),
        a=left.shown if left else None,
        b=right.shown if right else None,
        differences=tuple(differences(left.terms(closing=False), right.terms(closing=False)))
        if both and left and right
        else (),
    )


def _count_fills(
    counts: ParityCounts, differing: list[DetectedDifference], left: OrderDecision, right: OrderDecision
) -> None:
    if not differing:
        counts.fills_same += 1
        return
    counts.fills_different += 1
    counts.causes.update({each.cause for each in differing})
    for each in differing:
        differences_listed = counts.unexplained if each.cause == "unexplained" else counts.listed
        if len(differences_listed) < MAX_LISTED:
            names = {"a": left.shown.client_order_id, "b": right.shown.client_order_id}
            values = {"field": each.field, "before": each.before, "after": each.after}
            differences_listed.append(
                FillDifference.model_validate(
                    {"bar": left.shown.bar, **names, **values, "cause": each.cause, "detail": each.detail}
                )
            )
