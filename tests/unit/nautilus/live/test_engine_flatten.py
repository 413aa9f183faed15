"""Flatten through the engine: the venue decides what is flat. Times are given."""

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from queue import SimpleQueue

import pytest

from opslab.model.messages.paper_messages import Flattened
from opslab.nautilus.live.engine_flatten import REST_FROM_ROUND, ROUND_SECONDS, TIMEOUT_SECONDS, EngineFlattener
from opslab.nautilus.live.venue_rest_client import OpenExposure


class ScriptedPoller:
    """In place of the `AccountPoller`: answers from a list, and steps a flattener. The last answer repeats."""

    def __init__(self, *script: OpenExposure | None, late_steps: int = 0) -> None:
        """late_steps: steps from a request to its answer."""
        self.answers: SimpleQueue[OpenExposure | None] = SimpleQueue()
        self._pending: deque[int] = deque()
        self._late_steps = late_steps
        self.nothing_in_flight = True
        self.closed = 0
        """Number of calls to the engine."""
        self.requests: list[bool] = []
        """Of each request, whether it flattens over REST."""
        self.at = 100.0
        self._script: deque[OpenExposure | None] = deque(script)
        self._flattener = EngineFlattener(self, self._close, lambda: self.nothing_in_flight, self.at)  # type: ignore[arg-type]

    def request(self, flatten: bool) -> None:
        self.requests.append(flatten)
        self._pending.append(self._late_steps)

    def _close(self) -> None:
        self.closed += 1

    def steps(self) -> Iterator[Flattened | None]:
        while True:
            while self._pending and self._pending[0] <= 0:
                self._pending.popleft()
                self.answers.put(self._script.popleft() if len(self._script) > 1 else self._script[0])
            self._pending = deque(steps - 1 for steps in self._pending)
            yield self._flattener.step(self.at)
            self.at += 0.01

    def result(self) -> Flattened:
        return next(result for result in self.steps() if result is not None)


OPEN, FLAT = OpenExposure(1, Decimal("0.5")), OpenExposure(0, Decimal(0))


def test_the_account_is_flat_when_the_venue_reports_it() -> None:
    poller = ScriptedPoller(OPEN, OPEN, FLAT)
    result = poller.result()
    assert (result.flat, result.rounds, poller.closed) == (True, 1, 1)
    assert result.seconds == pytest.approx(0.09)


def test_the_engine_is_called_each_round_and_rest_is_used_after_some_rounds() -> None:
    poller = ScriptedPoller(OPEN)
    result = poller.result()
    assert not result.flat
    assert result.seconds == pytest.approx(TIMEOUT_SECONDS, abs=0.02)
    assert result.rounds == poller.closed == pytest.approx(TIMEOUT_SECONDS / ROUND_SECONDS, abs=1)
    first = poller.requests.index(True)
    assert not any(poller.requests[:first])
    assert all(poller.requests[first:])
    assert first >= (REST_FROM_ROUND - 1) * ROUND_SECONDS / 0.05 - 1


def test_a_venue_that_does_not_answer_is_not_flat() -> None:
    assert not ScriptedPoller(None).result().flat


@pytest.mark.parametrize("late_steps", [0, 3, 10])
def test_flat_while_an_order_is_in_flight_is_not_the_end(late_steps: int) -> None:
    """An answer to a query from before the order arrived proves nothing about the time after it."""
    poller = ScriptedPoller(FLAT, late_steps=late_steps)
    poller.nothing_in_flight = False
    steps = poller.steps()
    assert all(next(steps) is None for _ in range(20))
    requests = len(poller.requests)
    poller.nothing_in_flight = True
    result = next(result for result in steps if result is not None)
    assert result.flat
    assert len(poller.requests) > requests
