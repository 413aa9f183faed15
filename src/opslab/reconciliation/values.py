"""One value of a snapshot: read, or found to be nothing that can be compared, and why.

Numbers are decimals from their text to the end; digits and exponent are bounded before anything is computed, and
what is computed is exact whatever the thread's decimal context says.
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
"""In front of the point, and behind it."""
SHOWN_CHARACTERS = 40

_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_EXPONENT = re.compile(r"[eE][-+]?[0-9]{3,}$")
_MOST_NUMBER_CHARACTERS = 64
NAME_PATTERN = r"[A-Za-z0-9._:/#-]{1,64}"
TIME_PATTERN = r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?Z"
_NAME = re.compile(NAME_PATTERN)
_TIME = re.compile(TIME_PATTERN)
_EXACT = Context(prec=80, Emin=-999, Emax=999, traps=[Inexact, InvalidOperation])
_MOST = Decimal(10) ** MAX_DIGITS

Sign = Literal["any", "not_negative", "positive"]


class NumberText(str):
    """A number as a JSON document spells it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Unjudged:
    """What stands in the place of a value that cannot be compared."""

    reason: Reason
    shown: str | None
    """The value as it was found, for people; None: nothing was."""


type Judged[T] = T | Unjudged


def number(found: object, sign: Sign = "any") -> Judged[Decimal]:
    """A decimal, from a JSON number, its text, or a number of ours. Floats are none: they are not what was written."""
    if isinstance(found, Decimal) or (isinstance(found, int) and not isinstance(found, bool)):
        found = str(found) if isinstance(found, Decimal) or abs(found) < _MOST else "1E+999"
    if found is None or not isinstance(found, str):
        return Unjudged("missing" if found is None else "wrong_type", shown(found))
    if not _NUMBER.fullmatch(found):
        return Unjudged("not_a_number", shown(found))
    if len(found) > _MOST_NUMBER_CHARACTERS or _EXPONENT.search(found):
        return Unjudged("out_of_bounds", shown(found))
    value = Decimal(found)
    if value and not _is_bounded(value):
        return Unjudged("out_of_bounds", shown(found))
    if (sign == "positive" and value <= 0) or (sign == "not_negative" and value < 0):
        return Unjudged("out_of_bounds", shown(found))
    return value or Decimal(0)


def _is_bounded(value: Decimal) -> bool:
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return value.adjusted() < MAX_DIGITS and exponent + zeros >= -MAX_DIGITS


def name(found: object) -> Judged[str]:
    """An instrument, an asset, an order's id."""
    if not isinstance(found, str) or isinstance(found, NumberText):
        return Unjudged("missing" if found is None else "wrong_type", shown(found))
    return found if _NAME.fullmatch(found) else Unjudged("out_of_bounds" if found else "missing", shown(found))


def word(found: object, known: tuple[str, ...]) -> Judged[str]:
    if not isinstance(found, str) or isinstance(found, NumberText):
        return Unjudged("missing" if found is None else "wrong_type", shown(found))
    return found if found in known else Unjudged("unknown_value", shown(found))


def instant(found: object) -> Judged[int]:
    """Nanoseconds since 1970 of UTC text such as `2025-05-04T15:33:00Z`, with up to nine digits of a second."""
    if not isinstance(found, str) or isinstance(found, NumberText):
        return Unjudged("missing" if found is None else "wrong_type", shown(found))
    parts = _TIME.fullmatch(found)
    try:
        seconds = calendar.timegm(datetime.fromisoformat(parts[1]).timetuple()) if parts else None
    except ValueError:
        seconds = None
    if parts is None or seconds is None:
        return Unjudged("not_a_time", shown(found))
    return seconds * NS_PER_SECOND + int(((parts[2] or ".")[1:]).ljust(9, "0"))


def difference(expected: Decimal, observed: Decimal) -> Decimal:
    """`observed` less `expected`, exact."""
    return _EXACT.subtract(observed, expected)


def total(one: Decimal, other: Decimal) -> Decimal:
    return _EXACT.add(one, other)


def text(value: Decimal) -> str:
    """Plain, without trailing zeros, never `-0`."""
    if value.is_zero():
        return "0"
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def seconds_text(span_ns: int) -> str:
    """Nanoseconds as seconds: `-1.5`."""
    whole, rest = divmod(abs(span_ns), NS_PER_SECOND)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{'-' if span_ns < 0 else ''}{whole}{fraction}"


def shown(found: object) -> str | None:
    """A value for people: on one line, of bounded length, never a secret."""
    if found is None:
        return None
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, (list, tuple)):
        return "a list" if found else "an empty list"
    if isinstance(found, dict):
        return "an object"
    written = str(found)
    clean = ascii(written[:SHOWN_CHARACTERS])[1:-1]
    return echo(clean) + ("..." if len(written) > SHOWN_CHARACTERS else "")
