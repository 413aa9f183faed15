"""Read one value of a snapshot: a comparable value, or the reason why it cannot be compared.

Numbers are decimals, from their text to the result. Digits and exponent are bounded before any computation, and
every computation is exact, independent of the thread's decimal context.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Literal

from opslab.model.primitives.instant import NS_PER_SECOND
from opslab.model.primitives.secret_shapes import echo
from opslab.reconciliation.result import Reason

MAX_DIGITS = 18
"""Maximum number of digits before the decimal point, and after it."""
SHOWN_CHARACTERS = 40

_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_EXPONENT = re.compile(r"[eE][-+]?[0-9]{3,}$")
_MAX_NUMBER_CHARACTERS = 64
NAME_PATTERN = r"[A-Za-z0-9._:/#-]{1,64}"
TIME_PATTERN = r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?Z"
_NAME = re.compile(NAME_PATTERN)
_TIME = re.compile(TIME_PATTERN)
_EXACT = Context(prec=80, Emin=-999, Emax=999, traps=[Inexact, InvalidOperation])
_BOUND = Decimal(10) ** MAX_DIGITS

Sign = Literal["any", "not_negative", "positive"]


class NumberText(str):
    """A number as written in a JSON document."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Unjudged:
    """Replaces a value that cannot be compared."""

    reason: Reason
    shown: str | None
    """The value as read, for messages; None: there was none."""


type Judged[T] = T | Unjudged


def number(value: object, sign: Sign = "any") -> Judged[Decimal]:
    """A decimal from a JSON number, its text, a Decimal or an int. Floats are refused: they are not exact."""
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        value = str(value) if isinstance(value, Decimal) or abs(value) < _BOUND else "1E+999"
    if value is None or not isinstance(value, str):
        return Unjudged("missing" if value is None else "wrong_type", shown(value))
    if not _NUMBER.fullmatch(value):
        return Unjudged("not_a_number", shown(value))
    if len(value) > _MAX_NUMBER_CHARACTERS or _EXPONENT.search(value):
        return Unjudged("out_of_bounds", shown(value))
    decimal = Decimal(value)
    if decimal and not _is_bounded(decimal):
        return Unjudged("out_of_bounds", shown(value))
    if (sign == "positive" and decimal <= 0) or (sign == "not_negative" and decimal < 0):
        return Unjudged("out_of_bounds", shown(value))
    return decimal or Decimal(0)


def _is_bounded(value: Decimal) -> bool:
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return value.adjusted() < MAX_DIGITS and exponent + zeros >= -MAX_DIGITS


def name(value: object) -> Judged[str]:
    """An instrument, an asset, an order id."""
    if not isinstance(value, str) or isinstance(value, NumberText):
        return Unjudged("missing" if value is None else "wrong_type", shown(value))
    return value if _NAME.fullmatch(value) else Unjudged("out_of_bounds" if value else "missing", shown(value))


def choice(value: object, known: tuple[str, ...]) -> Judged[str]:
    if not isinstance(value, str) or isinstance(value, NumberText):
        return Unjudged("missing" if value is None else "wrong_type", shown(value))
    return value if value in known else Unjudged("unknown_value", shown(value))


def instant(value: object) -> Judged[int]:
    """Nanoseconds since 1970, from UTC text such as `2025-05-04T15:33:00Z` with at most nine decimals of a second."""
    if not isinstance(value, str) or isinstance(value, NumberText):
        return Unjudged("missing" if value is None else "wrong_type", shown(value))
    parts = _TIME.fullmatch(value)
    try:
        seconds = calendar.timegm(datetime.fromisoformat(parts[1]).timetuple()) if parts else None
    except ValueError:
        seconds = None
    if parts is None or seconds is None:
        return Unjudged("not_a_time", shown(value))
    return seconds * NS_PER_SECOND + int(((parts[2] or ".")[1:]).ljust(9, "0"))


def difference(expected: Decimal, observed: Decimal) -> Decimal:
    """`observed` minus `expected`, exact."""
    return _EXACT.subtract(observed, expected)


def exact_sum(left: Decimal, right: Decimal) -> Decimal:
    return _EXACT.add(left, right)


def text(value: Decimal) -> str:
    """Without exponent and trailing zeros, never `-0`."""
    if value.is_zero():
        return "0"
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def seconds_text(span_ns: int) -> str:
    """Nanoseconds as seconds: `-1.5`."""
    whole, rest = divmod(abs(span_ns), NS_PER_SECOND)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{'-' if span_ns < 0 else ''}{whole}{fraction}"


def shown(value: object) -> str | None:
    """A value for messages: on one line, of bounded length, never a secret."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    if isinstance(value, dict):
        return "an object"
    full = str(value)
    printable = ascii(full[:SHOWN_CHARACTERS])[1:-1]
    return echo(printable) + ("..." if len(full) > SHOWN_CHARACTERS else "")
