"""Describe the requests that a closed gate denied, as text and numbers for the journal."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from opslab.nautilus.canonical import enum_name

MAX_RECORDED = 1_000
"""Denied requests that are recorded one by one; all of them are counted."""
MAX_CHARACTERS = 60
_ENUMS = ("side", "order_type")
_ORDER_FIELDS = ("client_order_id", *_ENUMS, "quantity", "price")


def denied_request(call: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """call: the strategy's method. The arguments may be anything: fields that they do not have are left out."""
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
