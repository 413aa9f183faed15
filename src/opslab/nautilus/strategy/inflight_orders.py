"""Orders in flight and recent fills, folded from a strategy's order events.

A new order is in flight until the venue has accepted it; an order that trades at once until it has ended. A change or a
cancel is in flight until it is done or refused. Times are seconds of a monotonic clock.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from opslab.model.messages.paper_messages import InFlightUpdate

MAX_ROUND_TRIPS = 1_000
"""Round trips that are kept until they are taken, once a second. A venue accepts 300 orders in ten seconds."""
RECENT_FILL_SECONDS = 10.0
"""Age up to which a fill is reported."""
_CLOSED = frozenset({"OrderDenied", "OrderRejected", "OrderCanceled", "OrderExpired"})
_REQUESTED = frozenset({"OrderPendingCancel", "OrderPendingUpdate", "OrderReleased"})
_ACKNOWLEDGED = frozenset(
    {"OrderAccepted", "OrderUpdated", "OrderCancelRejected", "OrderModifyRejected", "OrderEmulated", "OrderTriggered"}
)
_IMMEDIATE = frozenset({"IOC", "FOK"})


@dataclass(slots=True)
class _Order:
    quantity: Decimal | None
    """None: an earlier engine created the order, and this one has no event with its quantity."""
    filled: Decimal
    until_closed: bool
    """It trades at once: in flight until it has ended."""
    sent_at: float | None
    """Start of the time in flight; None: not in flight."""
    created_at: float | None = None
    """None: accepted by the venue, or not created by this engine."""


class InFlightOrders:
    def __init__(self) -> None:
        self._orders: dict[str, _Order] = {}
        self._fills: deque[tuple[str, float]] = deque()
        self._round_trips_s: deque[float] = deque(maxlen=MAX_ROUND_TRIPS)

    def apply(self, event: Mapping[str, Any], at: float) -> None:
        """event: in the form of the engine's `to_dict`."""
        kind, order_id = event["type"], event["client_order_id"]
        if kind in _CLOSED:
            self._orders.pop(order_id, None)
        elif kind == "OrderInitialized":
            is_immediate = event["order_type"] == "MARKET" or event.get("time_in_force") in _IMMEDIATE
            made_at = None if event.get("reconciliation") else at
            self._orders[order_id] = _Order(Decimal(event["quantity"]), Decimal(0), is_immediate, at, made_at)
        elif kind in _REQUESTED:
            self._orders.setdefault(order_id, _Order(None, Decimal(0), False, None)).sent_at = at
        elif kind == "OrderFilled":
            self._fills.append((order_id, at))
            self._apply_fill(order_id, Decimal(event["last_qty"]))
        elif kind in _ACKNOWLEDGED:
            if kind == "OrderAccepted":
                self._record_round_trip(order_id, bool(event.get("reconciliation")), at)
            self._acknowledge(order_id, event.get("quantity"))

    def take_round_trips(self) -> tuple[float, ...]:
        """Seconds from creation to the venue's acceptance, of each order accepted since the last call."""
        round_trips_s = tuple(self._round_trips_s)
        self._round_trips_s.clear()
        return round_trips_s

    def _record_round_trip(self, order_id: str, reconciled: bool, at: float) -> None:
        """reconciled: the acceptance was inferred from a later query to the venue, so its time is no round trip."""
        order = self._orders.get(order_id)
        if order is not None and order.created_at is not None:
            if not reconciled:
                self._round_trips_s.append(at - order.created_at)
            order.created_at = None

    def _apply_fill(self, order_id: str, quantity: Decimal) -> None:
        order = self._orders.get(order_id)
        if order is None:
            return
        order.filled += quantity
        if order.quantity is None or order.filled >= order.quantity:
            del self._orders[order_id]

    def _acknowledge(self, order_id: str, quantity: str | None) -> None:
        """quantity: the new one of a changed order."""
        order = self._orders.get(order_id)
        if order is None:
            return
        if quantity is not None:
            order.quantity = Decimal(quantity)
        if not order.until_closed:
            order.sent_at = None

    def is_empty(self) -> bool:
        """Whether no order is in flight."""
        return all(order.sent_at is None for order in self._orders.values())

    def count(self) -> int:
        """Number of orders in flight."""
        return sum(order.sent_at is not None for order in self._orders.values())

    def orders(self) -> list[tuple[str, float]]:
        """(client order id, start of the time in flight) of each order in flight."""
        return [(order_id, order.sent_at) for order_id, order in self._orders.items() if order.sent_at is not None]

    def updates(self, now: float) -> tuple[InFlightUpdate, ...]:
        """Orders in flight, then recent fills, each oldest first."""
        while self._fills and now - self._fills[0][1] >= RECENT_FILL_SECONDS:
            self._fills.popleft()
        orders = [_update("order", order_id, now - sent_at) for order_id, sent_at in self.orders()]
        return (*orders, *(_update("fill", order_id, now - at) for order_id, at in self._fills))


def _update(kind: Any, order_id: str, age_seconds: float) -> InFlightUpdate:
    return InFlightUpdate(kind=kind, client_order_id=order_id, age_seconds=round(max(0.0, age_seconds), 6))
