"""Result of a reconciliation: states, reasons, findings, and the one result that they add up to."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from opslab.model.journal.check_events import ReconciliationChecked
from opslab.model.messages.ledger_events import ExactDecimal
from opslab.model.primitives.record import Record

State = Literal["ok", "warning", "mismatch", "unknown"]
Part = Literal["positions", "open_orders", "orders", "balances", "freshness"]
"""`orders`: all that the account ever had."""
Side = Literal["expected", "observed"]
"""One of the two snapshots."""
Occasion = Literal["startup", "periodic", "final", "heartbeat"]
"""When a run's node was compared with its venue; `heartbeat`: later, from a heartbeat in its journal."""
Reason = Literal[
    "equal",
    "within_limit",
    "within_rounding",
    "within_tolerance",
    "clock_ahead",
    "external_orders",
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
    "external_orders": "warning",
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
"""A mismatch stays one, whatever else is unknown; what is unknown is never ok."""
EXIT_CODES: dict[State, int] = {"ok": 0, "warning": 0, "mismatch": 1, "unknown": 3}

MAX_AGE_SECONDS = 300
MAX_APART_SECONDS = 60
AHEAD_SECONDS = 5
MAX_FINDINGS = 1_000
"""Findings that are listed, worst first; all are counted."""
MAX_IN_FLIGHT = 100

_PARTS: tuple[Part, ...] = ("positions", "open_orders", "orders", "balances", "freshness")


class Tolerances(Record):
    """Maximum absolute difference of two amounts; every other field is compared exactly."""

    average_entry_price: ExactDecimal
    total: ExactDecimal
    free: ExactDecimal
    locked: ExactDecimal


DEFAULT_TOLERANCES = {
    "average_entry_price": "0.00001",
    "total": "0.00000001",
    "free": "0.00000001",
    "locked": "0.00000001",
}
"""The rounding of a venue: it writes an average price with five decimals, an amount of money with eight."""


class Limits(Record):
    max_age_seconds: int = MAX_AGE_SECONDS
    """Maximum age of a snapshot."""
    max_apart_seconds: int = MAX_APART_SECONDS
    """Maximum time between the two snapshots."""
    ahead_seconds: int = AHEAD_SECONDS
    """Maximum time that a snapshot may be ahead of this machine's clock."""
    tolerances: Tolerances = Tolerances.model_validate(DEFAULT_TOLERANCES)


class EarlierDifference(Record):
    """A difference as an earlier comparison found it."""

    age_seconds: str
    """Time before the comparison that this result describes."""
    expected: str | None
    observed: str | None
    difference: str | None


class ReconciliationFinding(Record):
    """One comparison, or one value that cannot be compared. Numbers are text."""

    state: State
    part: Part
    subject: str
    """Instrument, client order id or asset; empty: the part as a whole."""
    field: str
    expected: str | None
    observed: str | None
    difference: str | None
    """`observed` minus `expected`; in seconds for times."""
    tolerance: str | None
    """The limit for `difference`; None: not compared, or only equality counts."""
    reason: Reason
    snapshot: Side | None
    """The snapshot that the reason is about; None: both."""
    first_comparison: EarlierDifference | None = None


class SnapshotSummary(Record):
    """Identity of a snapshot. Counts are numbers of rows; None: that part is missing."""

    digest: str | None
    """None: there was no snapshot, the side did not answer."""
    as_of: str | None
    positions: int | None
    open_orders: int | None
    balances: int | None


class InFlightItem(Record):
    """An order that waits for its answer, or a recent fill."""

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
    """State to number of findings, including those that are not listed."""
    findings: tuple[ReconciliationFinding, ...]
    in_flight: tuple[InFlightItem, ...] = ()
    occasion: Occasion | None = None
    """None: two files were compared."""
    comparisons: int = 1
    """Number of comparisons until this result."""
    heartbeat: int | None = None
    """`seq` of the heartbeat in the run's journal."""
    not_compared: tuple[str, ...] = ()
    """Fields that one side cannot know, as `part.field`; they have no finding."""

    def event(self) -> ReconciliationChecked:
        """The summary for the journal, the metadata and the report; it has no file yet."""
        first = self.findings[0] if self.state != "ok" and self.findings else None
        event = ReconciliationChecked(
            state=self.state,
            mismatch=self.counts["mismatch"],
            unknown=self.counts["unknown"],
            warning=self.counts["warning"],
            ok=self.counts["ok"],
            expected_as_of=self.expected.as_of,
            observed_as_of=self.observed.as_of,
            expected_digest=self.expected.digest,
            observed_digest=self.observed.digest,
            first_finding=sentence(first) if first else None,
        )
        live: dict[str, object] = {"heartbeat": self.heartbeat} if self.heartbeat is not None else {}
        if self.occasion:
            live |= {"occasion": self.occasion, "comparisons": self.comparisons}
        return event.model_copy(update=live)


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
    """A finding, with the state of its reason."""
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
    present = set(states)
    return next((state for state in WORST_FIRST if state in present), "unknown")


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
    counted = Counter(finding.state for finding in findings)
    ordered = sorted(findings, key=_rank)
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


def sentence(finding: ReconciliationFinding) -> str:
    """`positions BTCUSDT signed_quantity: differs, expected 0.005, observed 0.007`."""
    location = " ".join(name for name in (finding.part, finding.subject, finding.field) if name)
    reason = f"{finding.reason} in {finding.snapshot}" if finding.snapshot else finding.reason
    values = (("expected", finding.expected), ("observed", finding.observed))
    return f"{location}: {', '.join([reason, *(f'{side} {value}' for side, value in values if value)])}"


def _rank(finding: ReconciliationFinding) -> tuple[int, int, str, str, str, str, str]:
    """Worst first, then by part; the other fields make the order of rows unique."""
    return (
        WORST_FIRST.index(finding.state),
        _PARTS.index(finding.part),
        finding.subject,
        finding.field,
        finding.snapshot or "",
        finding.expected or "",
        finding.observed or "",
    )
