"""What a live run decides by, without a node: orders that wait, bars that are done, beats that are due, being flat."""

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from queue import SimpleQueue
from typing import Any

import pytest

from opslab.model.messages.paper_messages import Flattened
from opslab.nautilus.live.bar_tracker import LAST_SECONDS, PATIENCE_SECONDS, BarTracker, OutOfOrderBar
from opslab.nautilus.live.engine_flatten import TIMEOUT_SECONDS, REST_FROM_ROUND, ROUND_SECONDS, Flatten
from opslab.nautilus.live.heartbeat import HeartbeatTimer, EngineVitals
from opslab.nautilus.live.venue_rest_client import AccountState
from opslab.nautilus.strategy.inflight_orders import RECENT_FILL_SECONDS, InFlightOrders

# Orders that wait.


def initialized(
    name: str, order_type: str = "LIMIT", quantity: str = "2", time_in_force: str = "GTC"
) -> dict[str, Any]:
    more = {"order_type": order_type, "quantity": quantity, "time_in_force": time_in_force}
    return {"type": "OrderInitialized", "client_order_id": name, **more}


def event(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "client_order_id": name, **more}


def fill(name: str, quantity: str) -> dict[str, Any]:
    return event("OrderFilled", name, last_qty=quantity)


def waiting_after(*events: dict[str, Any]) -> list[str]:
    answers = InFlightOrders()
    for at, one in enumerate(events):
        answers.apply(one, float(at))
    assert answers.is_empty() == (not answers.orders())
    return [name for name, _ in answers.orders()]


LIMIT, MARKET = initialized("a"), initialized("a", "MARKET")
ACCEPTED = event("OrderAccepted", "a")


@pytest.mark.parametrize(
    ("events", "waits"),
    [
        ([LIMIT], True),
        ([LIMIT, event("OrderSubmitted", "a")], True),
        ([LIMIT, ACCEPTED], False),
        ([LIMIT, event("OrderDenied", "a")], False),
        ([LIMIT, event("OrderRejected", "a")], False),
        ([LIMIT, event("OrderEmulated", "a")], False),
        ([LIMIT, event("OrderEmulated", "a"), event("OrderReleased", "a")], True),
        ([LIMIT, ACCEPTED, event("OrderPendingCancel", "a")], True),
        ([LIMIT, ACCEPTED, event("OrderPendingCancel", "a"), event("OrderCanceled", "a")], False),
        ([LIMIT, ACCEPTED, event("OrderPendingCancel", "a"), event("OrderCancelRejected", "a")], False),
        ([LIMIT, ACCEPTED, event("OrderPendingCancel", "a"), fill("a", "1")], True),
        ([LIMIT, ACCEPTED, event("OrderPendingCancel", "a"), fill("a", "1"), fill("a", "1")], False),
        ([LIMIT, ACCEPTED, event("OrderPendingUpdate", "a")], True),
        ([LIMIT, ACCEPTED, event("OrderPendingUpdate", "a"), event("OrderUpdated", "a", quantity="3")], False),
        ([LIMIT, ACCEPTED, event("OrderPendingUpdate", "a"), event("OrderModifyRejected", "a")], False),
        ([LIMIT, ACCEPTED, event("OrderUpdated", "a", quantity="1"), fill("a", "1")], False),
        ([MARKET, ACCEPTED], True),
        ([MARKET, ACCEPTED, fill("a", "1.5")], True),
        ([MARKET, ACCEPTED, fill("a", "1.5"), fill("a", "0.5")], False),
        ([MARKET, ACCEPTED, fill("a", "1.5"), event("OrderExpired", "a")], False),
        ([initialized("a", time_in_force="IOC"), ACCEPTED], True),
        ([event("OrderPendingCancel", "a")], True),
        ([event("OrderPendingCancel", "a"), fill("a", "1")], False),
        ([event("OrderAccepted", "a"), fill("a", "1")], False),
    ],
)
def test_an_order_waits_until_it_is_answered(events: list[dict[str, Any]], waits: bool) -> None:
    assert waiting_after(*events) == (["a"] if waits else [])


def test_what_waits_is_told_with_its_age_and_fills_while_they_are_young() -> None:
    answers = InFlightOrders()
    answers.apply(initialized("a", "MARKET"), 100.0)
    answers.apply(fill("a", "1"), 101.0)
    answers.apply(initialized("b"), 103.0)
    told = answers.waiting(104.5)
    assert [(one.kind, one.client_order_id, one.age_seconds) for one in told] == [
        ("order", "a", 4.5), ("order", "b", 1.5), ("fill", "a", 3.5),
    ]  # fmt: skip
    assert [one.kind for one in answers.waiting(101.0 + RECENT_FILL_SECONDS)] == ["order", "order"]


# Bars.


class Waits:
    def __init__(self) -> None:
        self.none = True
        self.told: list[int] = []
        self.bars = BarTracker(last_close_ns=300, is_empty=lambda: self.none, tell=self.told.append)


def test_a_bar_is_told_when_its_handler_returned_and_its_orders_are_answered() -> None:
    run = Waits()
    run.bars.saw(100, 1.0)
    run.bars.settle(1.0)
    assert run.told == []
    run.none = False
    run.bars.returned()
    run.bars.settle(1.1)
    assert run.told == []
    run.none = True
    run.bars.settle(1.2)
    run.bars.settle(1.3)
    assert run.told == [1]


def test_a_bar_is_never_stuck() -> None:
    run = Waits()
    run.none = False
    run.bars.saw(100, 1.0)
    run.bars.returned()
    run.bars.settle(1.0 + PATIENCE_SECONDS - 0.1)
    assert run.told == []
    run.bars.settle(1.0 + PATIENCE_SECONDS)
    assert run.told == [1]


@pytest.mark.parametrize("late", [200, 100])
def test_a_bar_that_is_not_newer_is_not_counted(late: int) -> None:
    run = Waits()
    assert run.bars.saw(200, 1.0) is None
    assert run.bars.saw(late, 1.1) == OutOfOrderBar(ts_event=late, newest=200)
    assert run.bars.count == 1
    assert run.bars.saw(201, 1.2) is None
    assert run.bars.count == 2


def test_the_run_is_over_with_its_last_bar_and_that_one_has_its_time() -> None:
    run = Waits()
    run.bars.saw(200, 1.0)
    run.bars.returned()
    run.bars.settle(1.0)
    assert not run.bars.all_done(99.0)
    run.none = False
    run.bars.saw(300, 2.0)
    run.bars.returned()
    run.bars.settle(2.0)
    assert not run.bars.all_done(2.1)
    assert run.bars.all_done(2.0 + LAST_SECONDS)
    run.none = True
    run.bars.settle(2.1)
    assert run.bars.all_done(2.1)


# Beats.


def test_a_beat_that_is_missed_stays_missed() -> None:
    pulse = HeartbeatTimer(10.0)
    assert pulse.late_seconds(10.0) == 0.0
    assert pulse.late_seconds(10.9) is None
    assert pulse.late_seconds(11.01) == pytest.approx(0.01)
    assert pulse.late_seconds(15.5) == pytest.approx(3.5)
    assert pulse.late_seconds(15.6) is None
    assert pulse.late_seconds(16.0) == pytest.approx(0.0)
    assert pulse.number == 4


def test_the_longest_lag_since_the_last_beat_is_told_once() -> None:
    vitals = EngineVitals()
    assert vitals.take_max_lag_ms() is None
    vitals.record_lag(2_000_000)
    vitals.record_lag(1_000_000)
    assert vitals.take_max_lag_ms() == 2.0
    assert vitals.take_max_lag_ms() is None


# Flat.


class Stage:
    """A venue that answers what a test says, and counts what is asked of the engine."""

    def __init__(self, *standings: AccountState | None, late_steps: int = 0) -> None:
        """late_steps: how long an answer takes."""
        self.answers: SimpleQueue[AccountState | None] = SimpleQueue()
        self._under_way: deque[int] = deque()
        self._late_steps = late_steps
        self.nothing_in_flight = True
        self.closed = 0
        self.asked: list[bool] = []
        self.at = 100.0
        self._standings: deque[AccountState | None] = deque(standings)
        self._flatten = Flatten(self, self._close, lambda: self.nothing_in_flight, self.at)  # type: ignore[arg-type]

    def request(self, flatten: bool) -> None:
        self.asked.append(flatten)
        self._under_way.append(self._late_steps)

    def _close(self) -> None:
        self.closed += 1

    def steps(self) -> Iterator[Flattened | None]:
        while True:
            while self._under_way and self._under_way[0] <= 0:
                self._under_way.popleft()
                self.answers.put(self._standings.popleft() if len(self._standings) > 1 else self._standings[0])
            self._under_way = deque(steps - 1 for steps in self._under_way)
            yield self._flatten.step(self.at)
            self.at += 0.01

    def end(self) -> Flattened:
        return next(found for found in self.steps() if found is not None)


OPEN, NOTHING = AccountState(1, Decimal("0.5")), AccountState(0, Decimal(0))


def test_flat_is_what_the_venue_says() -> None:
    stage = Stage(OPEN, OPEN, NOTHING)
    done = stage.end()
    assert (done.flat, done.rounds, stage.closed) == (True, 1, 1)
    assert done.seconds == pytest.approx(0.09)


def test_it_is_asked_for_again_and_then_past_the_engine() -> None:
    stage = Stage(OPEN)
    done = stage.end()
    assert not done.flat
    assert done.seconds == pytest.approx(TIMEOUT_SECONDS, abs=0.02)
    assert done.rounds == stage.closed == pytest.approx(TIMEOUT_SECONDS / ROUND_SECONDS, abs=1)
    first = stage.asked.index(True)
    assert not any(stage.asked[:first])
    assert all(stage.asked[first:])
    assert first >= (REST_FROM_ROUND - 1) * ROUND_SECONDS / 0.05 - 1


def test_a_venue_that_does_not_answer_is_not_flat() -> None:
    assert not Stage(None).end().flat


@pytest.mark.parametrize("late_steps", [0, 3, 10])
def test_flat_while_an_order_is_on_its_way_is_not_the_end(late_steps: int) -> None:
    """What the venue was asked before the order arrived says nothing of what is open behind it."""
    stage = Stage(NOTHING, late_steps=late_steps)
    stage.nothing_in_flight = False
    steps = stage.steps()
    assert all(next(steps) is None for _ in range(20))
    asked = len(stage.asked)
    stage.nothing_in_flight = True
    found = next(done for done in steps if done is not None)
    assert found.flat
    assert len(stage.asked) > asked
