"""What a strategy asked for when the gate was closed, in plain words for the journal."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

MAX_RECORDED = 1_000
"""Orders behind the gate that are told one by one; more are counted."""
MAX_CHARACTERS = 60
_WORDS = ("side", "order_type")
_OF_ORDER = ("client_order_id", *_WORDS, "quantity", "price")


def asked(call: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """call: the strategy's method. The rest may be anything: what is not there is left out."""
    told: dict[str, Any] = {"call": call}
    subject: Any = args[0] if args else next(iter(kwargs.values()), None)
    with suppress(Exception):
        told["orders"] = len(subject.orders)  # of a list
    for name in _OF_ORDER:
        with suppress(Exception):
            value = getattr(subject, name)
            if value is not None:
                told[name] = _word(value) if name in _WORDS else str(value)
    return {name: value[:MAX_CHARACTERS] if isinstance(value, str) else value for name, value in told.items()}


def _word(found: Any) -> str:
    """Of `OrderSide.BUY`, which prints with or without its class, `BUY`."""
    return str(found).rpartition(".")[2]
