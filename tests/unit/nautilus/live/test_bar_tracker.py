"""Bars are counted once, and reported when their orders are acknowledged. Times are given."""

import pytest

from opslab.nautilus.live.bar_tracker import BAR_TIMEOUT_SECONDS, LAST_BAR_SECONDS, BarTracker, OutOfOrderBar


class TrackedRun:
    """A tracker whose last bar is 300, with a switch for the orders in flight, and with all its reports."""

    def __init__(self) -> None:
        self.none_in_flight = True
        self.reports: list[int] = []
        self.bars = BarTracker(
            last_close_ns=300, none_in_flight=lambda: self.none_in_flight, report=self.reports.append
        )


def test_a_bar_is_reported_once_its_handler_returned_and_its_orders_are_acknowledged() -> None:
    run = TrackedRun()
    run.bars.record(100, 1.0)
    run.bars.report_processed(1.0)
    assert run.reports == []
    run.none_in_flight = False
    run.bars.handler_returned()
    run.bars.report_processed(1.1)
    assert run.reports == []
    run.none_in_flight = True
    run.bars.report_processed(1.2)
    run.bars.report_processed(1.3)
    assert run.reports == [1]


def test_a_bar_whose_orders_are_never_acknowledged_is_reported_after_a_timeout() -> None:
    run = TrackedRun()
    run.none_in_flight = False
    run.bars.record(100, 1.0)
    run.bars.handler_returned()
    run.bars.report_processed(1.0 + BAR_TIMEOUT_SECONDS - 0.1)
    assert run.reports == []
    run.bars.report_processed(1.0 + BAR_TIMEOUT_SECONDS)
    assert run.reports == [1]


@pytest.mark.parametrize("late", [200, 100])
def test_a_bar_that_is_not_newer_is_not_counted(late: int) -> None:
    run = TrackedRun()
    assert run.bars.record(200, 1.0) is None
    assert run.bars.record(late, 1.1) == OutOfOrderBar(ts_event=late, newest=200)
    assert run.bars.count == 1
    assert run.bars.record(201, 1.2) is None
    assert run.bars.count == 2


def test_the_run_is_finished_when_its_last_bar_is_processed_or_its_time_has_passed() -> None:
    run = TrackedRun()
    run.bars.record(200, 1.0)
    run.bars.handler_returned()
    run.bars.report_processed(1.0)
    assert not run.bars.is_finished(99.0)
    run.none_in_flight = False
    run.bars.record(300, 2.0)
    run.bars.handler_returned()
    run.bars.report_processed(2.0)
    assert not run.bars.is_finished(2.1)
    assert run.bars.is_finished(2.0 + LAST_BAR_SECONDS)
    run.none_in_flight = True
    run.bars.report_processed(2.1)
    assert run.bars.is_finished(2.1)
