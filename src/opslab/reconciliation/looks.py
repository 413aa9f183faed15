"""Two looks before a mismatch: for snapshots that are taken of something that moves.

Between two snapshots of a live account an order travels. So a difference counts as a mismatch only when a second look
sees it too; and while an order is in flight, or a fill is younger than the grace, what it may explain is not counted
at all. That excuse is given once: a difference that stays is counted when the grace of those that were in flight at
its first sight is over, however many are in flight by then.

For files one look decides; nothing here is called.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from opslab.model.instant import NS_PER_SECOND
from opslab.reconciliation.result import STATE_OF, Finding, InFlight, Look, Reason
from opslab.reconciliation.values import seconds_text

Key = tuple[str, str, str]
"""Part, subject, field."""


@dataclass(frozen=True, slots=True)
class Patience:
    grace_ns: int = 5 * NS_PER_SECOND
    """How long an order or a fill may take to be known on both sides."""
    gap_ns: int = 1 * NS_PER_SECOND
    """How far apart two looks must be to count as two."""


@dataclass(frozen=True, slots=True)
class Moving:
    """An order that waits for its answer, or a fill. `since_ns`: on the clock of the looks."""

    kind: Literal["order", "fill"]
    instrument: str
    client_order_id: str
    since_ns: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A difference that was there at every look since."""

    at_ns: int
    finding: Finding
    excused_until_ns: int | None
    """None: that look counts as the first."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What earlier looks saw and no later one cleared."""

    seen: Mapping[Key, Seen] = field(default_factory=dict)


def look(
    looks: Looks, findings: Sequence[Finding], moving: Iterable[Moving], now_ns: int, patience: Patience
) -> tuple[Looks, list[Finding]]:
    """One more look: what is to be remembered, and the findings, mismatches among them only where they are one.

    findings: as `compare` gives them. now_ns: of a clock that never jumps, and goes on while accounts do not.
    """
    young = [one for one in moving if 0 <= now_ns - one.since_ns < patience.grace_ns]
    kept = _not_judged(looks, findings)
    judged: list[Finding] = []
    for found in findings:
        if found.state != "mismatch":
            judged.append(found)
            continue
        seen = _seen(looks.seen.get(_key(found)), found, young, now_ns, patience)
        kept[_key(found)] = seen
        judged.append(_with_first_look(found, seen, now_ns, patience))
    return Looks(kept), judged


def in_flight(moving: Iterable[Moving], now_ns: int, patience: Patience) -> list[InFlight]:
    """What is younger than the grace, oldest first, for the result."""
    young = [one for one in moving if 0 <= now_ns - one.since_ns < patience.grace_ns]
    return [
        InFlight(
            kind=one.kind,
            instrument=one.instrument,
            client_order_id=one.client_order_id,
            age_seconds=seconds_text(now_ns - one.since_ns),
        )
        for one in sorted(young, key=lambda one: (one.since_ns, one.client_order_id))
    ]


def explains(moving: Moving, found: Finding) -> bool:
    """Whether a difference may come from it: its own order, its instrument's position, any balance."""
    if found.part == "open_orders":
        return found.subject == moving.client_order_id
    if found.part == "positions":
        return found.subject == moving.instrument
    return found.part == "balances"


def _seen(before: Seen | None, found: Finding, young: Sequence[Moving], now_ns: int, patience: Patience) -> Seen:
    if before is None:
        until = max((one.since_ns + patience.grace_ns for one in young if explains(one, found)), default=None)
        return Seen(now_ns, found, until)
    if before.excused_until_ns is not None and now_ns >= before.excused_until_ns:
        return Seen(now_ns, found, None)
    return before


def _with_first_look(found: Finding, seen: Seen, now_ns: int, patience: Patience) -> Finding:
    first = None
    if seen.at_ns < now_ns:
        before = seen.finding
        first = Look(
            age_seconds=seconds_text(now_ns - seen.at_ns),
            expected=before.expected,
            observed=before.observed,
            difference=before.difference,
        )
    reason: Reason = found.reason
    if seen.excused_until_ns is not None:
        reason = "in_flight"
    elif now_ns - seen.at_ns < patience.gap_ns or first is None:
        reason = "pending"
    return found.model_copy(update={"reason": reason, "state": STATE_OF[reason], "first_look": first})


def _not_judged(looks: Looks, findings: Sequence[Finding]) -> dict[Key, Seen]:
    """What this look could not see either way: it neither clears a difference nor confirms it."""
    judged = {_key(found) for found in findings if found.state != "unknown"}
    blind = {(found.part, found.subject) for found in findings if found.state == "unknown"}
    return {
        key: seen
        for key, seen in looks.seen.items()
        if key not in judged and ((key[0], "") in blind or (key[0], key[1]) in blind)
    }


def _key(found: Finding) -> Key:
    return (found.part, found.subject, found.field)
