"""Status of an order after its events."""

import pytest

from opslab.model.run.order_status import EVENT_OF_STATUS, STATUS_OF_EVENT, OrderStatus


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ("Emulated", "EMULATED"),
        ("Emulated Updated", "EMULATED"),
        ("Emulated Released", "RELEASED"),
        ("Emulated Canceled", "CANCELED"),
        ("Submitted Accepted Triggered", "TRIGGERED"),
        ("Submitted PendingCancel", "PENDING_CANCEL"),
        ("Submitted PendingCancel CancelRejected", "SUBMITTED"),
        ("Submitted Accepted PendingUpdate", "PENDING_UPDATE"),
        ("Submitted Accepted PendingUpdate Updated", "ACCEPTED"),
        ("Submitted Accepted Triggered PendingUpdate ModifyRejected", "TRIGGERED"),
        ("Submitted Accepted PendingUpdate PendingCancel ModifyRejected", "PENDING_CANCEL"),
        ("Submitted Accepted PendingUpdate PendingCancel CancelRejected", "ACCEPTED"),
        ("Submitted Accepted CancelRejected", "ACCEPTED"),
        ("Submitted Accepted Updated", "ACCEPTED"),
        ("Submitted PendingCancel Accepted", "ACCEPTED"),
    ],
)
def test_status_after_events(events: str, status: str) -> None:
    order = OrderStatus()
    for event in events.split():
        order.apply(f"Order{event}")
    assert order.current == status


def test_a_request_is_answered_with_the_status_after_a_fill_meanwhile() -> None:
    order = OrderStatus("ACCEPTED", "ACCEPTED")
    order.apply("OrderPendingUpdate")
    order.set("PARTIALLY_FILLED")
    order.apply("OrderPendingCancel")
    assert order.apply("OrderCancelRejected") == "PARTIALLY_FILLED"


def test_each_status_has_one_event() -> None:
    assert {EVENT_OF_STATUS[status]: status for status in EVENT_OF_STATUS} == STATUS_OF_EVENT
