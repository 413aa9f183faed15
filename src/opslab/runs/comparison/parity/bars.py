"""Compare the bars a paper run's strategy saw with the candles of its dataset: each one, its values, its order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from opslab.model.checks.parity import MAX_LISTED, BarDifference, BarRange, BarsParity
from opslab.model.primitives.difference import Difference
from opslab.model.primitives.instant import iso
from opslab.runs.comparison.parity.candles import FIELDS, Candles


@dataclass(slots=True)
class BarsSeen:
    """The candles a run's strategy saw."""

    marks: bytearray
    """1 for each candle that was seen in order."""
    end: int = 0
    """Index after the last seen candle."""
    same: int = 0
    different: int = 0
    unexpected: int = 0
    first: BarDifference | None = None
    missing: list[BarRange] = field(default_factory=list)
    missing_bars: int = 0
    not_subscribed: int = 0

    def move_missing_to_not_subscribed(self) -> None:
        self.not_subscribed, self.missing_bars, self.missing = self.missing_bars, 0, []


def all_bars(candles: Candles, first: int, count: int) -> BarsSeen:
    """All bars: a backtest that does not see them all is `failed`."""
    marks = bytearray(len(candles))
    end = min(first + count, len(candles))
    marks[first:end] = b"\1" * max(0, end - first)
    return BarsSeen(marks, end)


def compare_bars(rows: Iterable[Mapping[str, Any]], candles: Candles, first: int, expected: int | None) -> BarsSeen:
    """Compare the seen bars with the candles from `first` on.

    expected: number of bars; None: unknown, for a run that was ended early.
    """
    seen = BarsSeen(bytearray(len(candles)), first)
    for row in rows:
        index = candles.index_at(row["ts_event"])
        if index < seen.end or candles.ts_ns(index) != row["ts_event"]:
            seen.unexpected += 1
            continue
        _note_missing(seen, candles, index)
        seen.marks[index] = 1
        seen.end = index + 1
        differing = _differences(row, candles, index)
        if not differing:
            seen.same += 1
            continue
        seen.different += 1
        seen.first = seen.first or BarDifference(bar=iso(row["ts_event"]), differences=tuple(differing))
    if expected is not None:
        last, seen.end = seen.end, max(seen.end, min(first + expected, len(candles)))
        _list_missing(seen, candles, last, seen.end)
    return seen


def _note_missing(seen: BarsSeen, candles: Candles, index: int) -> None:
    _list_missing(seen, candles, seen.end, index)


def _list_missing(seen: BarsSeen, candles: Candles, first: int, end: int) -> None:
    if first >= end:
        return
    seen.missing_bars += end - first
    if len(seen.missing) < MAX_LISTED:
        one, last = iso(candles.ts_ns(first)), iso(candles.ts_ns(end - 1))
        seen.missing.append(BarRange(first=one, last=last, bars=end - first))


def _differences(row: Mapping[str, Any], candles: Candles, index: int) -> list[Difference]:
    differing = []
    for name in FIELDS:
        expected, actual = candles.value(name, index), row.get(name)
        if not _equals(actual, expected):
            differing.append(
                Difference(field=name, before=str(expected), after=None if actual is None else str(actual))
            )
    return differing


def _equals(text: Any, expected: Decimal) -> bool:
    try:
        return Decimal(text) == expected
    except (InvalidOperation, TypeError, ValueError):
        return False


def unknown_bars(run: str, detail: str) -> BarsParity:
    """Nothing is missing, and nothing is the same."""
    return bars_parity(run, BarsSeen(bytearray())).model_copy(update={"message": detail})


def bars_parity(run: str, seen: BarsSeen) -> BarsParity:
    differ = seen.missing_bars or seen.different or seen.unexpected
    return BarsParity(
        run=run,
        outcome="differ" if differ else "same" if seen.same else "unknown",
        message=_message(seen),
        same=seen.same,
        missing=seen.missing_bars,
        missing_ranges=tuple(seen.missing),
        different=seen.different,
        unexpected=seen.unexpected,
        first=seen.first,
        not_subscribed=seen.not_subscribed,
    )


def _message(seen: BarsSeen) -> str:
    wrong = [
        f"{count:,} {what}"
        for count, what in (
            (seen.missing_bars, "missing"),
            (seen.different, "with other values"),
            (seen.unexpected, "out of order"),
        )
        if count
    ]
    if wrong:
        return f"{', '.join(wrong)}; {seen.same:,} equal the candles"
    others = f"; no subscription at {seen.not_subscribed:,} others" if seen.not_subscribed else ""
    return f"{seen.same:,} bars equal the candles in every field{others}" if seen.same else "no bar was seen"
