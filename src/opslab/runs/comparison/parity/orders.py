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
from opslab.runs.comparison.parity.prefetch import FillPart, OrderHistories, RowReader
from opslab.store.runs.journal import read_bodies
from opslab.store.runs.run_folders import read_rows

REFUSED = frozenset({"DENIED", "REJECTED"})


@dataclass(frozen=True, slots=True)
class OrderDecision:
    """An order and the candle index of its bar; -1: before the first."""

    index: int
    by_lab: bool
    shown: Decision
    row: Mapping[str, Any] | None
    """Its row in the results, if already read."""

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
    canceled: Moment | None = None

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

    def __init__(self, folder: Path, candles: Candles) -> None:
        self._folder = folder
        self._candles = candles
        self._fills = RowReader(folder, "fills", "client_order_id")
        self._closing = closing_orders(folder)

    def decisions(self) -> Iterator[OrderDecision]:
        for _, line in read_rows(self._folder, "orders"):
            row = from_json(line)
            index = self._candles.index_at(row["ts_init"])
            yield OrderDecision(index, False, _shown(row, index, self._candles, self._closing), row)

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
            canceled=ended if row["status"] == "CANCELED" and ended.minute <= end else None,
        )

    def _moment(self, ts_ns: int) -> Moment:
        return Moment(self._candles.index_at(ts_ns) + 1, 0)


class PaperOrders:
    """Implements `Orders`: the engine reported the bar with each order."""

    def __init__(self, folder: Path, ledger: Path, candles: Candles, first: int) -> None:
        self._folder = folder
        self._candles = candles
        self._rows = RowReader(folder, "orders", "client_order_id")
        self._histories = OrderHistories(ledger, first)
        self._closing = closing_orders(folder)

    def decisions(self) -> Iterator[OrderDecision]:
        emulated: set[str] = set()
        for _, line in read_bodies(self._folder, ("order_event",)):
            payload = from_json(line)["payload"]
            if payload["type"] != "OrderInitialized" or payload.get("reconciliation"):
                continue
            if payload["client_order_id"] in emulated:
                emulated.remove(payload["client_order_id"])  # the order that the engine released in its place
                continue
            if payload.get("emulation_trigger"):
                emulated.add(payload["client_order_id"])
            bar_ns = payload.get("bar_ns")
            index = -1 if bar_ns is None else self._candles.index_at(bar_ns)
            row = {
                **payload,
                "side": payload["order_side"],
                "type": payload["order_type"],
                "is_reduce_only": payload.get("reduce_only", False),
                "is_post_only": payload.get("post_only", False),
            }
            yield OrderDecision(index, "origin" in payload, _shown(row, index, self._candles, self._closing), None)

    def outcome(self, order: OrderDecision, end: int) -> OrderOutcome:
        row = self._rows.pop(order.shown.client_order_id)
        if row is None:
            return OrderOutcome(status="NOT_IN_THE_RESULTS", reached=None)
        number = row["venue_order_id"]
        history = self._histories.pop(int(number)) if number is not None else None
        if history is None:
            return OrderOutcome(status=row["status"], reached=None)
        return OrderOutcome(
            status=row["status"],
            reached=history.accepted,
            parts=tuple(part for part in history.parts if part.moment <= (end, 0) or part.moment == history.accepted),
            canceled=history.canceled,
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
