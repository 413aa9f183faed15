"""Orders and fills of a paper run, counted from the venue's ledger and the engines' reports."""

from dataclasses import dataclass, field

from opslab.model.messages.forced_close import ForcedCloseKind
from opslab.model.run.metadata import ScenarioCounters
from opslab.model.run.refused_orders import RefusedOrders
from opslab.model.run.run_counters import OrderCounters
from opslab.model.run.unsent_orders import OrderCount


@dataclass(slots=True)
class PaperCounts:
    """Counts of orders and fills, each with its source."""

    orders_submitted: int = 0
    """Ledger; for orders that never reached the venue, the engine. Without the venue's own and external orders."""
    fills_count: int = 0
    """Ledger. Without fills of external orders and forced closes; the next too."""
    orders_canceled: int = 0
    """Ledger; for orders that never reached the venue, such as emulated ones, the engine."""
    orders_denied: int = 0
    """Engine."""
    orders_rejected: int = 0
    """Engine: the ledger has no rejected orders."""
    orders_expired: int = 0
    """Ledger; for orders that never reached the venue, the engine. Without the venue's own and external orders; the
    next too."""
    orders_filled: int = 0
    """Ledger: filled completely."""
    reported: OrderCounters = field(default_factory=OrderCounters)
    """Engine: the orders and fills that were counted while the run went on."""
    lost: int = 0
    """Engine: submitted, and the venue has no such order."""
    first_lost: str | None = None
    """Engine: client order id of the first of them."""
    unknown: int = 0
    """Ledger: orders of the engines that no engine reported."""
    by_venue: int = 0
    """Ledger: the venue's own orders."""
    external: int = 0
    """Ledger: orders that neither an engine nor the lab placed."""
    external_fills: int = 0
    """Ledger: their fills."""
    first_external: str | None = None
    """Ledger: client order id of the first of them."""
    forced_closes: dict[ForcedCloseKind, int] = field(default_factory=dict)
    """Ledger: orders with which the exchange closed the position by force; not among the external ones."""
    forced_fills: int = 0
    """Ledger: their fills."""
    first_forced_close: str | None = None
    """Ledger: client order id of the first of them."""
    refused: RefusedOrders = field(default_factory=RefusedOrders)
    """Engine."""
    never_submitted: OrderCount = field(default_factory=OrderCount)
    """Engine."""

    def count_external(self, name: str) -> None:
        self.external += 1
        self.first_external = self.first_external or name

    def count_forced_close(self, kind: ForcedCloseKind, name: str) -> None:
        self.forced_closes[kind] = self.forced_closes.get(kind, 0) + 1
        self.first_forced_close = self.first_forced_close or name

    def counters(self, *, bars_seen: int, actions: int) -> ScenarioCounters:
        """Combined with the counters of the engines."""
        return ScenarioCounters(
            strategy_registered=1,
            bars_seen=bars_seen,
            deterministic_action_triggered=actions,
            orders_submitted=self.orders_submitted,
            fills_count=self.fills_count,
            orders_denied=self.orders_denied,
            orders_rejected=self.orders_rejected,
            orders_canceled=self.orders_canceled,
        )

    def orders(self) -> OrderCounters:
        """By outcome. No count is lower than while the run went on, when only the engine's reports were known."""
        known = OrderCounters(
            submitted=self.orders_submitted,
            denied=self.orders_denied,
            rejected=self.orders_rejected,
            canceled=self.orders_canceled,
            expired=self.orders_expired,
            filled=self.orders_filled,
            fills=self.fills_count,
        )
        return known.at_least(self.reported)
