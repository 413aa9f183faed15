"""Orders that the engine denied or the venue rejected, and rejected requests to change an order, by reason."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_REASONS = 20
"""Number of different reasons that are counted apart; further ones are counted as `other`."""
_OTHER = "other"
_WORD_WITH_DIGIT = re.compile(r"(?<![\w.-])(?!-\d{4}\b)[\w.-]*\d[\w.-]*")
"""An order id, price or quantity; not an error code of Binance, such as -2021."""

REQUEST_REJECTED = frozenset({"OrderCancelRejected", "OrderModifyRejected"})
OrderRow = Mapping[str, object]
"""A row of `orders.jsonl`."""


@dataclass(slots=True)
class Refusals:
    """One kind of refused orders."""

    reasons: dict[str, int] = field(default_factory=dict)
    """Reason to number of orders."""
    count: int = 0
    first: str | None = None
    """Client order id of the first one."""

    def add(self, client_order_id: str, reason: str) -> None:
        self.count += 1
        self.first = self.first or client_order_id
        counted = reason if reason in self.reasons or len(self.reasons) < MAX_REASONS else _OTHER
        self.reasons[counted] = self.reasons.get(counted, 0) + 1

    def text(self) -> str:
        """The reasons with their counts, the most frequent one first."""
        ordered = sorted(self.reasons.items(), key=lambda one: (-one[1], one[0]))
        return ", ".join(f"{reason} ({count:,})" for reason, count in ordered)


@dataclass(slots=True)
class RefusedRequests:
    """Rejected requests to cancel or modify an order that was open.

    A request that came after the end of its order, after a fill for example, is not one: nothing was left to change.
    """

    cancels: Refusals = field(default_factory=Refusals)
    modifications: Refusals = field(default_factory=Refusals)

    def add(self, event: OrderRow) -> None:
        """event: one of `REQUEST_REJECTED`."""
        kind = self.cancels if event["type"] == "OrderCancelRejected" else self.modifications
        kind.add(str(event["client_order_id"]), without_values(str(event.get("reason") or "unknown")))


@dataclass(slots=True)
class RefusedOrders:
    """A fold over the rows of orders. Call `created` for each order and `refused` for each denied or rejected one."""

    orders: int = 0
    protective_orders: int = 0
    """Reduce-only and stop orders."""
    denied: Refusals = field(default_factory=Refusals)
    rejected: Refusals = field(default_factory=Refusals)
    protective: Refusals = field(default_factory=Refusals)
    """Denied or rejected reduce-only and stop orders."""
    all: Refusals = field(default_factory=Refusals)
    requests: RefusedRequests = field(default_factory=RefusedRequests)

    def created(self, row: OrderRow) -> None:
        self.orders += 1
        self.protective_orders += is_protective(row)

    def refused(self, row: OrderRow) -> None:
        """row: with status and reason."""
        is_denied = row["status"] == "DENIED"
        text = str(row["reason"])
        reason = text.partition(":")[0] if is_denied else without_values(text)
        kinds = [self.denied if is_denied else self.rejected, self.all]
        for kind in [*kinds, self.protective] if is_protective(row) else kinds:
            kind.add(str(row["client_order_id"]), reason)


def is_protective(row: OrderRow) -> bool:
    """Whether the order closes or limits a position: reduce-only, or a stop."""
    return bool(row["is_reduce_only"]) or "STOP" in str(row["type"])


def without_values(reason: str) -> str:
    """The reason without order ids, prices and quantities, so that equal cases are counted together."""
    return _WORD_WITH_DIGIT.sub("#", reason)
