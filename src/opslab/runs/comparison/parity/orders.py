"""What the strategy of a run decided, and what became of it: a backtest from its results, a paper run from its journal,
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
from opslab.runs.comparison.parity.prefetch import OrderHistories, Part, RowReader
from opslab.store.runs.journal import read_bodies
from opslab.store.runs.run_folders import read_rows

REFUSED = frozenset({"DENIED", "REJECTED"})


@dataclass(frozen=True, slots=True)
class OrderDecision:
    """An order at the bar at which it was made: an index of the candles, -1 before the first."""

    index: int
    by_lab: bool
    shown: Decision
    row: Mapping[str, Any] | None
    """What the results say of it, where that was read already."""

    def terms(self, *, closing: bool) -> dict[str, Any]:
        """What has to be the same. closing: both took all that was open, so that the quantity is no decision."""
        left_out = {"bar", "client_order_id", "closes", *({"quantity"} if closing else ())}
        return self.shown.model_dump(exclude=left_out)


@dataclass(frozen=True, slots=True)
class OrderOutcome:
    """What became of an order up to the end of what is compared."""

    status: str
    reached: Moment | None
    """When it was at the venue; of a backtest the close of its bar. None: never."""
    parts: tuple[Part, ...] = ()
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

    def decided(self) -> Iterator[OrderDecision]:
        """In the order of their making."""
        ...

    def outcome(self, order: OrderDecision, end: int) -> OrderOutcome:
        """end: the candle behind the last that is compared."""
        ...


class BacktestOrders:
    """Implements `Orders`: an order's bar is the last that had closed when it was made."""

    def __init__(self, folder: Path, candles: Candles) -> None:
        self._folder = folder
        self._candles = candles
        self._fills = RowReader(folder, "fills", "client_order_id")
        self._closing = closing_orders(folder)

    def decided(self) -> Iterator[OrderDecision]:
        for _, line in read_rows(self._folder, "orders"):
            row = from_json(line)
            index = self._candles.at(row["ts_init"])
            yield OrderDecision(index, False, _shown(row, index, self._candles, self._closing), row)

    def outcome(self, order: OrderDecision, end: int) -> OrderOutcome:
        row = order.row or {}
        parts, wanted = [], Decimal(row["filled_qty"])
        while wanted > 0 and (fill := self._fills.take(row["client_order_id"])):
            wanted -= Decimal(fill["last_qty"])
            parts.append(_part(fill, self._moment(fill["ts_event"])))
        ended = self._moment(row["ts_last"])
        return OrderOutcome(
            status=row["status"],
            reached=Moment(order.index + 1, 0) if row["venue_order_id"] is not None else None,
            parts=tuple(part for part in parts if part.moment.minute <= end),
            canceled=ended if row["status"] == "CANCELED" and ended.minute <= end else None,
        )

    def _moment(self, ts_ns: int) -> Moment:
        return Moment(self._candles.at(ts_ns) + 1, 0)


class PaperOrders:
    """Implements `Orders`: the engine told the bar with each order."""

    def __init__(self, folder: Path, ledger: Path, candles: Candles, first: int) -> None:
        self._folder = folder
        self._candles = candles
        self._rows = RowReader(folder, "orders", "client_order_id")
        self._stories = OrderHistories(ledger, first)
        self._closing = closing_orders(folder)

    def decided(self) -> Iterator[OrderDecision]:
        for _, line in read_bodies(self._folder, ("order_event",)):
            told = from_json(line)["payload"]
            if told["type"] != "OrderInitialized" or told.get("reconciliation"):
                continue
            bar_ns = told.get("bar_ns")
            index = -1 if bar_ns is None else self._candles.at(bar_ns)
            row = {
                **told,
                "side": told["order_side"],
                "type": told["order_type"],
                "is_reduce_only": told.get("reduce_only", False),
                "is_post_only": told.get("post_only", False),
            }
            yield OrderDecision(index, "origin" in told, _shown(row, index, self._candles, self._closing), None)

    def outcome(self, order: OrderDecision, end: int) -> OrderOutcome:
        row = self._rows.take(order.shown.client_order_id)
        if row is None:
            return OrderOutcome(status="NOT_IN_THE_RESULTS", reached=None)
        number = row["venue_order_id"]
        story = self._stories.take(int(number)) if number is not None else None
        if story is None:
            return OrderOutcome(status=row["status"], reached=None)
        return OrderOutcome(
            status=row["status"],
            reached=story.accepted,
            parts=tuple(part for part in story.parts if part.moment <= (end, 0) or part.moment == story.accepted),
            canceled=story.canceled,
        )


def closing_orders(folder: Path) -> frozenset[str]:
    """Orders that took all that was open."""
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


def _part(fill: Mapping[str, Any], moment: Moment) -> Part:
    fee = Decimal((fill.get("commission") or "0").split()[0])
    maker = fill["liquidity_side"] == "MAKER"
    return Part(Decimal(fill["last_px"]), Decimal(fill["last_qty"]), maker, fee, moment)
