"""Compare the decisions of two runs bar by bar, and the outcome of each decision both made."""

from collections import Counter
from collections.abc import Iterator, Mapping
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
from opslab.runs.comparison.parity.overtaking import overtaken_orders

MINUTES_APART = 1
"""Maximum distance of the same decision in two runs when no bar tells them apart: an order of the end of a minute may
reach the venue in the next one."""


@dataclass(frozen=True, slots=True)
class CandleRange:
    """The candles with `first` <= index < `end`."""

    first: int
    end: int
    one_start: bool = True
    """Both runs started at `first`: what they did before their first bar is compared as well."""
    by_time: bool = False
    """One of the runs received no bars: orders are paired by time."""


@dataclass(slots=True)
class ParityCounts:
    """Counts and differences found so far."""

    same: int = 0
    different: int = 0
    first: DecisionDifference | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    fills_same: int = 0
    refused_same: int = 0
    """Of those, refused."""
    fills_different: int = 0
    causes: Counter[Cause] = field(default_factory=Counter)
    listed: list[FillDifference] = field(default_factory=list)
    unexplained: list[FillDifference] = field(default_factory=list)

    def decisions(self) -> DecisionsParity:
        left_out = LeftOut(**self.left_out)
        outcome = "differ" if self.different else "same"
        message = f"{self.same:,} are equal" + (f", {self.different:,} differ" if self.different else "")
        if not self.same and not self.different:
            outcome, message = ("same", "neither strategy created an order")
            count = self.left_out.total() - left_out.lab_orders
            if count:
                outcome, message = "unknown", f"no order could be compared: {count:,} were left out"
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
        outcome = "same" if self.same else "unknown"
        message = f"{self.fills_same:,} orders have equal outcomes" if self.same else "no order to compare"
        if self.refused_same:
            message += f" ({self.refused_same:,} refused in both runs for one reason)"
        if self.fills_different:
            explained = "unexplained" not in self.causes
            outcome = "explained" if explained else "unexplained"
            message += f", {self.fills_different:,} differ: {causes_text(self.causes)}"
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


def causes_text(causes: Mapping[Cause, int]) -> str:
    return ", ".join(f"{cause} {count:,}" for cause, count in sorted(causes.items()))


def compare_decisions(
    candles: Candles, candle_range: CandleRange, a: Orders, b: Orders, seen: tuple[BarsSeen, BarsSeen], judge: FillJudge
) -> ParityCounts:
    """seen: the bars that each run saw."""
    counts = ParityCounts()
    left = _compared(a, candles, candle_range, seen[1], counts)
    right = _compared(b, candles, candle_range, seen[0], counts)
    groups = _by_time(left, right) if candle_range.by_time else _by_bar(left, right)
    for index, orders in groups:
        _compare_bar(candles, candle_range, index, orders, (a, b), judge, counts)
    return counts


Group = tuple[int, tuple[list[OrderDecision], list[OrderDecision]]]
"""Index of a bar, and the orders of both runs at it."""


def _by_bar(left: Iterator[OrderDecision], right: Iterator[OrderDecision]) -> Iterator[Group]:
    left_bars, right_bars = (groupby(each, key=lambda order: order.index) for each in (left, right))
    one, other = next(left_bars, None), next(right_bars, None)
    while one or other:
        index = min(bar[0] for bar in (one, other) if bar)
        left_orders = list(one[1]) if one and one[0] == index else []
        right_orders = list(other[1]) if other and other[0] == index else []
        yield index, (left_orders, right_orders)
        one = next(left_bars, None) if one and one[0] == index else one
        other = next(right_bars, None) if other and other[0] == index else other


def _by_time(left: Iterator[OrderDecision], right: Iterator[OrderDecision]) -> Iterator[Group]:
    """Pairs in order of creation, at most `MINUTES_APART`; an order without a counterpart is alone."""
    one, other = next(left, None), next(right, None)
    while one or other:
        if one and other and abs(one.index - other.index) <= MINUTES_APART:
            yield min(one.index, other.index), ([one], [other])
            one, other = next(left, None), next(right, None)
        elif one and (other is None or one.index < other.index):
            yield one.index, ([one], [])
            one = next(left, None)
        elif other:
            yield other.index, ([], [other])
            other = next(right, None)


def _compared(
    orders: Orders, candles: Candles, candle_range: CandleRange, other: BarsSeen, counts: ParityCounts
) -> Iterator[OrderDecision]:
    """Decisions that the other run can have made as well."""
    for order in orders.decisions():
        if order.by_lab:
            counts.left_out["lab_orders"] += 1
        elif order.before_first_bar:
            if candle_range.one_start:
                yield order
            else:
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
    pairs: list[tuple[OrderDecision, OrderDecision]] = []
    for number, (left, right) in enumerate(zip_longest(*differing)):
        if left is None or right is None or _terms(left, right) != _terms(right, left):
            counts.first = counts.first or _difference(candles, index, left, right, counts.same + number + 1)
            counts.different += max(map(len, differing)) - number
            break
        pairs.append((left, right))
    counts.same += len(pairs)
    outcomes = [
        [(order.shown, side.outcome(order, candle_range.end)) for order in column]
        for side, column in zip(orders, zip(*pairs, strict=True), strict=False)
    ]
    overtaken = [overtaken_orders(each) for each in outcomes]
    for number, (left, right) in enumerate(pairs):
        texts = [each[number] for each in overtaken if number in each]
        text = texts[0] if len(texts) == 1 else None
        pair = Pair(index, left.shown, outcomes[0][number][1], outcomes[1][number][1], _closing(left, right), text)
        _count_fills(counts, judge.differences(pair), pair, left, right)


def _terms(one: OrderDecision, other: OrderDecision) -> dict[str, object]:
    return one.terms(closing=_closing(one, other))


def _closing(left: OrderDecision, right: OrderDecision) -> bool:
    return left.shown.closes and right.shown.closes


def _difference(
    candles: Candles, index: int, left: OrderDecision | None, right: OrderDecision | None, number: int
) -> DecisionDifference:
    both = left is not None and right is not None
    return DecisionDifference(
        number=number,
        bar=iso(candles.ts_ns(index)) if index >= 0 else "",
        a=left.shown if left else None,
        b=right.shown if right else None,
        differences=tuple(differences(left.terms(closing=False), right.terms(closing=False)))
        if both and left and right
        else (),
    )


def _count_fills(
    counts: ParityCounts, differing: list[DetectedDifference], pair: Pair, left: OrderDecision, right: OrderDecision
) -> None:
    if not differing:
        counts.fills_same += 1
        counts.refused_same += pair.a.refused
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
