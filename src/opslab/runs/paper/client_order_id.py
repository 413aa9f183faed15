"""Decode client order ids as the engine's Binance adapter encodes them on the wire.

A venue allows 36 characters, and the adapter adds a prefix: `O-20261121-204553-001-001-1` goes out as
`x-aHRE4BCj-T04asLHBvvAy6z`. A ledger has the wire form; a run's results have the engine's, even for an order whose
engine died before reporting it. A test compares this with the adapter's own function.
"""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from opslab.model.messages.order_ids import WIRE_PREFIX

_ENCODED = re.compile(WIRE_PREFIX + r"([TtUuR])(.+)", re.DOTALL)
_DIGITS = {digit: value for value, digit in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")}
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_GENERATED_DIGITS = 13
_UUID_DIGITS = 22


def is_of_adapter(wire: str) -> bool:
    """Whether the engine's adapter encoded the id. It encodes every one that it sends, a strategy's own too."""
    return _ENCODED.fullmatch(wire) is not None


def client_order_id(wire: str) -> str:
    """The engine's id of an order. An id without the adapter's encoding is returned unchanged."""
    match = _ENCODED.fullmatch(wire)
    if match is None:
        return wire
    kind, digits = match.groups()
    if kind == "R":  # the adapter only adds its prefix
        return digits
    number = _number(digits, _GENERATED_DIGITS if kind in "Tt" else _UUID_DIGITS)
    decoded = None if number is None else (_generated(number) if kind in "Tt" else _uuid(number))
    if decoded is None:
        return wire
    return decoded if kind in "TU" else decoded.replace("-", "")


def _number(text: str, length: int) -> int | None:
    """None when the text has another length or another character."""
    if len(text) != length or not all(digit in _DIGITS for digit in text):
        return None
    number = 0
    for digit in text:
        number = number * len(_DIGITS) + _DIGITS[digit]
    return number


def _generated(number: int) -> str:
    """A generated id: seconds, 10 bits of the trader's tag, 10 of the strategy's, 20 of a count."""
    at = _EPOCH + timedelta(seconds=number >> 40)
    return f"O-{at:%Y%m%d-%H%M%S}-{number >> 30 & 1023:03}-{number >> 20 & 1023:03}-{number & 0xFFFFF}"


def _uuid(number: int) -> str | None:
    return None if number >> 128 else str(UUID(int=number))
