"""Two snapshots, part by part. Each function returns at least one finding: silence is no agreement."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from opslab.model.primitives.instant import NS_PER_SECOND
from opslab.reconciliation.result import Limits, Part, Reason, ReconciliationFinding, Side, Tolerances, make_finding
from opslab.reconciliation.snapshot import Balance, OpenOrder, Position, Rows, Snapshot
from opslab.reconciliation.values import Judged, Unjudged, difference, seconds_text, text

ZERO = Decimal(0)

type Value = Judged[Decimal | str | None]


@dataclass(frozen=True, slots=True)
class Scope:
    """What the two can know at all."""

    balance_fields: tuple[str, ...] = ("total", "free", "locked")
    rounding: Decimal = ZERO
    """How far two averages of the same prices may be apart that were computed in two ways: they are equal."""


EVERYTHING = Scope()


def compare(
    expected: Snapshot, observed: Snapshot, instrument: str, limits: Limits, now_ns: int, scope: Scope = EVERYTHING
) -> list[ReconciliationFinding]:
    """Every finding, in no particular order.

    instrument: the run's own, as the venue writes it; any other is a finding. now_ns: wall clock.
    """
    return [
        *compare_positions(expected.positions, observed.positions, instrument, limits.tolerances, scope),
        *compare_open_orders(expected.open_orders, observed.open_orders, instrument),
        *compare_balances(expected.balances, observed.balances, limits.tolerances, scope),
        *compare_freshness(expected, observed, limits, now_ns),
    ]


def compare_positions(
    expected: Judged[Rows[Position]],
    observed: Judged[Rows[Position]],
    instrument: str,
    tolerances: Tolerances,
    scope: Scope = EVERYTHING,
) -> list[ReconciliationFinding]:
    """By instrument; one that is not listed is flat."""
    part: Part = "positions"
    if isinstance(expected, Unjudged) or isinstance(observed, Unjudged):
        return _missing(part, expected, observed)
    found = _defects(part, expected, observed)
    for key in _keys(expected, observed, {instrument}):
        pair = expected.by_key.get(key), observed.by_key.get(key)
        if key != instrument:
            found.append(_other(part, key, "instrument", *(key if one else None for one in pair)))
        unnamed = _unnamed(part, key, "instrument", pair, expected, observed)
        if unnamed:
            found += unnamed
            continue
        one, two = (one or Position(key, "FLAT", ZERO, None) for one in pair)
        found += _judged_alone(part, key, "side", one.side, two.side)
        found += _field(part, key, "signed_quantity", one.signed_quantity, two.signed_quantity)
        found += _entry_prices(key, one, two, tolerances.average_entry_price, scope.rounding)
    return found


def compare_open_orders(
    expected: Judged[Rows[OpenOrder]], observed: Judged[Rows[OpenOrder]], instrument: str
) -> list[ReconciliationFinding]:
    """By client order id, every field exactly."""
    part: Part = "open_orders"
    if isinstance(expected, Unjudged) or isinstance(observed, Unjudged):
        return _missing(part, expected, observed)
    found = _defects(part, expected, observed)
    if not expected.size and not observed.size:
        return [make_finding("equal", part, "", part, "0", "0", difference="0", tolerance="0")]
    for key in _keys(expected, observed):
        one, two = expected.by_key.get(key), observed.by_key.get(key)
        foreign = [order.instrument if order and order.instrument != instrument else None for order in (one, two)]
        if any(isinstance(name, str) for name in foreign):
            names = [name if isinstance(name, str) else None for name in foreign]
            found.append(_other(part, key, "instrument", *names))
        unnamed = _unnamed(part, key, "client_order_id", (one, two), expected, observed)
        if unnamed:
            found += unnamed
        elif one and two:
            found += _order(key, one, two)
        else:
            reason: Reason = "only_expected" if one else "only_observed"
            found.append(make_finding(reason, part, key, "client_order_id", key if one else None, key if two else None))
            found += _alone(key, one, "expected") + _alone(key, two, "observed")
    return found


def compare_balances(
    expected: Judged[Rows[Balance]],
    observed: Judged[Rows[Balance]],
    tolerances: Tolerances,
    scope: Scope = EVERYTHING,
) -> list[ReconciliationFinding]:
    """By asset; one that is not listed is zero."""
    part: Part = "balances"
    if isinstance(expected, Unjudged) or isinstance(observed, Unjudged):
        return _missing(part, expected, observed)
    found = _defects(part, expected, observed)
    for key in _keys(expected, observed):
        pair = expected.by_key.get(key), observed.by_key.get(key)
        unnamed = _unnamed(part, key, "asset", pair, expected, observed)
        if unnamed:
            found += unnamed
            continue
        one, two = (one or Balance(key, ZERO, ZERO, ZERO) for one in pair)
        for field in scope.balance_fields:
            values = getattr(one, field), getattr(two, field)
            found += _field(part, key, field, *values, getattr(tolerances, field))
    return found


def compare_freshness(
    expected: Snapshot, observed: Snapshot, limits: Limits, now_ns: int
) -> list[ReconciliationFinding]:
    """How old each is, and how far apart the two were taken."""
    part: Part = "freshness"
    pairs: tuple[tuple[Side, Snapshot], ...] = (("expected", expected), ("observed", observed))
    found: list[ReconciliationFinding] = []
    for side, one in pairs:
        if isinstance(one.as_of_ns, Unjudged):
            found.append(_unjudged(part, "", "as_of", side, one.as_of_ns))
            continue
        age_ns = now_ns - one.as_of_ns
        reason, limit = _age(age_ns, limits)
        found.append(_times(reason, "age", expected, observed, age_ns, limit, side))
    if isinstance(expected.as_of_ns, int) and isinstance(observed.as_of_ns, int):
        apart_ns = observed.as_of_ns - expected.as_of_ns
        is_far = abs(apart_ns) > limits.max_apart_seconds * NS_PER_SECOND
        reason = "too_far_apart" if is_far else "within_limit"
        found.append(_times(reason, "apart", expected, observed, apart_ns, limits.max_apart_seconds, None))
    return found


def _age(age_ns: int, limits: Limits) -> tuple[Reason, int]:
    """What an age amounts to, and the limit that it was held against, in seconds."""
    if age_ns >= 0:
        is_old = age_ns > limits.max_age_seconds * NS_PER_SECOND
        return ("stale" if is_old else "within_limit"), limits.max_age_seconds
    is_early = -age_ns > limits.ahead_seconds * NS_PER_SECOND
    return ("in_future" if is_early else "clock_ahead"), limits.ahead_seconds


def _times(
    reason: Reason, subject: str, expected: Snapshot, observed: Snapshot, span_ns: int, limit: int, side: Side | None
) -> ReconciliationFinding:
    """side: the one snapshot that it is about; None: both."""
    return make_finding(
        reason,
        "freshness",
        subject,
        "as_of",
        None if side == "observed" else expected.as_of,
        None if side == "expected" else observed.as_of,
        difference=seconds_text(span_ns),
        tolerance=str(limit),
        snapshot=side,
    )


def _entry_prices(
    key: str, one: Position, two: Position, tolerance: Decimal, rounding: Decimal
) -> list[ReconciliationFinding]:
    """Compared while both hold something: between flat and not flat the quantity says it."""
    a, b = one.average_entry_price, two.average_entry_price
    if a is None or b is None:
        return _judged_alone("positions", key, "average_entry_price", a, b)
    if isinstance(a, Decimal) and isinstance(b, Decimal):
        apart = difference(a, b)
        if apart and apart.copy_abs() <= rounding:
            found = _field("positions", key, "average_entry_price", a, b, rounding)
            return [one.model_copy(update={"reason": "within_rounding", "state": "ok"}) for one in found]
    return _field("positions", key, "average_entry_price", a, b, tolerance)


def _order(key: str, one: OpenOrder, two: OpenOrder) -> list[ReconciliationFinding]:
    found: list[ReconciliationFinding] = []
    for field, a, b in zip(_ORDER_FIELDS, _order_values(one), _order_values(two), strict=True):
        found += _field("open_orders", key, field, a, b)
    return found


def _alone(key: str, order: OpenOrder | None, side: Side) -> list[ReconciliationFinding]:
    """What cannot be judged of an order that the other snapshot does not have."""
    if order is None:
        return []
    values = zip(_ORDER_FIELDS, _order_values(order), strict=True)
    return [_unjudged("open_orders", key, name, side, value) for name, value in values if isinstance(value, Unjudged)]


_ORDER_FIELDS = ("instrument", "side", "type", "quantity", "filled_quantity", "price", "status")


def _order_values(order: OpenOrder) -> tuple[Value, ...]:
    return (
        order.instrument,
        order.side,
        order.type,
        order.quantity,
        order.filled_quantity,
        order.price,
        order.status,
    )


def _field(
    part: Part, subject: str, field: str, a: Value, b: Value, tolerance: Decimal = ZERO
) -> list[ReconciliationFinding]:
    """One field on both sides: one finding, or one for each side that cannot be judged."""
    if isinstance(a, Unjudged) or isinstance(b, Unjudged):
        return _judged_alone(part, subject, field, a, b)
    if isinstance(a, Decimal) and isinstance(b, Decimal):
        apart = difference(a, b)
        reason: Reason = "equal" if not apart else "differs" if apart.copy_abs() > tolerance else "within_tolerance"
        shown = text(apart), text(tolerance)
        return [make_finding(reason, part, subject, field, text(a), text(b), difference=shown[0], tolerance=shown[1])]
    return [make_finding("equal" if a == b else "differs", part, subject, field, _text(a), _text(b))]


def _judged_alone(part: Part, subject: str, field: str, a: Value, b: Value) -> list[ReconciliationFinding]:
    """A finding for each side that cannot be judged, with what the other one says."""
    found: list[ReconciliationFinding] = []
    if isinstance(a, Unjudged):
        found.append(_unjudged(part, subject, field, "expected", a, b))
    if isinstance(b, Unjudged):
        found.append(_unjudged(part, subject, field, "observed", b, a))
    return found


def _unjudged(
    part: Part, subject: str, field: str, side: Side, why: Unjudged, other: Value = None
) -> ReconciliationFinding:
    across = None if isinstance(other, Unjudged) else _text(other)
    values = (why.shown, across) if side == "expected" else (across, why.shown)
    return make_finding(why.reason, part, subject, field, *values, snapshot=side)


def _other(part: Part, key: str, field: str, expected: str | None, observed: str | None) -> ReconciliationFinding:
    side: Side | None = None if expected and observed else "expected" if expected else "observed"
    return make_finding("other_instrument", part, key, field, expected, observed, snapshot=side)


def _missing[T](part: Part, expected: Judged[Rows[T]], observed: Judged[Rows[T]]) -> list[ReconciliationFinding]:
    sides: tuple[tuple[Side, Judged[Rows[T]]], ...] = (("expected", expected), ("observed", observed))
    found = [_unjudged(part, "", part, side, rows) for side, rows in sides if isinstance(rows, Unjudged)]
    for side, rows in sides:  # the part that is there has its own defects
        if isinstance(rows, Rows):
            found += _defects_of(part, side, rows)
    return found


def _defects[T](part: Part, expected: Rows[T], observed: Rows[T]) -> list[ReconciliationFinding]:
    return [*_defects_of(part, "expected", expected), *_defects_of(part, "observed", observed)]


def _defects_of[T](part: Part, side: Side, rows: Rows[T]) -> list[ReconciliationFinding]:
    return [_unjudged(part, defect.subject, defect.field, side, defect.why) for defect in rows.defects]


def _keys[T](expected: Rows[T], observed: Rows[T], always: set[str] | None = None) -> Iterator[str]:
    """That can be compared: those of several rows cannot."""
    keys = expected.by_key.keys() | observed.by_key.keys() | (always or set())
    return iter(sorted(keys - expected.duplicates - observed.duplicates))


def _unnamed[T](
    part: Part, key: str, field: str, pair: Sequence[T | None], expected: Rows[T], observed: Rows[T]
) -> list[ReconciliationFinding]:
    """For each side on which the row is not there, and a row without a name may be it."""
    names = [key if one else None for one in pair]
    sides: tuple[tuple[Side, Rows[T]], ...] = (("expected", expected), ("observed", observed))
    return [
        make_finding("unnamed_row", part, key, field, *names, snapshot=side)
        for (side, rows), one in zip(sides, pair, strict=True)
        if one is None and rows.unnamed
    ]


def _text(value: Decimal | str | None) -> str | None:
    return text(value) if isinstance(value, Decimal) else value
