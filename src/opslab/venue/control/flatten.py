"""The venue flattens the account itself, for a control process whose engine could not, or has ended.

No client's path is used: a halted market, rate limits, the margin and every fault except `refuse-flatten` do not
prevent it. As with every change, the ledger has it before any client is informed.
"""

import asyncio
from dataclasses import dataclass
from decimal import Decimal

from opslab.errors import Environment, Refused
from opslab.model.messages.venue_messages import FLATTEN_TIMEOUT_SECONDS
from opslab.venue.account.account import ZERO
from opslab.venue.api_error import ApiError
from opslab.venue.event_log import EventLogger
from opslab.venue.exchange import Exchange

DEPTH_RESTORE_SECONDS = 0.02
"""Wait before an exhausted book is restored: by the next tick, or, if none came, at the same quote."""


@dataclass(frozen=True, slots=True)
class FlattenResult:
    canceled: int
    closed: Decimal
    """The position that was closed; negative when it was short."""


class Flattener:
    def __init__(self, exchange: Exchange, log_event: EventLogger) -> None:
        self._exchange = exchange
        self._log_event = log_event
        self._lock = asyncio.Lock()

    async def flatten(self, reason: str, *, hold: bool) -> FlattenResult:
        """Cancel every open order and close the position; returns when the account is flat.

        hold: from now on, until the venue ends, refuse every order that could open a position, orders in flight
        included; and use the disk space that the ledger has reserved for the end.
        Raises Environment when the account is not flat; a repeated call continues with the rest. Raises Refused, and
        changes nothing, while a fault has the venue refuse.
        """
        async with self._lock:
            exchange = self._exchange
            if not exchange.can_flatten:
                self._log_not_flattened(reason, "a fault has the venue refuse")
                raise Refused("the venue refuses to flatten the account", hint="tc venue fault stop ends the fault")
            exchange.only_reducing = exchange.only_reducing or hold
            if hold:
                exchange.use_reserve()
            position, canceled, orders = exchange.account.holding.position, 0, 0
            try:
                async with asyncio.timeout(FLATTEN_TIMEOUT_SECONDS):
                    while not exchange.is_flat:
                        canceled += self._cancel()
                        orders += await self._close()
            except (ApiError, TimeoutError) as error:
                cause = "its ledger cannot be written" if isinstance(error, ApiError) else "it took too long"
                state = self._log_not_flattened(reason, cause)
                raise Environment(
                    f"the venue could not flatten the account: {cause}; position {state['position']}, "
                    f"open orders {state['open_orders']}",
                    hint="repeat the request: it continues with the rest",
                ) from None
            result = FlattenResult(canceled, position - exchange.account.holding.position)
            fields = {"canceled": result.canceled, "closed": f"{result.closed:f}", "orders": orders}
            self._log_event("account_flattened", {"reason": reason, "hold": exchange.only_reducing, **fields})
            return result

    def _log_not_flattened(self, reason: str, cause: str) -> dict[str, object]:
        """The account as it was left."""
        account = self._exchange.account
        state: dict[str, object] = {"position": f"{account.holding.position:f}", "open_orders": len(account.open)}
        self._log_event("account_not_flattened", {"reason": reason, "error": cause, **state})
        return state

    def _cancel(self) -> int:
        count = len(self._exchange.account.open)
        self._exchange.cancel_all()
        return count

    async def _close(self) -> int:
        """Reduce the position by one order; the number of orders that took. Other tasks run after it."""
        exchange = self._exchange
        if exchange.account.holding.position == ZERO:
            return 0
        if exchange.reduce_position():
            await asyncio.sleep(0)
            return 1
        await asyncio.sleep(DEPTH_RESTORE_SECONDS)
        exchange.restore_depth()
        return 0
