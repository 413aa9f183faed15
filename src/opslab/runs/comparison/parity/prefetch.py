"""Rows of a file, asked for by name, in about the order in which they stand there."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from opslab.model.messages.ledger_events import Accepted, Canceled, Expired, Filled, parse_event
from opslab.ports import Moment
from opslab.store.runs.run_folders import read_rows
from opslab.store.venues.ledger import read_ledger
from opslab.store.venues.venue_files import VENUE_FOLDER


@dataclass(frozen=True, slots=True)
class Part:
    """One fill of an order. `moment`: how far the market was, minutes counted from the first candle compared."""

    price: Decimal
    quantity: Decimal
    maker: bool
    fee: Decimal
    moment: Moment


class RowReader:
    """The rows of a result by one of their fields. Keeps what it read past, until that is asked for."""

    def __init__(self, folder: Path, name: str, key: str) -> None:
        self._rows: Iterator[dict[str, Any]] = (from_json(line) for _, line in read_rows(folder, name))
        self._key = key
        self._past: dict[str, list[dict[str, Any]]] = {}

    def take(self, key: str) -> dict[str, Any] | None:
        """The first row with this key that was not taken yet."""
        while key not in self._past:
            row = next(self._rows, None)
            if row is None:
                return None
            self._past.setdefault(row[self._key], []).append(row)
        rows = self._past[key]
        if len(rows) == 1:
            del self._past[key]
        return rows.pop(0)


@dataclass(slots=True)
class OrderHistory:
    """What a ledger has of one order."""

    accepted: Moment
    parts: list[Part] = field(default_factory=list)
    left: Decimal = Decimal(0)
    """Of its quantity."""
    canceled: Moment | None = None
    over: bool = False


class OrderHistories:
    """Orders of a venue's ledger, by the venue's number."""

    def __init__(self, folder: Path, first: int) -> None:
        """first: the candle, of those compared, that is the venue's first."""
        self._lines = read_ledger(folder / VENUE_FOLDER)
        self._first = first
        self._past: dict[int, OrderHistory] = {}

    def take(self, order_id: int) -> OrderHistory | None:
        """All of it; reads on until the order is over, to the end for one that never was."""
        while (story := self._past.get(order_id)) is None or not story.over:
            line = next(self._lines, None)
            if line is None:
                break
            at = Moment(line.at.minute + self._first, line.at.tick)
            for event in map(parse_event, line.events):
                self._note(event, at)
        return self._past.pop(order_id, None)

    def _note(self, event: Any, at: Moment) -> None:
        if isinstance(event, Accepted):
            self._past[event.order_id] = OrderHistory(accepted=at, left=event.quantity)
            return
        story = self._past.get(getattr(event, "order_id", 0))
        if story is None:
            return
        if isinstance(event, Filled):
            story.parts.append(Part(event.price, event.quantity, event.maker, event.fee, at))
            story.left -= event.quantity
            story.over = story.left <= 0
        elif isinstance(event, (Canceled, Expired)):
            story.over = True
            story.canceled = at if isinstance(event, Canceled) else None
        elif event.kind == "amended":
            story.left = event.quantity - sum((part.quantity for part in story.parts), Decimal(0))
