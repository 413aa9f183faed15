"""A halt past the engine: the venue is told over REST to end everything, again and again, until it says that it has.

Beside the engine's own way, and from a thread of its own: a handler that blocks the engine, a row of orders that its
adapter still sends, a trading connection that is down are no obstacle. It goes on looking when the account is flat:
what was on its way may come to be an order after all.
"""

import threading
from collections.abc import Callable
from contextlib import suppress

from opslab.model.messages.paper_messages import Flattened
from opslab.nautilus.live.venue_rest_client import AccountState, VenueRestClient, VenueUnreachable
from opslab.ports import Clock

ROUND_SECONDS = 0.04
"""Between two rounds; one that only looks weighs six of a client's 2,400 in a minute."""
SLOW_AFTER_SECONDS = 3.0
SLOW_ROUND_SECONDS = 0.25
CONFIRM_SECONDS = 0.1
"""For so long the venue has to say that the account is flat."""
NOTHING_IN_FLIGHT_SECONDS = 0.1
"""How old the engine's word may be that no order of its is on its way."""
FINISH_SECONDS = 4.0
"""How long a venue may take to become flat once the node has stopped."""


class RestFlattener:
    """`begin` from any thread. `settled`: the account is flat, stays so, and nothing was on its way."""

    def __init__(self, client: VenueRestClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._started_at: float | None = None
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
        """More than once is as once."""
        with self._lock:
            if self._started_at is not None:
                return
            self._started_at = self._clock.monotonic_s()
        threading.Thread(target=self._work, name="hunt", daemon=True).start()

    def nothing_in_flight(self) -> None:
        """The engine's word that at this moment no order of its waits for an answer."""
        self._nothing_in_flight_at = self._clock.monotonic_s()

    def finish(self) -> Flattened:
        """The node has stopped, and sends nothing any more: see to what is left. Blocks for some seconds at most."""
        self._node_stopped = True
        self._flat_since = None
        self._confirmed.clear()
        self.start()
        self._wake.set()
        self._confirmed.wait(FINISH_SECONDS)
        self._is_finished = True
        return self.result(flat=self.confirmed_flat)

    def result(self, *, flat: bool) -> Flattened:
        now = self._clock.monotonic_s()
        started_at = now if self._started_at is None else self._started_at
        return Flattened(flat=flat, rounds=self.rounds, seconds=round(now - started_at, 6))

    def _work(self) -> None:
        assert self._started_at is not None
        flattened_now = False
        while not self._is_finished:
            flattened_now = self._round() and not flattened_now
            if flattened_now:
                continue
            late = self._clock.monotonic_s() - self._started_at > SLOW_AFTER_SECONDS
            slow = late and not self._node_stopped
            self._wake.wait(SLOW_ROUND_SECONDS if slow else ROUND_SECONDS)
            self._wake.clear()

    def _round(self) -> bool:
        """Look, and end what there is; whether that was done, so that the next look is worth it at once."""
        queried_at = self._clock.monotonic_s()
        nothing_in_flight = self._node_stopped or queried_at - self._nothing_in_flight_at < NOTHING_IN_FLIGHT_SECONDS
        account = self._query()
        self.rounds += 1
        if account is None or not account.flat:
            self._flat_since = None
            self._confirmed.clear()
            self._flatten(account)
            return account is not None
        if not nothing_in_flight:
            self._flat_since = None
        elif self._flat_since is None:
            self._flat_since = queried_at
        elif queried_at - self._flat_since >= CONFIRM_SECONDS:
            self._confirmed.set()
        return False

    def _flatten(self, account: AccountState | None) -> None:
        """The position first, the quickest way to be flat; whatever becomes of one order the other is given, too."""
        if account is not None and account.position:
            position = account.position
            self._try(lambda: self._client.reduce(position))
        if account is None or account.orders:
            self._try(self._client.cancel_all)

    def _query(self) -> AccountState | None:
        with suppress(VenueUnreachable):
            return self._client.account()
        return None

    def _try(self, do: Callable[[], None]) -> None:
        with suppress(VenueUnreachable):
            do()
