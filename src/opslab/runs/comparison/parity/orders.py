"""Decisions of a run's strategy and their outcomes: of a backtest from its results, of a paper run from its journal,
its results and the venue's ledger.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from pydantic_core import from_json

from opslab.model.checks.parity import Decision
from opslab.model.primitives.canonical import decimal_text
from opslab.model.primitives.instant import iso
from opslab.ports import Moment
from opslab.runs.comparison.parity.candles import Candles
from opslab.runs.comparison.parity.prefetch import AcceptanceMoments, FillPart, OrderHistories, RowReader
from opslab.store.runs.journal import read_bodies
from opslab.store.runs.run_folders import read_rows

REFUSED = frozenset({"DENIED", "REJECTED"})
ENDED_UNFILLED = frozenset({"CANCELED", "EXPIRED"})


@dataclass(frozen=True, slots=True)
class OrderDecision:
    """An order and the candle index of its bar; before the first bar the index of the candle before, or -1."""

    index: int
    by_lab: bool
    shown: Decision
    row: Mapping[str, Any] | None
    """Its row in the results, if already read."""
    before_first_bar: bool = False

    def terms(self, *, closing: bool) -> dict[str, Any]:
        """The fields that must be equal. closing: both closed the whole position, so the quantity is no decision."""
        left_out = {"bar", "client_order_id", "closes", *({"quantity"} if closing else ())}
        return self.shown.model_dump(exclude=left_out)


@dataclass(frozen=True, slots=True)
class OrderOutcome:
    """Outcome of an order up to the end of the comparison."""

    status: str
    reached: Moment | None
    """When it reached the venue; in a backtest the close of its bar. None: never."""
    parts: tuple[FillPart, ...] = ()
    ended: Moment | None = None
    """Moment of its cancellation or expiry: an order that had to trade at once is CANCELED in a backtest and EXPIRED at
    the venue."""
    reason: str | None = None
    """Of a refused order."""
    venue_number: int | None = None
    """Its number at the venue, by acceptance; None: not accepted, or a backtest."""

    @property
    def refused(self) -> bool:
        return self.status in REFUSED

    @property
    def filled(self) -> Decimal:
        return sum((part.quantity for part in self.parts), Decimal(0))

    @property
    def average(self) -> Decimal | None:
        notional = sum((part.price * part.quantity for part in self.parts), Decimal(0))
        return round(notional / self.filled, 8) if self.parts else None

    @property
    def fee(self) -> Decimal:
        return sum((part.fee for part in self.parts), Decimal(0))

    @property
    def liquidity(self) -> str | None:
        return " and ".join(sorted({"MAKER" if part.maker else "TAKER" for part in self.parts})) or None


class Orders(Protocol):
    """The orders of one run."""

    def decisions(self) -> Iterator[OrderDecision]:
        """In order of creation."""
        ...

    def outcome(self, order: OrderDecision, end: int) -> OrderOutcome:
        """end: index after the last compared candle."""
        ...


class BacktestOrders:
    """Implements `Orders`: an order's bar is the last closed bar at its creation."""

    def __init__(self, folder: Path, candles: Candles, first: int) -> None:
        self._folder = folder
        self._first = first
        self._candles = candles
        self._fills = RowReader(folder, "fills", "client_order_id")
        self._closing = closing_orders(folder)

    def decisions(self) -> Iterator[OrderDecision]:
        for _, line in read_rows(self._folder, "orders"):
            row = from_json(line)
            index = max(self._first - 1, self._candles.index_at(row["ts_init"]))
            shown = _shown(row, index, self._candles, self._closing)
            yield OrderDecision(index, False, shown, row, index < self._first)

    def outcome(self, order: OrderDecision, end: int) -> OrderOutcome:
        row = order.row or {}
        parts, remaining = [], Decimal(row["filled_qty"])
        while remaining > 0 and (fill := self._fills.pop(row["client_order_id"])):
            remaining -= Decimal(fill["last_qty"])
            parts.append(_part(fill, self._moment(fill["ts_event"])))
        ended = self._moment(row["ts_last"])
        return OrderOutcome(
            status=row["status"],
            reached=Moment(order.index + 1, 0) if row["venue_order_id"] is not None else None,
            parts=tuple(part for part in parts if part.moment.minute <= end),
            ended=ended if row["status"] in ENDED_UNFILLED and ended.minute <= end else None,
            reason=row.get("reason"),
        )

    def _moment(self, ts_ns: int) -> Moment:
        return Moment(self._candles.index_at(ts_ns) + 1, 0)


class PaperOrders:
    """Implements `Orders`: the engine reported the bar with each order; without bars the venue's time decides."""

    def __init__(self, folder: Path, candles: Candles, first: int, *, by_time: bool) -> None:
        """by_time: the strategy received no bars; the bar of an order is the last one closed at its acceptance."""
        self._folder = folder
        self._first = first
        self._moments = AcceptanceMoments(folder, first) if by_time else None
        self._latest = first - 1
        self._candles = candles
        self._rows = RowReader(folder, "orders", "client_order_id")
        self._changed = RowReader(folder, "orders", "client_order_id")
        self._histories = OrderHistories(folder, first)
        self._closing = closing_orders(folder)

    def decisions(self) -> Iterator[OrderDecision]:
        emulated: set[str] = set()
        for _, line in read_bodies(self._folder, ("order_event",)):
            payload = from_json(line)["payload"]
            name = payload["client_order_id"]
            if payload["type"] != "OrderInitialized" or payload.get("reconciliation"):
                continue
            if name in emulated:
                emulated.remove(name)  # the order that the engine released in its place
                continue
            if payload.get("emulation_trigger"):
                emulated.add(name)
            index = self._index(name, payload.get("bar_ns"))
            row = {
                **payload,
                "side": payload["order_side"],
                "type": payload["order_type"],
                "is_reduce_only": payload.get("reduce_only", False),
                "is_post_only": payload.get("post_only", False),
                **self._last_terms(name),
            }
            shown = _shown(row, index, self._candles, self._closing)
            yield OrderDecision(index, "origin" in payload, shown, None, index < self._first)

    def _last_terms(self, name: str) -> Mapping[str, str]:
        """The terms after all changes of the order, as in the rows of a backtest."""
        row = self._changed.pop(name) or {}
        return {term: row[term] for term in ("quantity", "price", "trigger_price") if row.get(term) is not None}

    def _index(self, name: str, bar_ns: int | None) -> int:
        """An order that never reached the venue has the time of the one before it."""
        if bar_ns is not None:
            return self._candles.index_at(bar_ns)
        moment = self._moments.pop(name) if self._moments else None
        if moment is not None:
            self._latest = max(self._latest, moment.minute - 1)
        return self._latest

    def outcome(self, order: OrderDecision, end: int) -> OrderOutcome:
        row = self._rows.pop(order.shown.client_order_id)
        if row is None:
            return OrderOutcome(status="NOT_IN_THE_RESULTS", reached=None)
        number = row["venue_order_id"]
        history = self._histories.pop(int(number)) if number is not None else None
        if history is None:
            return OrderOutcome(status=row["status"], reached=None, reason=row.get("reason"))
        return OrderOutcome(
            status=row["status"],
            reached=history.accepted,
            parts=tuple(part for part in history.parts if part.moment <= (end, 0) or part.moment == history.accepted),
            ended=history.ended,
            venue_number=int(number),
        )


def closing_orders(folder: Path) -> frozenset[str]:
    """Ids of orders that closed a whole position."""
    rows = (from_json(line) for _, line in read_rows(folder, "positions"))
    return frozenset(row["closing_order_id"] for row in rows if row["closing_order_id"] is not None)


def _shown(row: Mapping[str, Any], index: int, candles: Candles, closing: frozenset[str]) -> Decision:
    numbers = {name: _number(row.get(name)) for name in ("price", "trigger_price")}
    name, reduce_only = row["client_order_id"], bool(row.get("is_reduce_only"))
    return Decision(
        bar=iso(candles.ts_ns(index)) if index >= 0 else "",
        client_order_id=name,
        side=row["side"],
        type=row["type"],
        quantity=_number(row["quantity"]) or "0",
        time_in_force=row["time_in_force"],
        reduce_only=reduce_only,
        post_only=bool(row.get("is_post_only")),
        closes=reduce_only and name in closing,
        **numbers,
    )


def _number(text: str | None) -> str | None:
    return None if text is None else decimal_text(Decimal(text))


def _part(fill: Mapping[str, Any], moment: Moment) -> FillPart:
    fee = Decimal((fill.get("commission") or "0").split()[0])
    maker = fill["liquidity_side"] == "MAKER"
    return FillPart(Decimal(fill["last_px"]), Decimal(fill["last_qty"]), maker, fee, moment)
