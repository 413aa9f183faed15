"""Orders, fills and positions as canonical rows, folded from the order events of a running run.

Ended orders and positions are not kept, so memory does not grow with a run; rows that were sent outlive the engine.
Rows have no UUIDs, no wall-clock times and no profit: equal runs give equal rows. The engine replaces an emulated order
by one of another type when it releases it; the row keeps the type and the prices that the strategy chose.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from opslab.model.primitives.canonical import decimal_text
from opslab.model.run.order_status import CLOSED, LOCAL, OrderStatus
from opslab.model.run.refused_orders import REQUEST_REJECTED, RefusedOrders
from opslab.model.run.unsent_orders import UnsentOrders

OrderEventFields = Mapping[str, Any]
"""An order event in the form of the engine's `to_dict`."""
Send = Callable[[str, Mapping[str, Any]], None]
"""Arguments: name of a result file, one row."""

_CHANGING = ("quantity", "price", "trigger_price")
_FILL_FIELDS = (
    "trade_id", "client_order_id", "venue_order_id", "strategy_id", "instrument_id", "order_side", "order_type",
    "last_qty", "last_px", "currency", "commission", "liquidity_side", "ts_event",
)  # fmt: skip
_INITIAL_FIELDS = {
    "client_order_id": "client_order_id",
    "strategy_id": "strategy_id",
    "instrument_id": "instrument_id",
    "type": "order_type",
    "side": "order_side",
    "quantity": "quantity",
    "price": "price",
    "trigger_price": "trigger_price",
    "time_in_force": "time_in_force",
}


@dataclass(slots=True)
class _Order:
    row: dict[str, Any]
    status: OrderStatus = field(default_factory=OrderStatus)
    waits_for_parent: bool = False
    """It is submitted after a fill of another order of its list."""
    filled: Decimal = Decimal(0)
    notional: Decimal = Decimal(0)
    commissions: dict[str, Decimal] = field(default_factory=dict)
    settled: bool = False
    """No further event of it is expected, whatever its status."""

    def final_row(self) -> dict[str, Any]:
        average = self.notional / self.filled if self.filled else None
        self.row["status"] = self.status.current
        self.row["filled_qty"] = decimal_text(self.filled)
        self.row["avg_px"] = _rounded(average)
        self.row["commissions"] = [f"{amount} {currency}" for currency, amount in sorted(self.commissions.items())]
        return self.row


@dataclass(slots=True)
class _Position:
    """One cycle from flat to flat. `signed` is negative when short."""

    strategy_id: str
    instrument_id: str
    opening_order_id: str
    entry: str
    currency: str
    ts_opened: int
    signed: Decimal = Decimal(0)
    peak: Decimal = Decimal(0)
    bought: Decimal = Decimal(0)
    sold: Decimal = Decimal(0)
    opened_notional: Decimal = Decimal(0)
    closed_notional: Decimal = Decimal(0)

    def row(self, ts_last: int, closing_order_id: str | None) -> dict[str, Any]:
        opened, closed = (self.bought, self.sold) if self.entry == "BUY" else (self.sold, self.bought)
        side = "FLAT" if not self.signed else ("LONG" if self.signed > 0 else "SHORT")
        return {
            "strategy_id": self.strategy_id,
            "instrument_id": self.instrument_id,
            "opening_order_id": self.opening_order_id,
            "closing_order_id": closing_order_id,
            "entry": self.entry,
            "side": side,
            "quantity": decimal_text(abs(self.signed)),
            "peak_qty": decimal_text(self.peak),
            "buy_qty": decimal_text(self.bought),
            "sell_qty": decimal_text(self.sold),
            "settlement_currency": self.currency,
            "avg_px_open": _rounded(self.opened_notional / opened),
            "avg_px_close": _rounded(self.closed_notional / closed) if closed else None,
            "ts_opened": self.ts_opened,
            "ts_closed": ts_last if not self.signed else None,
            "ts_last": ts_last,
        }


class Results:
    """Call `order_event` with every order event, in order, in the form of the engine's `to_dict`; then `finish`.

    Fields that are None or false may be omitted, and `ts_init` where it is equal to `ts_event`.
    """

    def __init__(self, send: Send, *, one_position: bool = False, others: Collection[str] = ()) -> None:
        """one_position: fills of all strategies net in one position, as at a venue; its strategy is the opener's.

        others: strategy ids of orders that the run did not place; `refused` and `outcomes` do not count them.
        """
        self._others = others
        self._send = send
        self._one_position = one_position
        self._orders: OrderedDict[str, _Order] = OrderedDict()
        self._positions: dict[tuple[str, str, str], _Position] = {}
        self._last: dict[tuple[str, str, str], int] = {}
        self.refused = RefusedOrders()
        self.unsent = UnsentOrders()
        self.statuses: dict[str, int] = {}
        """Status to number of orders that were sent."""
        self.outcomes: dict[str, int] = {}
        """Status to number of orders of the run that ended in it, also of those that wait to be sent."""
        self.fills = 0

    def order_event(self, event: OrderEventFields) -> None:
        kind = event["type"]
        order = self._orders.get(event["client_order_id"])
        if kind == "OrderInitialized":
            if order is not None and order.status.current in LOCAL:
                order.row["released_as"] = event["order_type"]
            else:
                self._create(event)
            return
        if order is None:
            return  # it was sent when it ended; a later event, such as a rejected cancel, changes nothing
        was_open = order.status.current not in CLOSED
        if kind in REQUEST_REJECTED and was_open:
            self.refused.requests.add(event)
        if kind == "OrderFilled":
            self._fill(order, event)
        else:
            order.status.apply(kind)
        if kind == "OrderUpdated":
            order.row.update({name: event[name] for name in _CHANGING if event.get(name) is not None})
        order.row["ts_last"] = event["ts_event"]
        if event.get("venue_order_id") is not None:
            order.row["venue_order_id"] = event["venue_order_id"]
        if kind in ("OrderDenied", "OrderRejected"):
            order.row["reason"] = str(event.get("reason") or "unknown")
            self.refused.refused({**order.row, "status": order.status.current})
        elif kind == "OrderEmulated":
            self.unsent.emulated.add(event["client_order_id"])
        elif kind == "OrderReleased":
            self.unsent.released += 1
        if order.status.current in CLOSED:
            if was_open:
                self._count_outcome(order)
            self._send_ended()

    def _create(self, event: OrderEventFields) -> None:
        row = {field: event.get(source) for field, source in _INITIAL_FIELDS.items()}
        row |= {"is_post_only": bool(event.get("post_only")), "is_reduce_only": bool(event.get("reduce_only"))}
        created_ns = event.get("ts_init", event["ts_event"])  # equal in a backtest
        row |= {"venue_order_id": None, "status": "INITIALIZED", "ts_init": created_ns, "ts_last": created_ns}
        waits = event.get("parent_order_id") is not None
        self._orders[event["client_order_id"]] = _Order(row, waits_for_parent=waits)
        if row["strategy_id"] not in self._others:
            self.refused.created(row)

    def is_unsent(self, client_order_id: str, *, open_only: bool = False) -> bool:
        """Whether this order has not been sent yet. open_only: and further events of it are possible."""
        order = self._orders.get(client_order_id)
        return order is not None and not (open_only and (order.settled or order.status.current in CLOSED))

    def open_orders(self, statuses: Collection[str]) -> dict[str, str]:
        """Client order id to status, of the orders with one of these statuses that were not sent yet."""
        unsent = ((name, str(order.row["status"])) for name, order in self._orders.items())
        return {name: status for name, status in unsent if status in statuses}

    def settle(self, client_order_id: str) -> None:
        """No further event of this order will come: later orders do not wait for it."""
        order = self._orders.get(client_order_id)
        if order is not None:
            order.settled = True
            self._send_ended()

    def finish(self) -> None:
        """Send what is still open: orders by creation, positions by opening."""
        for order in self._orders.values():
            self._send_order(order)
        self._orders.clear()
        for key, position in sorted(self._positions.items(), key=lambda item: (item[1].ts_opened, item[0])):
            self._send("positions", position.row(self._last[key], None))
        self._positions.clear()

    def _count_outcome(self, order: _Order) -> None:
        if order.row["strategy_id"] not in self._others:
            status = order.status.current
            self.outcomes[status] = self.outcomes.get(status, 0) + 1

    def _send_ended(self) -> None:
        """In the order of creation: an ended order waits for older open orders."""
        while self._orders:
            order = next(iter(self._orders.values()))
            if order.status.current not in CLOSED and not order.settled:
                return
            self._orders.popitem(last=False)
            self._send_order(order)

    def _send_order(self, order: _Order) -> None:
        status = order.status.current
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status in ("INITIALIZED", "RELEASED") and not order.waits_for_parent:
            self.unsent.never_submitted.add(order.row["client_order_id"])
        self._send("orders", order.final_row())

    def _fill(self, order: _Order, event: OrderEventFields) -> None:
        self.fills += 1
        self._send("fills", {name: event.get(name) for name in _FILL_FIELDS})
        quantity, price = Decimal(event["last_qty"]), Decimal(event["last_px"])
        order.filled += quantity
        order.notional += quantity * price
        if event.get("commission"):
            amount, currency = event["commission"].split()
            order.commissions[currency] = order.commissions.get(currency, Decimal(0)) + Decimal(amount)
        is_complete = order.filled >= Decimal(order.row["quantity"])
        order.status.set("FILLED" if is_complete else "PARTIALLY_FILLED")
        self._update_position(event, quantity, price)

    def _update_position(self, event: OrderEventFields, quantity: Decimal, price: Decimal) -> None:
        """A fill opens, increases, reduces, closes or reverses a position; by the engine's position id."""
        strategy_id = "" if self._one_position else event["strategy_id"]
        key = (event["instrument_id"], strategy_id, event.get("position_id") or "")
        self._last[key] = event["ts_event"]
        sign = 1 if event["order_side"] == "BUY" else -1
        position = self._positions.get(key)
        if position is not None and (position.signed > 0) != (sign > 0):
            closing = min(quantity, abs(position.signed))
            _add(position, sign, closing)
            position.closed_notional += closing * price
            quantity -= closing
            if not position.signed:
                del self._positions[key]
                self._send("positions", position.row(event["ts_event"], event["client_order_id"]))
                position = None
        if not quantity:
            return
        if position is None:
            position = self._positions[key] = _Position(
                strategy_id=event["strategy_id"],
                instrument_id=event["instrument_id"],
                opening_order_id=event["client_order_id"],
                entry=event["order_side"],
                currency=event["currency"],
                ts_opened=event["ts_event"],
            )
        _add(position, sign, quantity)
        position.opened_notional += quantity * price
        position.peak = max(position.peak, abs(position.signed))


def _add(position: _Position, sign: int, quantity: Decimal) -> None:
    position.signed += sign * quantity
    if sign > 0:
        position.bought += quantity
    else:
        position.sold += quantity


def _rounded(value: Decimal | None) -> str | None:
    """Averages, rounded to eight decimals."""
    return None if value is None else decimal_text(round(value, 8))
