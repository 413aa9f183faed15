"""Confirm differences between live snapshots of an account: two comparisons before a mismatch.

Orders travel between two snapshots of a live account. Therefore:

- A difference is a mismatch only after a second comparison found it too.
- While an order is in flight, or a fill is younger than the grace time, a difference that it may explain is excused.
  The excuse is given once: a difference that stays counts after the grace time of what was in flight at its first
  comparison, whatever is in flight by then. A recent change at the venue has the same grace time: the node may not
  have received it yet.
- A comparison confirms a difference only where the venue was at rest: while an account trades, every comparison may
  find another difference in the same field.
- A difference of which both sides have changed starts again. If the distance between the sides stayed the same, it
  needs `MIN_CONFIRMATIONS` comparisons.
- A difference that never disappears and never rests ends as `moving`, which is unknown.

Two files need one comparison; they do not use this module.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from opslab.model.primitives.instant import NS_PER_SECOND
from opslab.reconciliation.result import (
    STATE_OF,
    EarlierDifference,
    InFlightItem,
    Part,
    Reason,
    ReconciliationFinding,
)
from opslab.reconciliation.values import seconds_text

Key = tuple[Part, str, str]
"""Part, subject, field."""
MIN_CONFIRMATIONS = 5
"""Comparisons that find the same distance while both sides change: the quantity in flight is not constant."""


@dataclass(frozen=True, slots=True)
class TimeTolerances:
    grace_ns: int = 5 * NS_PER_SECOND
    """Time within which both sides must know an order or a fill."""
    min_interval_ns: int = 1 * NS_PER_SECOND
    """Minimum interval between two comparisons that count as two."""

    @property
    def total_ns(self) -> int:
        """After this time a difference that stays has been decided."""
        return self.grace_ns + self.min_interval_ns


@dataclass(frozen=True, slots=True)
class InFlight:
    """An order that waits for its answer, or a fill. `since_ns`: on the clock of the comparisons."""

    kind: Literal["order", "fill"]
    instrument: str
    client_order_id: str
    since_ns: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The values that a field belongs to and changes with: an order, or position and wallet together."""

    expected: Hashable
    observed: Hashable
    observed_changed_ns: int | None = None
    """Last known change of the observed values; None: not tracked."""
    is_at_rest: bool = True
    """Whether the observed values were at rest at the comparison."""


@dataclass(frozen=True, slots=True)
class PendingDifference:
    """A difference that every comparison since `first_ns` has found."""

    first_ns: int
    """The comparison that counts as the first."""
    finding: ReconciliationFinding | None
    """None: the field agreed since, but its aggregate did not."""
    excused_until_ns: int | None
    """None: not excused, the comparison at `first_ns` counts."""
    differs_since_ns: int
    """First difference of this field, by any value, or of its aggregate, which has not agreed since."""
    aggregate: Aggregate
    count: int = 1
    """Comparisons that found it, without those during which the observed side was not at rest."""
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class PendingDifferences:
    """Differences that earlier comparisons found and no later one cleared."""

    by_key: Mapping[Key, PendingDifference] = field(default_factory=dict)


def _field_alone(finding: ReconciliationFinding) -> Aggregate:
    return Aggregate(finding.expected, finding.observed)


def confirm(
    pending: PendingDifferences,
    findings: Sequence[ReconciliationFinding],
    in_flight: Iterable[InFlight],
    now_ns: int,
    tolerances: TimeTolerances,
    aggregate_of: Callable[[ReconciliationFinding], Aggregate] = _field_alone,
    differing_parts: Mapping[Part, Aggregate] | None = None,
) -> tuple[PendingDifferences, list[ReconciliationFinding]]:
    """Apply one more comparison: the differences still pending, and the findings with mismatches only where confirmed.

    Args:
        findings: as `compare` returns them.
        now_ns: of a monotonic clock that continues while the accounts do not.
        differing_parts: parts that agree only as an aggregate, and differ now: if one field agrees, that is chance.
    """
    young = [item for item in in_flight if 0 <= now_ns - item.since_ns < tolerances.grace_ns]
    remaining = _not_comparable(pending, findings)
    for key, earlier in pending.by_key.items():
        aggregate = differing_parts.get(key[0]) if differing_parts else None
        if aggregate:
            remaining[key] = replace(earlier, finding=None, confirmed=False) if aggregate.is_at_rest else earlier
    parts = differing_parts or {}
    differs_since_ns = min(
        (each.differs_since_ns for key, each in remaining.items() if key[0] in parts), default=now_ns
    )
    judged: list[ReconciliationFinding] = []
    for finding in findings:
        if finding.state != "mismatch":
            judged.append(finding)
            continue
        known = pending.by_key.get(_key(finding))
        if known is None:
            difference = _new_difference(finding, aggregate_of(finding), young, now_ns, tolerances)
            if finding.part in parts:
                difference = replace(difference, differs_since_ns=differs_since_ns)
        else:
            difference = _repeated_difference(known, finding, aggregate_of(finding), now_ns, tolerances)
        remaining[_key(finding)] = difference
        judged.append(_with_first_comparison(finding, difference, now_ns))
    return PendingDifferences(remaining), judged


def mark_moving(
    pending: PendingDifferences, findings: Sequence[ReconciliationFinding], since_ns: int
) -> list[ReconciliationFinding]:
    """After the last comparison: an unconfirmed difference that exists since `since_ns` or longer becomes `moving`.

    findings: of the last comparison.
    """
    marked: list[ReconciliationFinding] = []
    for finding in findings:
        difference = pending.by_key.get(_key(finding))
        is_unconfirmed = finding.reason in ("pending", "in_flight")
        if is_unconfirmed and difference and difference.differs_since_ns <= since_ns:
            finding = finding.model_copy(update={"reason": "moving", "state": STATE_OF["moving"]})
        marked.append(finding)
    return marked


def in_flight_items(in_flight: Iterable[InFlight], now_ns: int, tolerances: TimeTolerances) -> list[InFlightItem]:
    """The orders and fills younger than the grace time, oldest first, as the result lists them."""
    young = [item for item in in_flight if 0 <= now_ns - item.since_ns < tolerances.grace_ns]
    return [
        InFlightItem(
            kind=item.kind,
            instrument=item.instrument,
            client_order_id=item.client_order_id,
            age_seconds=seconds_text(now_ns - item.since_ns),
        )
        for item in sorted(young, key=lambda item: (item.since_ns, item.client_order_id))
    ]


def may_explain(item: InFlight, finding: ReconciliationFinding) -> bool:
    """Whether an order or fill may cause a difference: in its own order, its instrument's position, any balance."""
    if finding.part == "open_orders":
        return finding.subject == item.client_order_id
    if finding.part == "positions":
        return finding.subject == item.instrument
    return finding.part == "balances"


def _new_difference(
    finding: ReconciliationFinding,
    aggregate: Aggregate,
    young: Sequence[InFlight],
    now_ns: int,
    tolerances: TimeTolerances,
) -> PendingDifference:
    causes_ns = [item.since_ns for item in young if may_explain(item, finding)]
    if aggregate.observed_changed_ns is not None and now_ns - aggregate.observed_changed_ns < tolerances.grace_ns:
        causes_ns.append(aggregate.observed_changed_ns)
    excused_until_ns = max(causes_ns) + tolerances.grace_ns if causes_ns else None
    return PendingDifference(now_ns, finding, excused_until_ns, now_ns, aggregate)


def _repeated_difference(
    earlier: PendingDifference,
    finding: ReconciliationFinding,
    aggregate: Aggregate,
    now_ns: int,
    tolerances: TimeTolerances,
) -> PendingDifference:
    if not aggregate.is_at_rest:
        return earlier
    one_side_stayed = (
        earlier.aggregate.expected == aggregate.expected or earlier.aggregate.observed == aggregate.observed
    )
    same_distance = earlier.finding is not None and finding.difference == earlier.finding.difference is not None
    if earlier.finding is None or not (one_side_stayed or same_distance):
        excused_until_ns = now_ns + tolerances.grace_ns
        return PendingDifference(now_ns, finding, excused_until_ns, earlier.differs_since_ns, aggregate)
    count = earlier.count + 1
    if earlier.excused_until_ns is not None:
        if now_ns < earlier.excused_until_ns:
            return replace(earlier, count=count)
        return replace(earlier, first_ns=now_ns, finding=finding, excused_until_ns=None, count=count)
    is_second = now_ns - earlier.first_ns >= tolerances.min_interval_ns
    confirmed = is_second and (one_side_stayed or count >= MIN_CONFIRMATIONS)
    return replace(earlier, count=count, confirmed=earlier.confirmed or confirmed)


def _with_first_comparison(
    finding: ReconciliationFinding, difference: PendingDifference, now_ns: int
) -> ReconciliationFinding:
    first = None
    earlier = difference.finding
    if earlier and difference.first_ns < now_ns:
        first = EarlierDifference(
            age_seconds=seconds_text(now_ns - difference.first_ns),
            expected=earlier.expected,
            observed=earlier.observed,
            difference=earlier.difference,
        )
    reason: Reason = finding.reason
    if difference.excused_until_ns is not None:
        reason = "in_flight"
    elif not difference.confirmed:
        reason = "pending"
    return finding.model_copy(update={"reason": reason, "state": STATE_OF[reason], "first_comparison": first})


def _not_comparable(
    pending: PendingDifferences, findings: Sequence[ReconciliationFinding]
) -> dict[Key, PendingDifference]:
    """Differences whose values this comparison could not judge: it neither clears nor confirms them."""
    judged = {_key(finding) for finding in findings if finding.state != "unknown"}
    unknown = {(finding.part, finding.subject) for finding in findings if finding.state == "unknown"}
    return {
        key: difference
        for key, difference in pending.by_key.items()
        if key not in judged and ((key[0], "") in unknown or (key[0], key[1]) in unknown)
    }


def _key(finding: ReconciliationFinding) -> Key:
    return (finding.part, finding.subject, finding.field)
