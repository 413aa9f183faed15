"""Compare two snapshots, part by part. Each function returns at least one finding: an empty result proves nothing."""

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
    """What both sides can know."""

    balance_fields: tuple[str, ...] = ("total", "free", "locked")
    rounding: Decimal = ZERO
    """Maximum distance of two averages of the same prices, computed in two ways, that still counts as equal."""


EVERYTHING = Scope()


def compare(
    expected: Snapshot, observed: Snapshot, instrument: str, limits: Limits, now_ns: int, scope: Scope = EVERYTHING
) -> list[ReconciliationFinding]:
    """Return every finding, in no particular order.

    instrument: the run's, as the venue writes it; any other is a finding. now_ns: wall clock.
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
    """By instrument; an instrument that is not listed is flat."""
    part: Part = "positions"
    if isinstance(expected, Unjudged) or isinstance(observed, Unjudged):
        return _missing_part(part, expected, observed)
    findings = _defects(part, expected, observed)
    for key in _comparable_keys(expected, observed, {instrument}):
        rows = expected.by_key.get(key), observed.by_key.get(key)
        if key != instrument:
            findings.append(_other_instrument(part, key, "instrument", *(key if row else None for row in rows)))
        unnamed = _maybe_unnamed(part, key, "instrument", rows, expected, observed)
        if unnamed:
            findings += unnamed
            continue
        left, right = (row or Position(key, "FLAT", ZERO, None) for row in rows)
        findings += _unjudged_sides(part, key, "side", left.side, right.side)
        findings += _field(part, key, "signed_quantity", left.signed_quantity, right.signed_quantity)
        findings += _entry_prices(key, left, right, tolerances.average_entry_price, scope.rounding)
    return findings


def compare_open_orders(
    expected: Judged[Rows[OpenOrder]], observed: Judged[Rows[OpenOrder]], instrument: str
) -> list[ReconciliationFinding]:
    """By client order id, every field exactly."""
    part: Part = "open_orders"
    if isinstance(expected, Unjudged) or isinstance(observed, Unjudged):
        return _missing_part(part, expected, observed)
    findings = _defects(part, expected, observed)
    if not expected.size and not observed.size:
        return [make_finding("equal", part, "", part, "0", "0", difference="0", tolerance="0")]
    for key in _comparable_keys(expected, observed):
        left, right = expected.by_key.get(key), observed.by_key.get(key)
        foreign = [order.instrument if order and order.instrument != instrument else None for order in (left, right)]
        if any(isinstance(name, str) for name in foreign):
            names = [name if isinstance(name, str) else None for name in foreign]
            findings.append(_other_instrument(part, key, "instrument", *names))
        unnamed = _maybe_unnamed(part, key, "client_order_id", (left, right), expected, observed)
        if unnamed:
            findings += unnamed
        elif left and right:
            findings += _order(key, left, right)
        else:
            reason: Reason = "only_expected" if left else "only_observed"
            sides = key if left else None, key if right else None
            findings.append(make_finding(reason, part, key, "client_order_id", *sides))
            findings += _unjudged_fields(key, left, "expected") + _unjudged_fields(key, right, "observed")
    return findings


def compare_balances(
    expected: Judged[Rows[Balance]],
    observed: Judged[Rows[Balance]],
    tolerances: Tolerances,
    scope: Scope = EVERYTHING,
) -> list[ReconciliationFinding]:
    """By asset; an asset that is not listed is zero."""
    part: Part = "balances"
    if isinstance(expected, Unjudged) or isinstance(observed, Unjudged):
        return _missing_part(part, expected, observed)
    findings = _defects(part, expected, observed)
    for key in _comparable_keys(expected, observed):
        rows = expected.by_key.get(key), observed.by_key.get(key)
        unnamed = _maybe_unnamed(part, key, "asset", rows, expected, observed)
        if unnamed:
            findings += unnamed
            continue
        left, right = (row or Balance(key, ZERO, ZERO, ZERO) for row in rows)
        for field in scope.balance_fields:
            values = getattr(left, field), getattr(right, field)
            findings += _field(part, key, field, *values, getattr(tolerances, field))
    return findings


def compare_freshness(
    expected: Snapshot, observed: Snapshot, limits: Limits, now_ns: int
) -> list[ReconciliationFinding]:
    """The age of each snapshot, and the time between them."""
    part: Part = "freshness"
    snapshots: tuple[tuple[Side, Snapshot], ...] = (("expected", expected), ("observed", observed))
    findings: list[ReconciliationFinding] = []
    for side, snapshot in snapshots:
        if isinstance(snapshot.as_of_ns, Unjudged):
            findings.append(_unjudged(part, "", "as_of", side, snapshot.as_of_ns))
            continue
        age_ns = now_ns - snapshot.as_of_ns
        reason, limit_seconds = _judge_age(age_ns, limits)
        findings.append(_time_finding(reason, "age", expected, observed, age_ns, limit_seconds, side))
    if isinstance(expected.as_of_ns, int) and isinstance(observed.as_of_ns, int):
        apart_ns = observed.as_of_ns - expected.as_of_ns
        limit_seconds = limits.max_apart_seconds
        reason = "too_far_apart" if abs(apart_ns) > limit_seconds * NS_PER_SECOND else "within_limit"
        findings.append(_time_finding(reason, "apart", expected, observed, apart_ns, limit_seconds, None))
    return findings


def _judge_age(age_ns: int, limits: Limits) -> tuple[Reason, int]:
    """(reason, the limit that applies, in seconds)."""
    if age_ns >= 0:
        is_old = age_ns > limits.max_age_seconds * NS_PER_SECOND
        return ("stale" if is_old else "within_limit"), limits.max_age_seconds
    is_early = -age_ns > limits.ahead_seconds * NS_PER_SECOND
    return ("in_future" if is_early else "clock_ahead"), limits.ahead_seconds


def _time_finding(
    reason: Reason,
    subject: str,
    expected: Snapshot,
    observed: Snapshot,
    span_ns: int,
    limit_seconds: int,
    side: Side | None,
) -> ReconciliationFinding:
    """side: the snapshot that the finding is about; None: both."""
    return make_finding(
        reason,
        "freshness",
        subject,
        "as_of",
        None if side == "observed" else expected.as_of,
        None if side == "expected" else observed.as_of,
        difference=seconds_text(span_ns),
        tolerance=str(limit_seconds),
        snapshot=side,
    )


def _entry_prices(
    key: str, left: Position, right: Position, tolerance: Decimal, rounding: Decimal
) -> list[ReconciliationFinding]:
    """Compared only while neither side is flat; otherwise the quantity shows the difference."""
    field = "average_entry_price"
    left_price, right_price = left.average_entry_price, right.average_entry_price
    if left_price is None or right_price is None:
        return _unjudged_sides("positions", key, field, left_price, right_price)
    if isinstance(left_price, Decimal) and isinstance(right_price, Decimal):
        distance = difference(left_price, right_price)
        if distance and distance.copy_abs() <= rounding:
            findings = _field("positions", key, field, left_price, right_price, rounding)
            equal = {"reason": "within_rounding", "state": "ok"}
            return [finding.model_copy(update=equal) for finding in findings]
    return _field("positions", key, field, left_price, right_price, tolerance)


def _order(key: str, left: OpenOrder, right: OpenOrder) -> list[ReconciliationFinding]:
    findings: list[ReconciliationFinding] = []
    values = zip(_ORDER_FIELDS, _order_values(left), _order_values(right), strict=True)
    for field, left_value, right_value in values:
        findings += _field("open_orders", key, field, left_value, right_value)
    return findings


def _unjudged_fields(key: str, order: OpenOrder | None, side: Side) -> list[ReconciliationFinding]:
    """The invalid values of an order that the other snapshot does not have."""
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
    part: Part, subject: str, field: str, left: Value, right: Value, tolerance: Decimal = ZERO
) -> list[ReconciliationFinding]:
    """Compare one field: one finding, or one for each side with an invalid value."""
    if isinstance(left, Unjudged) or isinstance(right, Unjudged):
        return _unjudged_sides(part, subject, field, left, right)
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        distance = difference(left, right)
        is_outside = distance.copy_abs() > tolerance
        reason: Reason = "equal" if not distance else "differs" if is_outside else "within_tolerance"
        distance_text, tolerance_text = text(distance), text(tolerance)
        return [
            make_finding(
                reason,
                part,
                subject,
                field,
                text(left),
                text(right),
                difference=distance_text,
                tolerance=tolerance_text,
            )
        ]
    return [make_finding("equal" if left == right else "differs", part, subject, field, _text(left), _text(right))]


def _unjudged_sides(part: Part, subject: str, field: str, left: Value, right: Value) -> list[ReconciliationFinding]:
    """One finding for each side with an invalid value, with the value of the other side."""
    findings: list[ReconciliationFinding] = []
    if isinstance(left, Unjudged):
        findings.append(_unjudged(part, subject, field, "expected", left, right))
    if isinstance(right, Unjudged):
        findings.append(_unjudged(part, subject, field, "observed", right, left))
    return findings


def _unjudged(
    part: Part, subject: str, field: str, side: Side, value: Unjudged, other: Value = None
) -> ReconciliationFinding:
    other_text = None if isinstance(other, Unjudged) else _text(other)
    values = (value.shown, other_text) if side == "expected" else (other_text, value.shown)
    return make_finding(value.reason, part, subject, field, *values, snapshot=side)


def _other_instrument(
    part: Part, key: str, field: str, expected: str | None, observed: str | None
) -> ReconciliationFinding:
    side: Side | None = None if expected and observed else "expected" if expected else "observed"
    return make_finding("other_instrument", part, key, field, expected, observed, snapshot=side)


def _missing_part[T](part: Part, expected: Judged[Rows[T]], observed: Judged[Rows[T]]) -> list[ReconciliationFinding]:
    sides: tuple[tuple[Side, Judged[Rows[T]]], ...] = (("expected", expected), ("observed", observed))
    findings = [_unjudged(part, "", part, side, rows) for side, rows in sides if isinstance(rows, Unjudged)]
    for side, rows in sides:  # the side that has the part may have defects
        if isinstance(rows, Rows):
            findings += _defects_of_side(part, side, rows)
    return findings


def _defects[T](part: Part, expected: Rows[T], observed: Rows[T]) -> list[ReconciliationFinding]:
    return [*_defects_of_side(part, "expected", expected), *_defects_of_side(part, "observed", observed)]


def _defects_of_side[T](part: Part, side: Side, rows: Rows[T]) -> list[ReconciliationFinding]:
    return [_unjudged(part, defect.subject, defect.field, side, defect.value) for defect in rows.defects]


def _comparable_keys[T](expected: Rows[T], observed: Rows[T], always: set[str] | None = None) -> Iterator[str]:
    """Sorted; without keys that a side has in several rows."""
    keys = expected.by_key.keys() | observed.by_key.keys() | (always or set())
    return iter(sorted(keys - expected.duplicates - observed.duplicates))


def _maybe_unnamed[T](
    part: Part, key: str, field: str, pair: Sequence[T | None], expected: Rows[T], observed: Rows[T]
) -> list[ReconciliationFinding]:
    """One finding for each side that lacks the row but has a row without a key, which may be this one."""
    keys = [key if row else None for row in pair]
    sides: tuple[tuple[Side, Rows[T]], ...] = (("expected", expected), ("observed", observed))
    return [
        make_finding("unnamed_row", part, key, field, *keys, snapshot=side)
        for (side, rows), row in zip(sides, pair, strict=True)
        if row is None and rows.has_unnamed
    ]


def _text(value: Decimal | str | None) -> str | None:
    return text(value) if isinstance(value, Decimal) else value
