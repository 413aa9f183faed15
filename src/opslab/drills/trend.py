"""The trend of a drill over its last runs: verdicts, times, and whether the last run was slower. Pure functions."""

from collections import Counter
from collections.abc import Sequence
from math import ceil
from statistics import median

from opslab.drills.recorded import VERDICTS, RecordedDrill, RecordedDrills
from opslab.model.primitives.record import Record

MIN_EARLIER = 5
"""Fewer earlier times are no base for a regression."""
P95 = 0.95


class TimeTrend(Record):
    """Seconds. `null`: no run has such a time."""

    last: float | None
    """Of the last run; `null` when it has none."""
    median: float | None
    p95: float | None
    """Nearest rank: of fewer than 20 times the worst."""
    worst: float | None
    p95_before: float | None
    """Of the runs before the last; `null` for fewer than five times."""
    is_regression: bool
    """The last run was slower than `p95_before`, or failed without this time."""


class DrillTrend(Record):
    name: str
    runs: int
    """Number of the runs that the trend is of."""
    verdicts: dict[str, int]
    unreadable: int
    """Of all runs of the drill; the trend is without them."""
    first_ended_at: str | None
    last_ended_at: str | None
    last_run_id: str | None
    last_verdict: str | None
    detect_seconds: TimeTrend
    recover_seconds: TimeTrend


def drill_trend(name: str, recorded: RecordedDrills, count: int) -> DrillTrend:
    """count: maximum number of runs; the newest are taken."""
    runs = recorded.readable[-count:]
    verdicts = Counter(each.verdict for each in runs)
    last = runs[-1] if runs else None
    return DrillTrend(
        name=name,
        runs=len(runs),
        verdicts={verdict: verdicts[verdict] for verdict in VERDICTS},
        unreadable=recorded.unreadable,
        first_ended_at=runs[0].ended_at if runs else None,
        last_ended_at=last.ended_at if last else None,
        last_run_id=last.run_id if last else None,
        last_verdict=last.verdict if last else None,
        detect_seconds=_time_trend([each.detect_seconds for each in runs], last),
        recover_seconds=_time_trend([each.recover_seconds for each in runs], last),
    )


def _time_trend(times: Sequence[float | None], last_run: RecordedDrill | None) -> TimeTrend:
    known = [each for each in times if each is not None]
    earlier = [each for each in times[:-1] if each is not None]
    last = times[-1] if times else None
    before = nearest_rank(earlier, P95) if len(earlier) >= MIN_EARLIER else None
    has_failed = last_run is not None and last_run.verdict == "fail"
    return TimeTrend(
        last=last,
        median=median(known) if known else None,
        p95=nearest_rank(known, P95) if known else None,
        worst=max(known, default=None),
        p95_before=before,
        is_regression=before is not None and (last > before if last is not None else has_failed),
    )


def nearest_rank(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below that share of them. values: at least one."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
