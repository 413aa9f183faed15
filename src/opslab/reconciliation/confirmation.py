"""Two looks before a mismatch: for snapshots that are taken of something that moves.

Between two snapshots of a live account an order travels. So a difference counts as a mismatch only when a second look
sees it too; and while an order is in flight, or a fill is younger than the grace, what it may explain is not counted
at all. That excuse is given once: a difference that stays is counted when the grace of those that were in flight at
its first sight is over, however many are in flight by then. What the venue did just now has the same grace: the node
may not have heard of it.

While an account trades, every look may see another difference in the same field. So a look confirms only where the
venue had been at rest. A difference of which both sides have moved on begins anew; or, when the distance between them
stayed, it needs `MANY` looks. What never agrees and never rests is `moving` in the end: nobody can say.

For files one look decides; nothing here is called.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from opslab.model.primitives.instant import NS_PER_SECOND
from opslab.reconciliation.result import STATE_OF, EarlierDifference, InFlightItem, Part, Reason, ReconciliationFinding
from opslab.reconciliation.values import seconds_text

Key = tuple[Part, str, str]
"""Part, subject, field."""
MIN_CONFIRMATIONS = 5
"""Looks that agree on a difference though both sides move: what travels is not always as much."""


@dataclass(frozen=True, slots=True)
class TimeTolerances:
    grace_ns: int = 5 * NS_PER_SECOND
    """How long an order or a fill may take to be known on both sides."""
    gap_ns: int = 1 * NS_PER_SECOND
    """How far apart two looks must be to count as two."""

    @property
    def whole_ns(self) -> int:
        """After which a difference that stays has come out."""
        return self.grace_ns + self.gap_ns


@dataclass(frozen=True, slots=True)
class InFlight:
    """An order that waits for its answer, or a fill. `since_ns`: on the clock of the looks."""

    kind: Literal["order", "fill"]
    instrument: str
    client_order_id: str
    since_ns: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What a difference is part of, and moves with: an order, or position and wallet together."""

    expected: Hashable
    observed: Hashable
    moved_ns: int | None = None
    """When the observed one last moved, as far as that is known; None: nobody watched it."""
    settled: bool = True
    """Whether the observed one had been at rest when it was looked at."""


@dataclass(frozen=True, slots=True)
class PendingDifference:
    """A difference that was there at every look since."""

    at_ns: int
    make_finding: ReconciliationFinding | None
    """None: the field agreed since, and what it is part of did not."""
    excused_until_ns: int | None
    """None: that look counts as the first."""
    since_ns: int
    """When this field was first seen to differ, whatever it was by; no look since saw all of it agree."""
    whole: Aggregate
    count: int = 1
    """Looks that saw it, those aside at which the observed side had not been at rest."""
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class PendingDifferences:
    """What earlier looks saw and no later one cleared."""

    seen: Mapping[Key, PendingDifference] = field(default_factory=dict)


def _alone(found: ReconciliationFinding) -> Aggregate:
    return Aggregate(found.expected, found.observed)


def look(
    looks: PendingDifferences,
    findings: Sequence[ReconciliationFinding],
    moving: Iterable[InFlight],
    now_ns: int,
    patience: TimeTolerances,
    whole: Callable[[ReconciliationFinding], Aggregate] = _alone,
    together: Mapping[Part, Aggregate] | None = None,
) -> tuple[PendingDifferences, list[ReconciliationFinding]]:
    """One more look: what is to be remembered, and the findings, mismatches among them only where they are one.

    findings: as `compare` gives them. now_ns: of a clock that never jumps, and goes on while accounts do not.
    together: parts that agree as a whole or not at all, and do not: that one field of them agrees is chance.
    """
    young = [one for one in moving if 0 <= now_ns - one.since_ns < patience.grace_ns]
    kept = _not_judged(looks, findings)
    for key, before in looks.seen.items():
        part = together.get(key[0]) if together else None
        if part:
            kept[key] = replace(before, make_finding=None, confirmed=False) if part.settled else before
    judged: list[ReconciliationFinding] = []
    for found in findings:
        if found.state != "mismatch":
            judged.append(found)
            continue
        known = looks.seen.get(_key(found))
        if known is None:
            seen = _first_seen(found, whole(found), young, now_ns, patience)
        else:
            seen = _seen_again(known, found, whole(found), now_ns, patience)
        kept[_key(found)] = seen
        judged.append(_with_first_comparison(found, seen, now_ns))
    return PendingDifferences(kept), judged


def give_up(
    looks: PendingDifferences, findings: Sequence[ReconciliationFinding], since_ns: int
) -> list[ReconciliationFinding]:
    """No look follows: what differed since then or before and is no mismatch cannot be known.

    findings: of the last look.
    """
    told: list[ReconciliationFinding] = []
    for found in findings:
        seen = looks.seen.get(_key(found))
        if found.reason in ("pending", "in_flight") and seen and seen.since_ns <= since_ns:
            found = found.model_copy(update={"reason": "moving", "state": STATE_OF["moving"]})
        told.append(found)
    return told


def in_flight(moving: Iterable[InFlight], now_ns: int, patience: TimeTolerances) -> list[InFlightItem]:
    """What is younger than the grace, oldest first, for the result."""
    young = [one for one in moving if 0 <= now_ns - one.since_ns < patience.grace_ns]
    return [
        InFlightItem(
            kind=one.kind,
            instrument=one.instrument,
            client_order_id=one.client_order_id,
            age_seconds=seconds_text(now_ns - one.since_ns),
        )
        for one in sorted(young, key=lambda one: (one.since_ns, one.client_order_id))
    ]


def explains(moving: InFlight, found: ReconciliationFinding) -> bool:
    """Whether a difference may come from it: its own order, its instrument's position, any balance."""
    if found.part == "open_orders":
        return found.subject == moving.client_order_id
    if found.part == "positions":
        return found.subject == moving.instrument
    return found.part == "balances"


def _first_seen(
    found: ReconciliationFinding, whole: Aggregate, young: Sequence[InFlight], now_ns: int, patience: TimeTolerances
) -> PendingDifference:
    moves = [one.since_ns for one in young if explains(one, found)]
    if whole.moved_ns is not None and now_ns - whole.moved_ns < patience.grace_ns:
        moves.append(whole.moved_ns)
    until = max(moves) + patience.grace_ns if moves else None
    return PendingDifference(now_ns, found, until, now_ns, whole)


def _seen_again(
    before: PendingDifference, found: ReconciliationFinding, whole: Aggregate, now_ns: int, patience: TimeTolerances
) -> PendingDifference:
    if not whole.settled:
        return before
    stayed = before.whole.expected == whole.expected or before.whole.observed == whole.observed
    same_distance = before.make_finding is not None and found.difference == before.make_finding.difference is not None
    if before.make_finding is None or not (stayed or same_distance):
        return PendingDifference(now_ns, found, now_ns + patience.grace_ns, before.since_ns, whole)
    count = before.count + 1
    if before.excused_until_ns is not None:
        if now_ns < before.excused_until_ns:
            return replace(before, count=count)
        return replace(before, at_ns=now_ns, make_finding=found, excused_until_ns=None, count=count)
    confirmed = now_ns - before.at_ns >= patience.gap_ns and (stayed or count >= MIN_CONFIRMATIONS)
    return replace(before, count=count, confirmed=before.confirmed or confirmed)


def _with_first_comparison(found: ReconciliationFinding, seen: PendingDifference, now_ns: int) -> ReconciliationFinding:
    first, before = None, seen.make_finding
    if before and seen.at_ns < now_ns:
        first = EarlierDifference(
            age_seconds=seconds_text(now_ns - seen.at_ns),
            expected=before.expected,
            observed=before.observed,
            difference=before.difference,
        )
    reason: Reason = found.reason
    if seen.excused_until_ns is not None:
        reason = "in_flight"
    elif not seen.confirmed:
        reason = "pending"
    return found.model_copy(update={"reason": reason, "state": STATE_OF[reason], "first_comparison": first})


def _not_judged(looks: PendingDifferences, findings: Sequence[ReconciliationFinding]) -> dict[Key, PendingDifference]:
    """What this look could not see either way: it neither clears a difference nor confirms it."""
    judged = {_key(found) for found in findings if found.state != "unknown"}
    blind = {(found.part, found.subject) for found in findings if found.state == "unknown"}
    return {
        key: seen
        for key, seen in looks.seen.items()
        if key not in judged and ((key[0], "") in blind or (key[0], key[1]) in blind)
    }


def _key(found: ReconciliationFinding) -> Key:
    return (found.part, found.subject, found.field)
