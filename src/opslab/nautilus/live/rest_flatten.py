"""Flatten over REST, bypassing the engine, until the venue reports flat.

In parallel with the flatten through the engine, and from a thread of its own: neither a handler that blocks the engine,
nor orders that its adapter has queued, nor a trading connection that is down prevents it. It continues while the
account is flat: an order in flight may still arrive.
"""

import threading
from collections.abc import Callable
from contextlib import suppress

from opslab.model.messages.paper_messages import Flattened
from opslab.nautilus.live.venue_rest_client import OpenExposure, VenueRestClient, VenueUnreachable
from opslab.ports import Clock

ROUND_SECONDS = 0.04
"""Time between two rounds; one that only queries has a weight of six, of a client's 2,400 in a minute."""
SLOW_AFTER_SECONDS = 3.0
"""After the start, and after the end of the node."""
SLOW_ROUND_SECONDS = 0.5
"""A minute of rounds with an order, a weight of seven each, stays below the client's limit: beyond it the venue would
reject them after the overload too."""
CONFIRM_SECONDS = 0.1
"""Time for which the venue must report flat."""
NOTHING_IN_FLIGHT_SECONDS = 0.1
"""Maximum age of the engine's report that it has no order in flight."""
FINISH_SECONDS = 55.0
"""Time for the account to become flat after the node has stopped: an overload may reject every order meanwhile. Control
ends the engine much sooner if the venue can flatten the account."""


class RestFlattener:
    """`start` from any thread. `confirmed_flat`: the account is flat, stays flat, and no order was in flight."""

    def __init__(self, client: VenueRestClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._started_at: float | None = None
        self._fast_until = float("-inf")
        self._nothing_in_flight_at = float("-inf")
        self._node_stopped = False
        self._flat_since: float | None = None
        self._confirmed = threading.Event()
        self._wake = threading.Event()
        self._is_finished = False
        self._lock = threading.Lock()
        self.rounds = 0

    @property
    def confirmed_flat(self) -> bool:
        return self._confirmed.is_set()

    def start(self) -> None:
        """Idempotent."""
        with self._lock:
            if self._started_at is not None:
                return
            self._started_at = self._clock.monotonic_s()
            self._fast_until = self._started_at + SLOW_AFTER_SECONDS
        threading.Thread(target=self._work, name="rest-flatten", daemon=True).start()

    def nothing_in_flight(self) -> None:
        """The engine reports that it has no order in flight at this moment."""
        self._nothing_in_flight_at = self._clock.monotonic_s()

    def finish(self) -> Flattened:
        """The node has stopped and sends no more orders: flatten the rest. Blocks for `FINISH_SECONDS` at most."""
        self._node_stopped = True
        self._flat_since = None
        self._confirmed.clear()
        self.start()
        self._fast_until = self._clock.monotonic_s() + SLOW_AFTER_SECONDS
        self._wake.set()
        self._confirmed.wait(FINISH_SECONDS)
        self._is_finished = True
        return self.result(flat=self.confirmed_flat)

    def result(self, *, flat: bool) -> Flattened:
        now = self._clock.monotonic_s()
        started_at = now if self._started_at is None else self._started_at
        return Flattened(flat=flat, rounds=self.rounds, seconds=round(now - started_at, 6))

    def _work(self) -> None:
        flattened_now = False
        while not self._is_finished:
            flattened_now = self._round() and not flattened_now
            if flattened_now:
                continue
            is_slow = self._clock.monotonic_s() > self._fast_until
            self._wake.wait(SLOW_ROUND_SECONDS if is_slow else ROUND_SECONDS)
            self._wake.clear()

    def _round(self) -> bool:
        """Query the account, and flatten it unless it is flat.

        Returns whether requests that flatten it were accepted, so that the next query is useful at once.
        """
        queried_at = self._clock.monotonic_s()
        nothing_in_flight = self._node_stopped or queried_at - self._nothing_in_flight_at < NOTHING_IN_FLIGHT_SECONDS
        exposure = self._query()
        self.rounds += 1
        if exposure is None or not exposure.flat:
            self._flat_since = None
            self._confirmed.clear()
            return self._flatten(exposure) and exposure is not None
        if not nothing_in_flight:
            self._flat_since = None
        elif self._flat_since is None:
            self._flat_since = queried_at
        elif queried_at - self._flat_since >= CONFIRM_SECONDS:
            self._confirmed.set()
        return False

    def _flatten(self, exposure: OpenExposure | None) -> bool:
        """Close the position first: that is fastest. A failure of one request does not prevent the other.

        Returns whether all of them were accepted.
        """
        accepted = True
        if exposure is not None and exposure.position:
            position = exposure.position
            accepted = self._try(lambda: self._client.reduce(position))
        if exposure is None or exposure.orders:
            accepted = self._try(self._client.cancel_all) and accepted
        return accepted

    def _query(self) -> OpenExposure | None:
        with suppress(VenueUnreachable):
            return self._client.exposure()
        return None

    def _try(self, request: Callable[[], None]) -> bool:
        with suppress(VenueUnreachable):
            request()
            return True
        return False
