"""What a reconciliation finds: its words, its findings, and the one result that they amount to."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from opslab.model.messages.ledger_events import Exact
from opslab.model.primitives.record import Record

State = Literal["ok", "warning", "mismatch", "unknown"]
Part = Literal["positions", "open_orders", "balances", "freshness"]
Side = Literal["expected", "observed"]
"""Which of the two snapshots."""
Occasion = Literal["startup", "periodic", "final", "heartbeat"]
"""Of a run: when its node was held against its venue; `heartbeat`: afterwards, as a heartbeat of its journal has it."""
Reason = Literal[
    "equal",
    "within_limit",
    "within_rounding",
    "within_tolerance",
    "clock_ahead",
    "in_flight",
    "pending",
    "moving",
    "no_answer",
    "differs",
    "only_expected",
    "only_observed",
    "missing",
    "wrong_type",
    "not_a_number",
    "unknown_value",
    "not_a_time",
    "out_of_bounds",
    "contradiction",
    "duplicate",
    "unnamed_row",
    "other_instrument",
    "stale",
    "in_future",
    "too_far_apart",
]

STATE_OF: dict[Reason, State] = {
    "equal": "ok",
    "within_limit": "ok",
    "within_rounding": "ok",
    "within_tolerance": "warning",
    "clock_ahead": "warning",
    "in_flight": "warning",
    "pending": "warning",
    "moving": "unknown",
    "no_answer": "unknown",
    "differs": "mismatch",
    "only_expected": "mismatch",
    "only_observed": "mismatch",
    "missing": "unknown",
    "wrong_type": "unknown",
    "not_a_number": "unknown",
    "unknown_value": "unknown",
    "not_a_time": "unknown",
    "out_of_bounds": "unknown",
    "contradiction": "unknown",
    "duplicate": "unknown",
    "unnamed_row": "unknown",
    "other_instrument": "unknown",
    "stale": "unknown",
    "in_future": "unknown",
    "too_far_apart": "unknown",
}
WORST_FIRST: tuple[State, ...] = ("mismatch", "unknown", "warning", "ok")
"""A difference that was seen stays one, whatever else could not be seen; what could not be seen is never fine."""
EXIT_CODES: dict[State, int] = {"ok": 0, "warning": 0, "mismatch": 1, "unknown": 3}

MAX_AGE_SECONDS = 300
MAX_APART_SECONDS = 60
AHEAD_SECONDS = 5
MAX_FINDINGS = 1_000
"""That are listed, worst first; all are counted."""
MAX_IN_FLIGHT = 100

_PARTS: tuple[Part, ...] = ("positions", "open_orders", "balances", "freshness")


class Tolerances(Record):
    """How far two amounts may be apart, absolute; every other field is compared exactly."""

    average_entry_price: Exact
    total: Exact
    free: Exact
    locked: Exact


DEFAULT_TOLERANCES = {
    "average_entry_price": "0.00001",
    "total": "0.00000001",
    "free": "0.00000001",
    "locked": "0.00000001",
}
"""What a venue's own rounding can make of a number: an average is written with five decimals, money with eight."""


class Limits(Record):
    max_age_seconds: int = MAX_AGE_SECONDS
    """How old a snapshot may be."""
    max_apart_seconds: int = MAX_APART_SECONDS
    """How far apart the two may have been taken."""
    ahead_seconds: int = AHEAD_SECONDS
    """How far a snapshot may be ahead of our clock."""
    tolerances: Tolerances = Tolerances.model_validate(DEFAULT_TOLERANCES)


class EarlierDifference(Record):
    """A difference as an earlier look saw it."""

    age_seconds: str
    """How long before the look that this result tells of."""
    expected: str | None
    observed: str | None
    difference: str | None


class ReconciliationFinding(Record):
    """One comparison, or one thing that cannot be compared. Numbers are text."""

    state: State
    part: Part
    subject: str
    """Instrument, client order id or asset; empty: the part as a whole."""
    field: str
    expected: str | None
    observed: str | None
    difference: str | None
    """`observed` less `expected`; of times, in seconds."""
    tolerance: str | None
    """What `difference` was held against; None: nothing could be, or only equality counts."""
    reason: Reason
    snapshot: Side | None
    """The one that the reason is about; None: both."""
    first_comparison: EarlierDifference | None = None


class SnapshotSummary(Record):
    """Which snapshot it was. Counts are of rows; None: that part is missing."""

    digest: str | None
    """None: there was no snapshot, nobody answered."""
    as_of: str | None
    positions: int | None
    open_orders: int | None
    balances: int | None


class InFlightItem(Record):
    """An order that waits for its answer, or a fill that just took place."""

    kind: Literal["order", "fill"]
    instrument: str
    client_order_id: str
    age_seconds: str


class ReconciliationResult(Record):
    """`reconciliation_result.json`."""

    reconciliation_version: Literal["v1"] = "v1"
    run_id: str
    instrument: str
    checked_at: str
    state: State
    expected: SnapshotSummary
    observed: SnapshotSummary
    limits: Limits
    counts: dict[State, int]
    """State to number of findings, those that are not listed included."""
    findings: tuple[ReconciliationFinding, ...]
    in_flight: tuple[InFlightItem, ...] = ()
    occasion: Occasion | None = None
    """None: of two files."""
    comparisons: int = 1
    """How often the two were looked at until this was known."""
    heartbeat: int | None = None
    """`seq` of the heartbeat in the run's journal."""
    not_compared: tuple[str, ...] = ()
    """Fields that one side cannot know, `part.field`: no finding is of them."""

    def summary(self) -> dict[str, Any]:
        """What the journal, the metadata and the report say of it."""
        first = self.findings[0] if self.state != "ok" and self.findings else None
        counts: Mapping[Any, int] = self.counts
        live: dict[str, Any] = {"occasion": self.occasion, "comparisons": self.comparisons} if self.occasion else {}
        if self.heartbeat is not None:
            live["heartbeat"] = self.heartbeat
        return {
            **live,
            "state": self.state,
            **counts,
            "expected_as_of": self.expected.as_of,
            "observed_as_of": self.observed.as_of,
            "expected_digest": self.expected.digest,
            "observed_digest": self.observed.digest,
            "first_finding": sentence(first) if first else None,
        }


def make_finding(
    reason: Reason,
    part: Part,
    subject: str,
    field: str,
    expected: str | None,
    observed: str | None,
    *,
    difference: str | None = None,
    tolerance: str | None = None,
    snapshot: Side | None = None,
) -> ReconciliationFinding:
    """A finding, with the state that its reason stands for."""
    return ReconciliationFinding(
        state=STATE_OF[reason],
        part=part,
        subject=subject,
        field=field,
        expected=expected,
        observed=observed,
        difference=difference,
        tolerance=tolerance,
        reason=reason,
        snapshot=snapshot,
    )


def worst(states: Iterable[State]) -> State:
    """`unknown` when there are none: nothing was compared."""
    found = set(states)
    return next((state for state in WORST_FIRST if state in found), "unknown")


def conclude(
    findings: Sequence[ReconciliationFinding],
    *,
    run_id: str,
    instrument: str,
    checked_at: str,
    expected: SnapshotSummary,
    observed: SnapshotSummary,
    limits: Limits,
    in_flight: Sequence[InFlightItem] = (),
    **more: Any,
) -> ReconciliationResult:
    """The result: worst state, counts, and the worst findings. more: `occasion`, `comparisons`, `heartbeat`,
    `not_compared`.
    """
    counted = Counter(one.state for one in findings)
    ordered = sorted(findings, key=_place)
    return ReconciliationResult(
        run_id=run_id,
        instrument=instrument,
        checked_at=checked_at,
        state=worst(counted),
        expected=expected,
        observed=observed,
        limits=limits,
        counts={state: counted[state] for state in WORST_FIRST},
        findings=tuple(ordered[:MAX_FINDINGS]),
        in_flight=tuple(in_flight[:MAX_IN_FLIGHT]),
        **more,
    )


def sentence(one: ReconciliationFinding) -> str:
    """`positions BTCUSDT signed_quantity: differs, expected 0.005, observed 0.007`."""
    place = " ".join(word for word in (one.part, one.subject, one.field) if word)
    about = f" in {one.snapshot}" if one.snapshot else ""
    sides = [f"{name} {value}" for name, value in (("expected", one.expected), ("observed", one.observed)) if value]
    return f"{place}: {', '.join([f'{one.reason}{about}', *sides])}"


def _place(one: ReconciliationFinding) -> tuple[int, int, str, str, str, str, str]:
    """Worst first, then by part; the rest settles the order of rows."""
    values = (one.expected or "", one.observed or "")
    return (WORST_FIRST.index(one.state), _PARTS.index(one.part), one.subject, one.field, one.snapshot or "", *values)
