"""Closing everything, again and again, until the venue itself says that nothing is open.

`Flatten` is stepped on the engine's thread and orders through the engine, past the gate. An `Asker` puts the question
to the venue from a thread of its own. What the engine does not know of, it cannot end: after some rounds the asker
ends that past the engine.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from nautilus_trader.common import Cache
from nautilus_trader.model import InstrumentId, OrderSide, Quantity
from nautilus_trader.trading import Strategy

from opslab.model.messages.paper_messages import Flattened
from opslab.nautilus.live.venue_rest_client import AccountState, VenueRestClient, VenueUnreachable
from opslab.nautilus.live.venue_rest_client import flatten as flatten_by_rest

ROUND_SECONDS = 0.25
TIMEOUT_SECONDS = 3.0
"""Then the engine cannot. Its adapter sends twenty orders a second and keeps the rest in a row: they leave it even when
the gate is long closed, until the node is stopped (measured)."""
POLL_SECONDS = 0.04
"""Between two questions: six of a client's weight each, of 2,400 in a minute."""
REST_FROM_ROUND = 3
"""From this round on the venue is also told directly."""


class AccountPoller:
    """`ask` from the engine's thread; `answers` are there when they are."""

    def __init__(self, client: VenueRestClient) -> None:
        self.answers: queue.SimpleQueue[AccountState | None] = queue.SimpleQueue()
        """None: the venue could not be asked."""
        self._client = client
        self._requests: queue.SimpleQueue[bool] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="asker", daemon=True).start()

    def request(self, flatten: bool) -> None:
        """end_it: not only look."""
        self._requests.put(flatten)

    def _work(self) -> None:
        while True:
            if self._requests.get():
                with suppress(VenueUnreachable):
                    flatten_by_rest(self._client)
            try:
                self.answers.put(self._client.account())
            except VenueUnreachable:
                self.answers.put(None)


class Flatten:
    """`step` until it gives a `Flattened`; then it is over. All of it on the engine's thread."""

    def __init__(
        self, poller: AccountPoller, close: Callable[[], None], is_empty: Callable[[], bool], started_at: float
    ) -> None:
        """close: asks the engine to end everything. none_waits: whether no order is on its way any more."""
        self._poller = poller
        self._close = close
        self._none_in_flight = is_empty
        self._began_at = started_at
        self._round = 0
        self._round_at = started_at
        self._polled_at: float | None = None
        self._is_polling = False
        self._nothing_in_flight_when_polled = False
        """Whether nothing was on its way when the question was put: what was may have come to be something since."""
        self._flat = self._nothing_in_flight = False
        """By the venue's last answer, and what was so when it was asked for."""

    def step(self, now: float) -> Flattened | None:
        if not self._round or now - self._round_at >= ROUND_SECONDS:
            self._round += 1
            self._round_at = now
            self._close()
        self._read_answers()
        late = now - self._began_at >= TIMEOUT_SECONDS
        flat = self._flat and self._nothing_in_flight
        if flat or late:
            return Flattened(flat=flat, rounds=self._round, seconds=round(now - self._began_at, 6))
        if not self._is_polling and (self._polled_at is None or now - self._polled_at >= POLL_SECONDS):
            self._is_polling, self._polled_at = True, now
            self._nothing_in_flight_when_polled = self._none_in_flight()
            self._poller.request(self._round >= REST_FROM_ROUND)
        return None

    def _read_answers(self) -> None:
        while not self._poller.answers.empty():
            account = self._poller.answers.get()
            self._is_polling = False
            self._flat, self._nothing_in_flight = (
                account is not None and account.flat,
                self._nothing_in_flight_when_polled,
            )


def close_everything(strategy: Strategy, cache: Cache, instrument_id: InstrumentId) -> None:
    """By the engine, and past the strategy's gate: the position first, which is the quickest way to be flat.

    What belongs to nobody here (`EXTERNAL`) is no strategy's to close: an order that can only reduce does it.
    """
    Strategy.close_all_positions(strategy, instrument_id, reduce_only=True)
    for position in cache.positions_open(instrument_id=instrument_id):
        if position.strategy_id != strategy.strategy_id:
            side = OrderSide.SELL if position.is_long else OrderSide.BUY
            quantity: Quantity = position.quantity
            order = strategy.order_factory.market(instrument_id, side, quantity, reduce_only=True)
            Strategy.submit_order(strategy, order)
    Strategy.cancel_all_orders(strategy, instrument_id, strategy_only=False)
