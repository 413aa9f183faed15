"""Look up rows of a file by key, in roughly the order of the file."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from opslab.model.messages.ledger_events import Accepted, Canceled, Expired, Filled, parse_event
from opslab.ports import Moment
from opslab.runs.paper.client_order_id import client_order_id
from opslab.store.runs.run_folders import read_rows
from opslab.store.venues.ledger import read_ledger
from opslab.store.venues.venue_files import VENUE_FOLDER


@dataclass(frozen=True, slots=True)
class FillPart:
    """One fill of an order. `moment`: position in the market, minutes from the first compared candle."""

    price: Decimal
    quantity: Decimal
    maker: bool
    fee: Decimal
    moment: Moment
    position_before: Decimal | None = None
    """Signed position of the account before the fill; None: unknown, of a backtest."""
    position_after: Decimal | None = None


class RowReader:
    """Rows of a result file by one field. Rows read ahead are buffered."""

    def __init__(self, folder: Path, name: str, key: str) -> None:
        self._rows: Iterator[dict[str, Any]] = (from_json(line) for _, line in read_rows(folder, name))
        self._key = key
        self._buffered: dict[str, list[dict[str, Any]]] = {}

    def pop(self, key: str) -> dict[str, Any] | None:
        """The next row with this key."""
        while key not in self._buffered:
            row = next(self._rows, None)
            if row is None:
                return None
            self._buffered.setdefault(row[self._key], []).append(row)
        rows = self._buffered[key]
        if len(rows) == 1:
            del self._buffered[key]
        return rows.pop(0)


@dataclass(slots=True)
class OrderHistory:
    """One order in a ledger."""

    accepted: Moment
    parts: list[FillPart] = field(default_factory=list)
    remaining: Decimal = Decimal(0)
    """Open quantity."""
    is_buy: bool = True
    ended: Moment | None = None
    """Moment of its cancellation or expiry."""
    is_closed: bool = False


class OrderHistories:
    """Orders of a venue's ledger by the venue's order id."""

    def __init__(self, folder: Path, first: int) -> None:
        """first: index of the venue's first candle among those compared."""
        self._lines = read_ledger(folder / VENUE_FOLDER)
        self._first = first
        self._buffered: dict[int, OrderHistory] = {}

    def pop(self, order_id: int) -> OrderHistory | None:
        """The whole history; reads on until the order is closed, or to the end of the ledger."""
        while (history := self._buffered.get(order_id)) is None or not history.is_closed:
            line = next(self._lines, None)
            if line is None:
                break
            at = Moment(line.at.minute + self._first, line.at.tick)
            for event in map(parse_event, line.events):
                self._apply(event, at)
        return self._buffered.pop(order_id, None)

    def _apply(self, event: Any, at: Moment) -> None:
        if isinstance(event, Accepted):
            self._buffered[event.order_id] = OrderHistory(
                accepted=at, remaining=event.quantity, is_buy=event.side == "BUY"
            )
            return
        history = self._buffered.get(getattr(event, "order_id", 0))
        if history is None:
            return
        if isinstance(event, Filled):
            before = event.position - (event.quantity if history.is_buy else -event.quantity)
            history.parts.append(
                FillPart(event.price, event.quantity, event.maker, event.fee, at, before, event.position)
            )
            history.remaining -= event.quantity
            history.is_closed = history.remaining <= 0
        elif isinstance(event, (Canceled, Expired)):
            history.is_closed = True
            history.ended = at
        elif event.kind == "amended":
            history.remaining = event.quantity - sum((part.quantity for part in history.parts), Decimal(0))


class AcceptanceMoments:
    """Moments of acceptance of a venue's ledger by the engine's client order id."""

    def __init__(self, folder: Path, first: int) -> None:
        """first: index of the venue's first candle among those compared."""
        self._lines = read_ledger(folder / VENUE_FOLDER)
        self._first = first
        self._buffered: dict[str, Moment] = {}

    def pop(self, name: str) -> Moment | None:
        """None: the order never reached the venue. Reads on until the order is accepted."""
        while name not in self._buffered:
            line = next(self._lines, None)
            if line is None:
                return None
            at = Moment(line.at.minute + self._first, line.at.tick)
            for event in map(parse_event, line.events):
                if isinstance(event, Accepted):
                    self._buffered[client_order_id(event.client_order_id)] = at
        return self._buffered.pop(name)


def ledger_minutes(folder: Path) -> int:
    """Number of candles closed at the last transaction of a run's ledger."""
    return max((line.at.minute for line in read_ledger(folder / VENUE_FOLDER)), default=0)
