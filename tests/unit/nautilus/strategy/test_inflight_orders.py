"""Orders in flight and recent fills, from the order events of a strategy."""

from typing import Any

import pytest

from opslab.nautilus.strategy.inflight_orders import RECENT_FILL_SECONDS, InFlightOrders


def initialized(
    order_id: str, order_type: str = "LIMIT", quantity: str = "2", time_in_force: str = "GTC"
) -> dict[str, Any]:
    fields = {"order_type": order_type, "quantity": quantity, "time_in_force": time_in_force}
    return {"type": "OrderInitialized", "client_order_id": order_id, **fields}


def event(kind: str, order_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "client_order_id": order_id, **fields}


def fill(order_id: str, quantity: str) -> dict[str, Any]:
    return event("OrderFilled", order_id, last_qty=quantity)


def in_flight_after(*events: dict[str, Any]) -> list[str]:
    orders = InFlightOrders()
    for at, values in enumerate(events):
        orders.apply(values, float(at))
    order_ids = [order_id for order_id, _ in orders.orders()]
    assert (orders.is_empty(), orders.count()) == (not order_ids, len(order_ids))
    return order_ids


LIMIT, MARKET = initialized("a"), initialized("a", "MARKET")
ACCEPTED = event("OrderAccepted", "a")


@pytest.mark.parametrize(
    ("events", "is_in_flight"),
    [
        ([LIMIT], True),
        ([LIMIT, event("OrderSubmitted", "a")], True),
        ([LIMIT, ACCEPTED], False),
        ([LIMIT, event("OrderDenied", "a")], False),
        ([LIMIT, event("OrderRejected", "a")], False),
        ([LIMIT, event("OrderEmulated", "a")], False),
        ([LIMIT, event("OrderEmulated", "a"), event("OrderReleased", "a")], True),
        ([LIMIT, ACCEPTED, event("OrderPendingCancel", "a")], True),
        ([LIMIT, ACCEPTED, event("OrderPendingCancel", "a"), event("OrderCanceled", "a")], False),
        ([LIMIT, ACCEPTED, event("OrderPendingCancel", "a"), event("OrderCancelRejected", "a")], False),
        ([LIMIT, ACCEPTED, event("OrderPendingCancel", "a"), fill("a", "1")], True),
        ([LIMIT, ACCEPTED, event("OrderPendingCancel", "a"), fill("a", "1"), fill("a", "1")], False),
        ([LIMIT, ACCEPTED, event("OrderPendingUpdate", "a")], True),
        ([LIMIT, ACCEPTED, event("OrderPendingUpdate", "a"), event("OrderUpdated", "a", quantity="3")], False),
        ([LIMIT, ACCEPTED, event("OrderPendingUpdate", "a"), event("OrderModifyRejected", "a")], False),
        ([LIMIT, ACCEPTED, event("OrderUpdated", "a", quantity="1"), fill("a", "1")], False),
        ([MARKET, ACCEPTED], True),
        ([MARKET, ACCEPTED, fill("a", "1.5")], True),
        ([MARKET, ACCEPTED, fill("a", "1.5"), fill("a", "0.5")], False),
        ([MARKET, ACCEPTED, fill("a", "1.5"), event("OrderExpired", "a")], False),
        ([initialized("a", time_in_force="IOC"), ACCEPTED], True),
        ([event("OrderPendingCancel", "a")], True),
        ([event("OrderPendingCancel", "a"), fill("a", "1")], False),
        ([event("OrderAccepted", "a"), fill("a", "1")], False),
    ],
)
def test_an_order_is_in_flight_until_it_is_acknowledged(events: list[dict[str, Any]], is_in_flight: bool) -> None:
    assert in_flight_after(*events) == (["a"] if is_in_flight else [])


def test_orders_in_flight_are_reported_with_their_age_and_fills_while_they_are_recent() -> None:
    orders = InFlightOrders()
    orders.apply(initialized("a", "MARKET"), 100.0)
    orders.apply(fill("a", "1"), 101.0)
    orders.apply(initialized("b"), 103.0)
    updates = orders.updates(104.5)
    assert [(update.kind, update.client_order_id, update.age_seconds) for update in updates] == [
        ("order", "a", 4.5), ("order", "b", 1.5), ("fill", "a", 3.5),
    ]  # fmt: skip
    assert [update.kind for update in orders.updates(101.0 + RECENT_FILL_SECONDS)] == ["order", "order"]
