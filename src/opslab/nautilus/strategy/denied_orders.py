"""What a strategy asked for when the gate was closed, in plain words for the journal."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

MAX_RECORDED = 1_000
"""Orders behind the gate that are told one by one; more are counted."""
MAX_CHARACTERS = 60
_ENUMS = ("side", "order_type")
_ORDER_FIELDS = ("client_order_id", *_ENUMS, "quantity", "price")


def denied_request(call: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """call: the strategy's method. The rest may be anything: what is not there is left out."""
    fields: dict[str, Any] = {"call": call}
    subject: Any = args[0] if args else next(iter(kwargs.values()), None)
    with suppress(Exception):
        fields["orders"] = len(subject.orders)  # of a list
    for name in _ORDER_FIELDS:
        with suppress(Exception):
            value = getattr(subject, name)
            if value is not None:
                fields[name] = enum_name(value) if name in _ENUMS else str(value)
    return {name: value[:MAX_CHARACTERS] if isinstance(value, str) else value for name, value in fields.items()}


def enum_name(found: Any) -> str:
    """Of `OrderSide.BUY`, which prints with or without its class, `BUY`."""
    return str(found).rpartition(".")[2]
