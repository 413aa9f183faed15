"""The schedule of the heartbeats, and the lag that they report. Times are given."""

import pytest

from opslab.nautilus.live.heartbeat import EngineVitals, HeartbeatTimer


def test_a_missed_heartbeat_is_not_made_up_for() -> None:
    timer = HeartbeatTimer(10.0)
    assert timer.beat(10.0) == 0.0
    assert timer.beat(10.9) is None
    assert timer.beat(11.01) == pytest.approx(0.01)
    assert timer.beat(15.5) == pytest.approx(3.5)
    assert timer.beat(15.6) is None
    assert timer.beat(16.0) == pytest.approx(0.0)
    assert timer.number == 4


def test_the_longest_lag_since_the_last_heartbeat_is_taken_once() -> None:
    vitals = EngineVitals()
    assert vitals.take_max_lag_ms() is None
    vitals.record_lag(2_000_000)
    vitals.record_lag(1_000_000)
    assert vitals.take_max_lag_ms() == 2.0
    assert vitals.take_max_lag_ms() is None
