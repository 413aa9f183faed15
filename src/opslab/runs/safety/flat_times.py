"""When the account of a halted run became flat: by the venue's ledger, not by what anybody believed."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from opslab.errors import Corrupt
from opslab.model.messages.ledger_events import Accepted, Amended, Canceled, Expired, Filled, LedgerEvent, event_of
from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from opslab.store.venues.ledger import LedgerEntry


@dataclass(frozen=True, slots=True)
class FlatTimes:
    """Wall clock, UTC. None: it never had one, or it still has."""

    no_orders_at: str | None
    """Since when there is no open order."""
    flat_at: str | None
    """Since when there is neither an open order nor a position."""


def flat_times(ledger: Iterable[LedgerEntry]) -> FlatTimes:
    """Raises Corrupt for what is no ledger of an account."""
    fold = _Fold()
    for transaction in ledger:
        for found in transaction.events:
            try:
                fold.take(event_of(found))
            except (ValueError, KeyError):
                raise Corrupt(f"the venue's ledger, line {transaction.number}: holds what is no event") from None
        fold.look(transaction.time)
    return FlatTimes(fold.no_orders_at, fold.flat_at)


def seconds_between(one: str, two: str) -> float:
    """Of two instants, UTC; 0 when the second was first."""
    return round(max(0, parse_iso(two) - parse_iso(one)) / NS_PER_SECOND, 6)


def seconds_to(times: FlatTimes, since: str) -> tuple[float, float]:
    """(no open order, flat) of an account that is flat. What it never had, it had not: 0."""
    to_orders = seconds_between(since, times.no_orders_at) if times.no_orders_at else 0.0
    return to_orders, seconds_between(since, times.flat_at) if times.flat_at else 0.0


class _Fold:
    def __init__(self) -> None:
        self._open: dict[int, list[Decimal]] = {}
        """Of each open order its quantity, and what of it was executed."""
        self._position = Decimal(0)
        self._had_orders = self._was_open = False
        self.no_orders_at: str | None = None
        self.flat_at: str | None = None

    def take(self, event: LedgerEvent) -> None:
        if isinstance(event, Accepted):
            self._open[event.order_id] = [event.quantity, Decimal(0)]
        elif isinstance(event, Canceled | Expired):
            self._open.pop(event.order_id, None)
        elif isinstance(event, Amended):
            self._open[event.order_id][0] = event.quantity
            self._drop_full(event.order_id)
        elif isinstance(event, Filled):
            self._position = event.position
            self._open[event.order_id][1] += event.quantity
            self._drop_full(event.order_id)

    def _drop_full(self, order_id: int) -> None:
        quantity, executed = self._open[order_id]
        if executed >= quantity:
            del self._open[order_id]

    def look(self, time: str) -> None:
        """Behind a transaction."""
        self._had_orders, self.no_orders_at = _since(self._had_orders, bool(self._open), time, self.no_orders_at)
        is_open = bool(self._open or self._position)
        self._was_open, self.flat_at = _since(self._was_open, is_open, time, self.flat_at)


def _since(was: bool, now: bool, time: str, since: str | None) -> tuple[bool, str | None]:
    if now:
        return True, None
    return False, time if was else since
