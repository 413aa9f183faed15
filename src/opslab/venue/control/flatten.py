"""The venue makes the account flat by itself: for a control whose engine could not, or is gone.

Neither a halted market nor a fault, a limit or the margin is in the way: no client's path is used. What takes place is
in the ledger before anybody is told, as everything.
"""

import asyncio
from dataclasses import dataclass
from decimal import Decimal

from opslab.errors import Environment
from opslab.model.messages.venue_messages import FLATTEN_SECONDS
from opslab.venue.account.account import ZERO
from opslab.venue.api_error import ApiError
from opslab.venue.event_log import EventLogger
from opslab.venue.exchange import Exchange

DEPTH_SECONDS = 0.02
"""Until a book that is used up is there again: by the next tick, or, where none came, at the same quote."""


@dataclass(frozen=True, slots=True)
class FlattenResult:
    canceled: int
    closed: Decimal
    """The position that was closed: negative when that was short."""


class Flattener:
    def __init__(self, exchange: Exchange, log_event: EventLogger) -> None:
        self._exchange = exchange
        self._log_event = log_event
        self._one = asyncio.Lock()

    async def flatten(self, why: str, *, hold: bool) -> FlattenResult:
        """Cancel every open order and close the position; done when the account is flat.

        hold: from now on, until the venue ends, no order is taken that might open a position, those on their way
        included; and the room that its ledger has kept for the end is used.
        Raises Environment when it could not be done, or not all of it; to ask again goes on with the rest.
        """
        async with self._one:
            exchange = self._exchange
            exchange.only_reducing = exchange.only_reducing or hold
            if hold:
                exchange.use_last_room()
            position, canceled, orders = exchange.account.holding.position, 0, 0
            try:
                async with asyncio.timeout(FLATTEN_SECONDS):
                    while not exchange.is_flat:
                        canceled += self._cancel()
                        orders += await self._close()
            except (ApiError, TimeoutError) as error:
                left = exchange.account
                more = {"position": f"{left.holding.position:f}", "open_orders": len(left.open)}
                reason = "its ledger cannot be written" if isinstance(error, ApiError) else "it took too long"
                self._log_event("account not flattened", {"reason": why, "error": reason, **more})
                raise Environment(
                    f"the venue could not flatten the account: {reason}; the position is {more['position']}, "
                    f"open orders {more['open_orders']}",
                    hint="ask again: it goes on with what is left",
                ) from None
            done = FlattenResult(canceled, position - exchange.account.holding.position)
            told = {"canceled": done.canceled, "closed": f"{done.closed:f}", "orders": orders}
            self._log_event("account flattened", {"reason": why, "hold": exchange.only_reducing, **told})
            return done

    def _cancel(self) -> int:
        count = len(self._exchange.account.open)
        self._exchange.cancel_all()
        return count

    async def _close(self) -> int:
        """One order's worth; how many orders that took. Others have their turn behind it."""
        exchange = self._exchange
        if exchange.account.holding.position == ZERO:
            return 0
        if exchange.close_part():
            await asyncio.sleep(0)
            return 1
        await asyncio.sleep(DEPTH_SECONDS)
        exchange.restore_depth()
        return 0
