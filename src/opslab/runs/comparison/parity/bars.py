"""Whether a paper run's strategy saw the candles of its dataset: each, as it is, in its turn."""

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
    """Which candles a run's strategy saw."""

    marks: bytearray
    """1 for each candle that was seen, in its turn."""
    end: int = 0
    """Behind the last of them."""
    same: int = 0
    different: int = 0
    unexpected: int = 0
    first: BarDifference | None = None
    missing: list[BarRange] = field(default_factory=list)
    missing_bars: int = 0


def everything(candles: Candles, first: int, count: int) -> BarsSeen:
    """A backtest sees all: it is `failed` otherwise."""
    marks = bytearray(len(candles))
    end = min(first + count, len(candles))
    marks[first:end] = b"\1" * max(0, end - first)
    return BarsSeen(marks, end)


def look(rows: Iterable[Mapping[str, Any]], candles: Candles, first: int, expected: int | None) -> BarsSeen:
    """Hold what was seen against the candles from `first` on.

    expected: how many there should be; None: nobody can say, as of a run that was ended early.
    """
    seen = BarsSeen(bytearray(len(candles)), first)
    for row in rows:
        index = candles.at(row["ts_event"])
        if index < seen.end or candles.ts_ns(index) != row["ts_event"]:
            seen.unexpected += 1
            continue
        _note_missing(seen, candles, index)
        seen.marks[index] = 1
        seen.end = index + 1
        found = _differences(row, candles, index)
        if not found:
            seen.same += 1
            continue
        seen.different += 1
        seen.first = seen.first or BarDifference(bar=iso(row["ts_event"]), differences=tuple(found))
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
    found = []
    for name in FIELDS:
        wanted, there = candles.value(name, index), row.get(name)
        if not _is(there, wanted):
            found.append(Difference(field=name, before=str(wanted), after=None if there is None else str(there)))
    return found


def _is(text: Any, wanted: Decimal) -> bool:
    try:
        return Decimal(text) == wanted
    except (InvalidOperation, TypeError, ValueError):
        return False


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
    )


def unknown_bars(run: str, why: str) -> BarsParity:
    return bars_parity(run, BarsSeen(bytearray())).model_copy(update={"message": why})


def _message(seen: BarsSeen) -> str:
    wrong = [
        f"{count:,} {what}"
        for count, what in (
            (seen.missing_bars, "missing"),
            (seen.different, "with other values"),
            (seen.unexpected, "out of place"),
        )
        if count
    ]
    if wrong:
        return f"{', '.join(wrong)}; {seen.same:,} are the candles"
    return f"{seen.same:,} bars are the candles, field by field" if seen.same else "no bar was seen"
