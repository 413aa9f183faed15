"""Status of an order after each of its events, by the rules of the engine's own orders."""

from dataclasses import dataclass

STATUS_OF_EVENT = {
    "OrderInitialized": "INITIALIZED",
    "OrderDenied": "DENIED",
    "OrderEmulated": "EMULATED",
    "OrderReleased": "RELEASED",
    "OrderSubmitted": "SUBMITTED",
    "OrderAccepted": "ACCEPTED",
    "OrderRejected": "REJECTED",
    "OrderCanceled": "CANCELED",
    "OrderExpired": "EXPIRED",
    "OrderTriggered": "TRIGGERED",
    "OrderPendingUpdate": "PENDING_UPDATE",
    "OrderPendingCancel": "PENDING_CANCEL",
}
"""Of the events that set a status. The status after a fill depends on the quantity."""
EVENT_OF_STATUS = {status: event for event, status in STATUS_OF_EVENT.items()}
CLOSED = frozenset({"DENIED", "REJECTED", "CANCELED", "EXPIRED", "FILLED"})
LOCAL = frozenset({"INITIALIZED", "EMULATED", "RELEASED"})
"""The order was not submitted yet: the engine alone has it."""
_PENDING = frozenset({"PENDING_UPDATE", "PENDING_CANCEL"})
_ANSWERED = {
    "OrderUpdated": "PENDING_UPDATE",
    "OrderModifyRejected": "PENDING_UPDATE",
    "OrderCancelRejected": "PENDING_CANCEL",
}
"""Event to the pending status that it ends: the order has the status from before the request again."""


@dataclass(slots=True)
class OrderStatus:
    """Call `apply` with every event of the order, in order."""

    current: str = "INITIALIZED"
    before_request: str = "INITIALIZED"
    """The last status that was not pending."""

    def apply(self, event: str) -> str:
        """event: its name, but not `OrderFilled`, after which `set` is called. Returns the status."""
        if event in _ANSWERED:
            return self.set(self.before_request) if self.current == _ANSWERED[event] else self.current
        return self.set(STATUS_OF_EVENT.get(event, self.current))

    def set(self, status: str) -> str:
        self.current = status
        if status not in _PENDING:
            self.before_request = status
        return status
