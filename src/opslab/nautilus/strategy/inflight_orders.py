"""Which orders wait for an answer, and which were just filled: folded from a strategy's order events.

A new order waits until the venue has it; one that trades at once until it has ended. A change or a cancel waits until
it is done or refused. Ages are of a clock that never jumps.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from opslab.model.messages.paper_messages import InFlightUpdate

MAX_ROUND_TRIPS = 100
"""That are kept until they are taken."""
RECENT_FILL_SECONDS = 10.0
"""A fill is told for so long."""
_CLOSED = frozenset({"OrderDenied", "OrderRejected", "OrderCanceled", "OrderExpired"})
_REQUESTED = frozenset({"OrderPendingCancel", "OrderPendingUpdate", "OrderReleased"})
_ANSWERED = frozenset(
    {"OrderAccepted", "OrderUpdated", "OrderCancelRejected", "OrderModifyRejected", "OrderEmulated", "OrderTriggered"}
)
_IMMEDIATE = frozenset({"IOC", "FOK"})


@dataclass(slots=True)
class _Order:
    quantity: Decimal | None
    """None: of an order that an earlier engine made, and this one never saw whole."""
    filled: Decimal
    until_closed: bool
    """It trades at once: only its end answers it."""
    since: float | None
    """Since when it waits; None: it does not."""
    created: float | None = None
    """When; None: the venue has accepted it, or nobody here saw it made."""


class InFlightOrders:
    def __init__(self) -> None:
        self._orders: dict[str, _Order] = {}
        self._fills: deque[tuple[str, float]] = deque()
        self._round_trips_s: deque[float] = deque(maxlen=MAX_ROUND_TRIPS)

    def apply(self, event: Mapping[str, Any], at: float) -> None:
        """event: as the engine's `to_dict` gives it."""
        kind, name = event["type"], event["client_order_id"]
        if kind in _CLOSED:
            self._orders.pop(name, None)
        elif kind == "OrderInitialized":
            is_immediate = event["order_type"] == "MARKET" or event.get("time_in_force") in _IMMEDIATE
            self._orders[name] = _Order(Decimal(event["quantity"]), Decimal(0), is_immediate, at, at)
        elif kind in _REQUESTED:
            self._orders.setdefault(name, _Order(None, Decimal(0), False, None)).since = at
        elif kind == "OrderFilled":
            self._fills.append((name, at))
            self._filled(name, Decimal(event["last_qty"]))
        elif kind in _ANSWERED:
            if kind == "OrderAccepted":
                self._accepted(name, bool(event.get("reconciliation")), at)
            self._answered(name, event.get("quantity"))

    def take_round_trips(self) -> tuple[float, ...]:
        """Seconds from the making of an order to the venue's acceptance, of those accepted since the last call."""
        round_trips_s = tuple(self._round_trips_s)
        self._round_trips_s.clear()
        return round_trips_s

    def _accepted(self, name: str, reconciled: bool, at: float) -> None:
        """reconciled: told behind the fact, when the venue was asked: that is no trip."""
        order = self._orders.get(name)
        if order is not None and order.created is not None:
            if not reconciled:
                self._round_trips_s.append(at - order.created)
            order.created = None

    def _filled(self, name: str, quantity: Decimal) -> None:
        order = self._orders.get(name)
        if order is None:
            return
        order.filled += quantity
        if order.quantity is None or order.filled >= order.quantity:
            del self._orders[name]

    def _answered(self, name: str, quantity: str | None) -> None:
        """quantity: the new one, of an order that was changed."""
        order = self._orders.get(name)
        if order is None:
            return
        if quantity is not None:
            order.quantity = Decimal(quantity)
        if not order.until_closed:
            order.since = None

    def is_empty(self) -> bool:
        return all(order.since is None for order in self._orders.values())

    def waiting_count(self) -> int:
        return sum(order.since is not None for order in self._orders.values())

    def orders(self) -> list[tuple[str, float]]:
        """(client order id, since when) of those that wait."""
        return [(name, order.since) for name, order in self._orders.items() if order.since is not None]

    def waiting(self, now: float) -> tuple[InFlightUpdate, ...]:
        """Orders that wait, and young fills, the oldest first of each."""
        while self._fills and now - self._fills[0][1] >= RECENT_FILL_SECONDS:
            self._fills.popleft()
        orders = [_waiting("order", name, now - since) for name, since in self.orders()]
        return (*orders, *(_waiting("fill", name, now - at) for name, at in self._fills))


def _waiting(kind: Any, name: str, age_seconds: float) -> InFlightUpdate:
    return InFlightUpdate(kind=kind, client_order_id=name, age_seconds=round(max(0.0, age_seconds), 6))
