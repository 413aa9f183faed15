"""Recognize external orders: those of the account that the strategy did not place.

The engine assigns each order that it learns of from the venue to the strategy that claims the instrument, and calls
the strategy's handlers with its events. Of an order that it learned of at the start it sends no `OrderInitialized`.
"""

from collections.abc import Callable, Iterable
from typing import Any

from nautilus_trader.model import OrderInitialized

from opslab.model.messages.order_ids import is_generated


class ExternalOrders:
    """Call `has` with every event of every order, as often as needed."""

    def __init__(self, earlier_order_ids: Iterable[str]) -> None:
        """earlier_order_ids: ids that the strategy itself chose, of its orders in the earlier engines of the run."""
        self.are_claimed = False
        """Whether the strategy's config claims external orders: then it receives their events."""
        self._chosen_ids = set(earlier_order_ids)

    def has(self, event: Any) -> bool:
        """Whether it is an event of an external order."""
        client_order_id = str(event.client_order_id)
        if is_generated(client_order_id):
            return False
        if isinstance(event, OrderInitialized) and not event.reconciliation:
            self._chosen_ids.add(client_order_id)
        return client_order_id not in self._chosen_ids

    def skip_events(self, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """`handler`, which receives no event of an external order unless the strategy claims them."""

        def call(event: Any) -> Any:
            return None if self.has(event) and not self.are_claimed else handler(event)

        return call
