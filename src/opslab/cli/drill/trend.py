"""The trend of drills as text."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from opslab.cli.output import note, result_table

if TYPE_CHECKING:
    from opslab.lab.drill.record import DrillTrend, TimeTrend

_HEADINGS = ("DRILL", "RUNS", "PASS", "FAIL", "UNKNOWN", "TIME", "LAST", "MEDIAN", "P95", "WORST", "TREND")


def show_trends(trends: "Sequence[DrillTrend]") -> None:
    """Two lines for each drill, one for each of its times; regressions are named on stderr, too."""
    result_table(_HEADINGS, [row for trend in trends for row in _rows(trend)], right=(1, 2, 3, 4, 6, 7, 8, 9))
    for trend in trends:
        for name, times in _times(trend):
            if times.is_regression:
                last = f"{times.last:.2f} s" if times.last is not None else "missing"
                note(f"regression of {trend.name}: {name} {last}, p95 of the runs before {times.p95_before:.2f} s")


def _rows(trend: "DrillTrend") -> Iterator[tuple[str, ...]]:
    counts = (str(trend.runs), *(str(trend.verdicts[verdict]) for verdict in ("pass", "fail", "unknown")))
    head: tuple[str, ...] = (trend.name, *counts)
    for name, times in _times(trend):
        values = (times.last, times.median, times.p95, times.worst)
        yield (*head, name, *map(_seconds, values), "regression" if times.is_regression else "")
        head = ("",) * len(head)


def _times(trend: "DrillTrend") -> "Iterator[tuple[str, TimeTrend]]":
    yield "detect", trend.detect_seconds
    yield "recover", trend.recover_seconds


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"
