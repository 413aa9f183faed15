"""When the account of a halted run became flat, from the venue's ledger."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from opslab.errors import Corrupt
from opslab.model.messages.ledger_events import Accepted, Amended, Canceled, Expired, Filled, LedgerEvent, parse_event
from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from opslab.store.venues.ledger import LedgerEntry


@dataclass(frozen=True, slots=True)
class FlatTimes:
    """Wall clock, UTC. None: never open, or still open."""

    no_orders_at: str | None
    """Time since which no order is open."""
    flat_at: str | None
    """Time since which neither an order nor a position is open."""


def flat_times(ledger: Iterable[LedgerEntry]) -> FlatTimes:
    """Raises Corrupt for an invalid ledger."""
    fold = _AccountFold()
    for entry in ledger:
        for item in entry.events:
            try:
                fold.apply(parse_event(item))
            except (ValueError, KeyError):
                raise Corrupt(f"the venue's ledger, line {entry.number}: is no account event") from None
        fold.after_entry(entry.time)
    return FlatTimes(fold.no_orders_at, fold.flat_at)


def seconds_between(start: str, end: str) -> float:
    """Seconds between two UTC instants; 0 when negative, because the wall clock may have been set back."""
    return round(max(0, parse_iso(end) - parse_iso(start)) / NS_PER_SECOND, 6)


def seconds_to(times: FlatTimes, since: str) -> tuple[float, float]:
    """(no open order, flat) of a flat account. 0 for what was never open."""
    to_orders = seconds_between(since, times.no_orders_at) if times.no_orders_at else 0.0
    return to_orders, seconds_between(since, times.flat_at) if times.flat_at else 0.0


@dataclass(slots=True)
class _OpenOrder:
    quantity: Decimal
    executed: Decimal = Decimal(0)


class _AccountFold:
    """Whether the account has open orders or a position, and since when it has none."""

    def __init__(self) -> None:
        self._open: dict[int, _OpenOrder] = {}
        """By order id."""
        self._position = Decimal(0)
        self._had_orders = self._was_open = False
        self.no_orders_at: str | None = None
        self.flat_at: str | None = None

    def apply(self, event: LedgerEvent) -> None:
        if isinstance(event, Accepted):
            self._open[event.order_id] = _OpenOrder(event.quantity)
        elif isinstance(event, Canceled | Expired):
            self._open.pop(event.order_id, None)
        elif isinstance(event, Amended):
            self._open[event.order_id].quantity = event.quantity
            self._drop_full(event.order_id)
        elif isinstance(event, Filled):
            self._position = event.position
            self._open[event.order_id].executed += event.quantity
            self._drop_full(event.order_id)

    def _drop_full(self, order_id: int) -> None:
        order = self._open[order_id]
        if order.executed >= order.quantity:
            del self._open[order_id]

    def after_entry(self, time: str) -> None:
        """Call after each ledger entry."""
        self._had_orders, self.no_orders_at = _end_of(self._had_orders, bool(self._open), time, self.no_orders_at)
        is_open = bool(self._open or self._position)
        self._was_open, self.flat_at = _end_of(self._was_open, is_open, time, self.flat_at)


def _end_of(was_open: bool, is_open: bool, time: str, ended_at: str | None) -> tuple[bool, str | None]:
    """(is open, since when it is not). time: of the entry. ended_at: before it."""
    if is_open:
        return True, None
    return False, time if was_open else ended_at
