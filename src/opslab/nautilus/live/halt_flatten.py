"""The engine's own hand in a halt: it closes everything through the engine, while the hunt does so past it."""

from collections.abc import Callable

from opslab.model.messages.paper_messages import Flattened
from opslab.nautilus.live.rest_flatten import RestFlattener

ROUND_SECONDS = 0.25
TIMEOUT_SECONDS = 1.0
"""Then the node is stopped as it is: with it dies the row of orders that its adapter keeps."""
BACKLOG_SECONDS = 0.2
BACKLOG_ORDERS = 4
"""So many that still wait then will not be through in time: the adapter sends twenty a second."""


class HaltFlatten:
    """`step` until it gives a `Flattened`; then it is over. All of it on the engine's thread."""

    def __init__(
        self,
        rest_flattener: RestFlattener,
        close: Callable[[], None],
        waiting: Callable[[], int],
        is_empty: Callable[[], bool],
        started_at: float,
    ) -> None:
        """close: asks the engine to end everything. waiting: how many orders wait for an answer."""
        self._rest_flattener = rest_flattener
        self._close = close
        self._waiting = waiting
        self._none_in_flight = is_empty
        self._began_at = started_at
        self._round_at: float | None = None

    def step(self, now: float) -> Flattened | None:
        if self._round_at is None or now - self._round_at >= ROUND_SECONDS:
            self._round_at = now
            self._close()
        if self._none_in_flight():
            self._rest_flattener.nothing_in_flight()
        if self._rest_flattener.confirmed_flat:
            return self._rest_flattener.result(flat=True)
        passed = now - self._began_at
        if passed >= TIMEOUT_SECONDS or (passed >= BACKLOG_SECONDS and self._waiting() > BACKLOG_ORDERS):
            return self._rest_flattener.result(flat=False)
        return None
