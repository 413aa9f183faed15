"""Flatten through the engine in a halt, in parallel with the flatten over REST."""

from collections.abc import Callable

from opslab.model.messages.paper_messages import Flattened
from opslab.nautilus.live.rest_flatten import RestFlattener

ROUND_SECONDS = 0.25
TIMEOUT_SECONDS = 1.0
"""Time after which the node is stopped in any case: this discards the orders that its adapter has queued."""
BACKLOG_SECONDS = 0.2
BACKLOG_ORDERS = 4
"""A larger number in flight after `BACKLOG_SECONDS` is not sent in time: the adapter sends twenty orders a second."""


class HaltFlattener:
    """Call `step` until it returns a `Flattened`. All of it on the engine's thread."""

    def __init__(
        self,
        rest_flattener: RestFlattener,
        close: Callable[[], None],
        in_flight_count: Callable[[], int],
        none_in_flight: Callable[[], bool],
        started_at: float,
    ) -> None:
        """close: has the engine cancel all orders and close the position. in_flight_count: orders of the strategy."""
        self._rest_flattener = rest_flattener
        self._close = close
        self._in_flight_count = in_flight_count
        self._none_in_flight = none_in_flight
        self._started_at = started_at
        self._round_at: float | None = None

    def step(self, now: float) -> Flattened | None:
        if self._round_at is None or now - self._round_at >= ROUND_SECONDS:
            self._round_at = now
            self._close()
        if self._none_in_flight():
            self._rest_flattener.nothing_in_flight()
        if self._rest_flattener.confirmed_flat:
            return self._rest_flattener.result(flat=True)
        seconds = now - self._started_at
        if seconds >= TIMEOUT_SECONDS or (seconds >= BACKLOG_SECONDS and self._in_flight_count() > BACKLOG_ORDERS):
            return self._rest_flattener.result(flat=False)
        return None
