"""Orders that the engine did not send to the venue: emulated ones, and those that were never submitted."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class OrderCount:
    count: int = 0
    first: str | None = None
    """Client order id of the first one."""

    def add(self, client_order_id: str) -> None:
        self.count += 1
        self.first = self.first or client_order_id


@dataclass(slots=True)
class UnsentOrders:
    emulated: OrderCount = field(default_factory=OrderCount)
    """Orders whose trigger the engine watched; in a paper run without those that it canceled."""
    released: int = 0
    """Number of these that were triggered."""
    never_submitted: OrderCount = field(default_factory=OrderCount)
    """Orders at their end; without those that wait for a fill of another order of their list."""
