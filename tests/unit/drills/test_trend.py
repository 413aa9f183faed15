"""The trend of a drill: times of its last runs, and whether the last one was slower than those before."""

from collections.abc import Sequence

import pytest

from opslab.drills.recorded import recorded_drills
from opslab.drills.trend import DrillTrend, drill_trend, nearest_rank
from tests.fakes.drill_records import drill_row


def trend(times: Sequence[float | None], count: int = 30, last_verdict: str = "pass") -> DrillTrend:
    """Of runs that end a minute apart."""
    rows = [
        drill_row(
            f"r{number:02}",
            "disconnect",
            last_verdict if number == len(times) - 1 else "pass",
            f"2026-01-01T00:{number:02}:00.000000Z",
            time,
        )
        for number, time in enumerate(times)
    ]
    return drill_trend("disconnect", recorded_drills(reversed(rows), ("disconnect",))["disconnect"], count)


def test_a_drill_that_was_never_run_has_no_times() -> None:
    found = trend(())
    assert (found.runs, found.verdicts, found.last_run_id) == (0, {"pass": 0, "fail": 0, "unknown": 0}, None)
    assert not found.detect_seconds.is_regression
    assert found.detect_seconds.worst is None


def test_only_the_newest_runs_count() -> None:
    found = trend((9.0, 1.0, 2.0, 3.0), count=3)
    assert (found.runs, found.last_run_id) == (3, "r03")
    assert (found.detect_seconds.median, found.detect_seconds.worst) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("times", "is_regression"),
    [
        ((1.0, 1.0, 1.0, 1.0, 2.0, 2.1), True),
        ((1.0, 1.0, 1.0, 1.0, 2.0, 2.0), False),
        ((1.0, 1.0, 1.0, 1.0, 9.0), False),
    ],
    ids=["slower than all before", "as slow as the slowest before", "four before are too few"],
)
def test_a_regression_is_a_last_time_above_the_p95_of_those_before(
    times: tuple[float, ...], is_regression: bool
) -> None:
    assert trend(times).detect_seconds.is_regression is is_regression


def test_one_slow_run_of_forty_is_above_the_p95_and_hides_no_regression() -> None:
    times = trend((*[1.0] * 38, 8.0, 5.0), count=40).detect_seconds
    assert (times.p95_before, times.worst, times.is_regression) == (1.0, 8.0, True)


@pytest.mark.parametrize(("verdict", "is_regression"), [("fail", True), ("unknown", False)])
def test_a_time_that_is_missing_is_a_regression_when_the_drill_failed(verdict: str, is_regression: bool) -> None:
    assert trend((*[1.0] * 5, None), last_verdict=verdict).detect_seconds.is_regression is is_regression


def test_nearest_rank() -> None:
    assert nearest_rank([3.0], 0.95) == 3.0
    assert nearest_rank([float(each) for each in range(1, 21)], 0.95) == 19.0
    assert nearest_rank([float(each) for each in range(1, 101)], 0.95) == 95.0
