"""Flatten through the engine, round by round, until the venue reports flat.

`EngineFlattener` is stepped on the engine's thread, and orders through the engine, past the gate. An `AccountPoller`
queries the venue from a thread of its own. The engine cannot end orders and positions that it does not know: after
some rounds the poller ends them over REST, bypassing the engine.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from nautilus_trader.common import Cache
from nautilus_trader.model import InstrumentId, OrderSide, Quantity
from nautilus_trader.trading import Strategy

from opslab.model.messages.paper_messages import Flattened
from opslab.nautilus.live.venue_rest_client import OpenExposure, VenueRestClient, VenueUnreachable, flatten_once

ROUND_SECONDS = 0.25
TIMEOUT_SECONDS = 3.0
"""Time for the engine. Its adapter sends twenty orders a second and queues the rest: they are sent even long after the
gate was closed, until the node is stopped (measured)."""
POLL_SECONDS = 0.04
"""Time between two queries: a weight of six each, of a client's 2,400 in a minute."""
REST_FROM_ROUND = 3
"""From this round on, the account is flattened over REST too."""


class AccountPoller:
    """`request` from the engine's thread; the venue's responses arrive in `answers`."""

    def __init__(self, client: VenueRestClient) -> None:
        self.answers: queue.SimpleQueue[OpenExposure | None] = queue.SimpleQueue()
        """None: the venue did not answer."""
        self._client = client
        self._requests: queue.SimpleQueue[bool] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="account-poller", daemon=True).start()

    def request(self, flatten: bool) -> None:
        """Request one query. flatten: first flatten over REST."""
        self._requests.put(flatten)

    def _work(self) -> None:
        while True:
            if self._requests.get():
                with suppress(VenueUnreachable):
                    flatten_once(self._client)
            try:
                self.answers.put(self._client.exposure())
            except VenueUnreachable:
                self.answers.put(None)


class EngineFlattener:
    """Call `step` until it returns a `Flattened`. All of it on the engine's thread."""

    def __init__(
        self, poller: AccountPoller, close: Callable[[], None], none_in_flight: Callable[[], bool], started_at: float
    ) -> None:
        """close: has the engine cancel all orders and close the position. none_in_flight: as of the engine."""
        self._poller = poller
        self._close = close
        self._none_in_flight = none_in_flight
        self._started_at = started_at
        self._round = 0
        self._round_at = started_at
        self._polled_at: float | None = None
        self._is_polling = False
        self._was_none_in_flight = False
        """Whether nothing was in flight at the time of the query: an order in flight may have arrived since."""
        self._is_flat = self._is_certain = False
        """As of the venue's last answer; certain: nothing was in flight at the time of the query."""

    def step(self, now: float) -> Flattened | None:
        if not self._round or now - self._round_at >= ROUND_SECONDS:
            self._round += 1
            self._round_at = now
            self._close()
        self._read_answers()
        is_late = now - self._started_at >= TIMEOUT_SECONDS
        is_flat = self._is_flat and self._is_certain
        if is_flat or is_late:
            return Flattened(flat=is_flat, rounds=self._round, seconds=round(now - self._started_at, 6))
        if not self._is_polling and (self._polled_at is None or now - self._polled_at >= POLL_SECONDS):
            self._is_polling, self._polled_at = True, now
            self._was_none_in_flight = self._none_in_flight()
            self._poller.request(self._round >= REST_FROM_ROUND)
        return None

    def _read_answers(self) -> None:
        while not self._poller.answers.empty():
            exposure = self._poller.answers.get()
            self._is_polling = False
            self._is_flat = exposure is not None and exposure.flat
            self._is_certain = self._was_none_in_flight


def close_everything(strategy: Strategy, cache: Cache, instrument_id: InstrumentId) -> None:
    """Close the position and cancel all orders through the engine, past the gate. The position first: that is fastest.

    The engine lets no strategy close an `EXTERNAL` position: a reduce-only order closes it.
    """
    Strategy.close_all_positions(strategy, instrument_id, reduce_only=True)
    for position in cache.positions_open(instrument_id=instrument_id):
        if position.strategy_id != strategy.strategy_id:
            side = OrderSide.SELL if position.is_long else OrderSide.BUY
            quantity: Quantity = position.quantity
            order = strategy.order_factory.market(instrument_id, side, quantity, reduce_only=True)
            Strategy.submit_order(strategy, order)
    Strategy.cancel_all_orders(strategy, instrument_id, strategy_only=False)
