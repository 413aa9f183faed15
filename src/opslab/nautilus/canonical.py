"""Orders, fills and positions as plain rows without UUIDs, wall-clock times or profit: equal runs give equal rows."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nautilus_trader.model import OrderFilled

_DIGITS = re.compile(r"(\d+)")
_UUID_SUFFIX = re.compile(r"-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")

_EVENT_NOISE = frozenset(
    {"event_id", "causation_id", "trader_id", "info", "reconciliation", "ts_init", "instrument_id"}
)
_ORDER_FIELDS = (
    "client_order_id", "venue_order_id", "strategy_id", "instrument_id", "type", "side", "quantity", "price",
    "trigger_price", "time_in_force", "is_post_only", "is_reduce_only", "status", "filled_qty", "avg_px",
    "commissions", "ts_init", "ts_last",
)  # fmt: skip
_FILL_FIELDS = (
    "trade_id", "client_order_id", "venue_order_id", "strategy_id", "instrument_id", "order_side", "order_type",
    "last_qty", "last_px", "currency", "commission", "liquidity_side", "ts_event",
)  # fmt: skip
_POSITION_FIELDS = (
    "strategy_id", "instrument_id", "opening_order_id", "closing_order_id", "entry", "side", "quantity", "peak_qty",
    "buy_qty", "sell_qty", "settlement_currency", "commissions", "ts_opened", "ts_closed", "ts_last",
)  # fmt: skip


def event_row(event: Any) -> dict[str, Any]:
    """An order event for the journal: its name as `type` and every field that says something."""
    row: dict[str, Any] = event.to_dict()
    kept = {name: value for name, value in row.items() if value is not None and value is not False}
    for name in _EVENT_NOISE:
        kept.pop(name, None)
    return kept


def order_rows(orders: Iterable[Any]) -> list[dict[str, Any]]:
    """One row an order, in the order of their creation. A denied or rejected one carries its `reason`."""
    rows = []
    for order in orders:
        row = _pick(order.to_dict(), _ORDER_FIELDS)
        if row["status"] in ("DENIED", "REJECTED"):
            row["reason"] = str(getattr(order.last_event, "reason", None) or "unknown")
        rows.append(row)
    rows.sort(key=lambda row: (row["ts_init"], _natural(row["client_order_id"])))
    return rows


def fill_rows(orders: Iterable[Any]) -> list[dict[str, Any]]:
    """One row a fill, by time, then by order, then by trade."""
    filled = (order for order in orders if order.last_trade_id is not None)
    fills = (event.to_dict() for order in filled for event in order.events() if type(event) is OrderFilled)
    rows = [_pick(fill, _FILL_FIELDS) for fill in fills]
    rows.sort(key=lambda row: (row["ts_event"], _natural(row["client_order_id"]), _natural(row["trade_id"])))
    return rows


def position_rows(positions: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """One row from opened to closed, by opening. Profit and return are left out on purpose."""
    rows = []
    for position in positions:
        values = position.to_dict()
        row = _pick(values, _POSITION_FIELDS)
        row["position_id"] = _UUID_SUFFIX.sub("", values["position_id"])
        row["avg_px_open"] = _average(values["avg_px_open"])
        row["avg_px_close"] = _average(values["avg_px_close"])
        rows.append(row)
    rows.sort(key=lambda row: (row["ts_opened"], _natural(row["opening_order_id"])))
    return iter(rows)


def _pick(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: values.get(name) for name in names}


def _average(value: float | None) -> str | None:
    """The engine averages in floating point: its last digits are noise."""
    return None if value is None else f"{value:.8f}".rstrip("0").rstrip(".")


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort key in which `O-2` comes before `O-10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(text)]
