"""JSON Schema of a snapshot, for programs that write one."""

from typing import Any

from opslab.reconciliation.snapshot import (
    KEYS,
    MAX_ROWS,
    ORDER_SIDES,
    ORDER_STATUSES,
    ORDER_TYPES,
    POSITION_SIDES,
    ROWS,
    VERSION,
)
from opslab.reconciliation.values import MAX_DIGITS, NAME_PATTERN, TIME_PATTERN

Schema = dict[str, Any]


def snapshot_schema() -> Schema:
    """JSON Schema (draft 2020-12) of a complete snapshot. A valid document is compared; an invalid one may be compared
    too, with findings of state `unknown`.
    """
    parts: Schema = {part: _rows(part, names) for part, names in ROWS.items()}
    as_of = {"type": "string", "pattern": f"^{TIME_PATTERN}$", "description": "time of this state of the account, UTC"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Account snapshot v1",
        **_object({"snapshot_version": {"const": VERSION}, "as_of": as_of, **parts}, KEYS),
    }


def _rows(part: str, names: tuple[str, ...]) -> Schema:
    known = {name: _FIELDS.get(f"{part}.{name}") or _FIELDS[name] for name in names}
    minimum = {"minItems": 1} if part == "balances" else {}
    return {
        "type": "array",
        "maxItems": MAX_ROWS,
        **minimum,
        "description": _PARTS[part],
        "items": _object(known, names),
    }


def _object(properties: Schema, required: tuple[str, ...]) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


def _number(description: str, sign: str = "-?", *, null: bool = False) -> Schema:
    digits = f"[0-9]{{1,{MAX_DIGITS}}}(\\.[0-9]{{1,{MAX_DIGITS}}})?"
    types: list[Schema] = [{"type": "string", "pattern": f"^{sign}{digits}$"}, {"type": "number"}]
    if not sign:
        types[1]["minimum"] = 0
    return {"description": description, "anyOf": [*types, {"type": "null"}] if null else types}


def _choice(description: str, known: tuple[str, ...]) -> Schema:
    return {"enum": list(known), "description": description}


def _name(description: str) -> Schema:
    return {"type": "string", "pattern": f"^{NAME_PATTERN}$", "description": description}


_PARTS = {
    "positions": "one row for each instrument; an instrument that is not listed is flat",
    "open_orders": "one row for each open order",
    "balances": "one row for each asset; an asset that is not listed is zero",
}
_FIELDS: dict[str, Schema] = {
    "instrument": _name("as the venue writes it, such as BTCUSDT"),
    "client_order_id": _name("as the client assigned it"),
    "asset": _name("such as USDT"),
    "positions.side": _choice("with the sign of signed_quantity", POSITION_SIDES),
    "signed_quantity": _number("negative for a short position, 0 when flat"),
    "average_entry_price": _number("null when flat", "", null=True),
    "side": _choice("side of the order", ORDER_SIDES),
    "type": _choice("type of the order", ORDER_TYPES),
    "quantity": _number("of the whole order, including the filled quantity", ""),
    "filled_quantity": _number("less than quantity, because the order is open", ""),
    "price": _number("null for a market order", "", null=True),
    "status": _choice("the engine's status; a venue's NEW is ACCEPTED", ORDER_STATUSES),
    "total": _number("sum of free and locked"),
    "free": _number("available balance"),
    "locked": _number("balance reserved by positions and orders", ""),
}
