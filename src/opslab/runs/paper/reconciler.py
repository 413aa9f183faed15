"""Reconciliation of a run that runs: what its node believes is held against what its venue says.

Control's loop drives it, and is never held up: `turn` asks, looks, and comes back at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from opslab.model.messages.paper_messages import AccountSnapshot, NodeSnapshot
from opslab.model.primitives.instant import NS_PER_MS, NS_PER_SECOND, iso
from opslab.model.run.metadata import RunMetadata
from opslab.ports import Clock
from opslab.reconciliation.account_snapshots import NOT_COMPARED
from opslab.reconciliation.confirmation import TimeTolerances
from opslab.reconciliation.result import Limits, ReconciliationResult, Side, conclude
from opslab.reconciliation.tracker import ComparisonResult, SnapshotPair, Tracker, unanswered
from opslab.runs.checks.check_results import RECONCILIATION, record_check_as_owner
from opslab.runs.record.run_journal import RunLog

LiveOccasion = Literal["startup", "periodic", "final"]

ANSWER_NS = 3 * NS_PER_SECOND
"""How long the node may take to answer, and the venue to be reached."""
RUSH_NS = 50 * NS_PER_MS
RUSH = 10
"""So many looks follow one another fast: an order that travels has mostly arrived by then."""
CALM_NS = (110 * NS_PER_MS, 130 * NS_PER_MS, 370 * NS_PER_MS)
"""Then slower, in threes, so that what rests for a tenth of a second is seen to; and in step with no second."""
PERIODIC_NS = 8 * NS_PER_SECOND
"""Patience, and a look or two: longer than any difference that stays."""
FINAL_NS = 16 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class FinishedReconciliation:
    occasion: LiveOccasion
    result: ReconciliationResult


@dataclass(slots=True)
class _Occasion:
    """One that is under way."""

    name: LiveOccasion
    began_ns: int
    next_ns: int
    looks: int = 0
    looked: ComparisonResult | None = None
    asked_ns: int | None = None
    """When the node was asked for what it has not told yet."""
    before: AccountSnapshot | None = None
    silent_ns: int | None = None
    """Since when the venue could not be reached."""


class LiveReconciler:
    """`begin`, then `turn` until something is finished; `took` and `heard` whatever comes in between.

    Each occasion looks until nothing is open any more, mostly once, and at most for `PERIODIC_NS` or `FINAL_NS`.
    """

    def __init__(
        self,
        run_id: str,
        instrument: str,
        ask: Callable[[int], None],
        statement: Callable[[], AccountSnapshot | None],
        clock: Clock,
        limits: Limits | None = None,
        patience: TimeTolerances | None = None,
    ) -> None:
        """instrument: as the venue writes it. ask: sends the node the word for snapshot n. statement: None when it
        cannot be had; it must come back soon, for everything else waits for it.
        """
        self._run_id = run_id
        self._instrument = instrument
        self._ask = ask
        self._statement = statement
        self._clock = clock
        self._limits = limits or Limits()
        self._patience = patience or TimeTolerances()
        self._watch = Tracker(instrument, self._limits, self._patience)
        self._occasion: _Occasion | None = None
        self._asked = 0
        self._answer: tuple[NodeSnapshot, int] | None = None
        self._last: tuple[NodeSnapshot, int] | None = None
        """Of a node that has ended its work: it cannot be asked any more."""
        self._gone = False

    @property
    def is_busy(self) -> bool:
        return self._occasion is not None

    def start(self, occasion: LiveOccasion) -> bool:
        """Whether it began: a periodic one does not while another is under way, the others take its place.

        `startup` is of a new node, `final` of one that may have told its last snapshot.
        """
        if occasion == "periodic" and self._occasion:
            return False
        if occasion == "startup":
            self._gone, self._last = False, None
        self._answer = None
        self._watch.begin(self._last[1] if self._last else None)
        now_ns = self._now_ns()
        self._occasion = _Occasion(occasion, now_ns, now_ns)
        return True

    def add_snapshot(self, snapshot: NodeSnapshot) -> None:
        """A snapshot that the node was asked for, or its last one; not those in its beats."""
        if snapshot.request_number == 0:
            self._last = snapshot, self._now_ns()
            self._watch.begin(self._last[1])
        elif snapshot.request_number == self._asked:
            self._answer = snapshot, self._now_ns()

    def add_statement(self, statement: AccountSnapshot) -> None:
        """What the venue said to somebody else in control: what is known to have been at rest is judged sooner."""
        self._watch.heard(statement, self._now_ns())

    def node_stopped(self) -> None:
        """It will answer nothing any more, until a `startup`."""
        self._gone = True

    def wait_seconds(self) -> float | None:
        """Until `turn` has something to do; sooner when a snapshot comes. None: nothing is under way."""
        if self._occasion is None:
            return None
        at_ns = self._occasion.next_ns
        if self._occasion.asked_ns is not None:
            at_ns = self._occasion.asked_ns + ANSWER_NS
        return max(0, at_ns - self._now_ns()) / NS_PER_SECOND

    def advance(self) -> FinishedReconciliation | None:
        """Do what is due. What came out, when something did."""
        occasion = self._occasion
        if occasion is None:
            return None
        finished = self._turn(occasion)
        if finished:
            self._occasion = None
        return finished

    def _turn(self, occasion: _Occasion) -> FinishedReconciliation | None:
        now_ns = self._now_ns()
        if self._last is None and self._gone:
            return self._unanswered(occasion, "expected")
        if occasion.asked_ns is not None:
            if self._last or self._answer:
                return self._look(occasion)
            return self._unanswered(occasion, "expected") if now_ns - occasion.asked_ns >= ANSWER_NS else None
        if now_ns < occasion.next_ns:
            return None
        statement = self._said(occasion)
        if statement is None:
            return self._without_venue(occasion)
        occasion.before, occasion.asked_ns, self._answer = statement, now_ns, None
        if self._last:
            return self._look(occasion)
        self._asked += 1
        self._ask(self._asked)
        return None

    def _look(self, occasion: _Occasion) -> FinishedReconciliation | None:
        """The node has told what it has."""
        told = self._last or self._answer
        assert told is not None
        statement = self._said(occasion)
        if statement is None:
            return self._without_venue(occasion)
        before = None if self._last else occasion.before
        now_ns = self._now_ns()
        occasion.asked_ns, occasion.before, self._answer = None, None, None
        occasion.looked = self._watch.look(SnapshotPair(*told, before, statement), now_ns, self._clock.now_ns())
        occasion.looks += 1
        spent_ns = now_ns - occasion.began_ns
        can_change = occasion.looked.is_open or (occasion.looked.state == "unknown" and spent_ns < ANSWER_NS)
        if not can_change:
            return self._finished(occasion, occasion.looked)
        if spent_ns >= (FINAL_NS if occasion.name == "final" else PERIODIC_NS):
            return self._finished(
                occasion, self._watch.give_up(occasion.looked, now_ns, everything=occasion.name == "final")
            )
        calm = occasion.looks - RUSH
        occasion.next_ns = now_ns + (RUSH_NS if calm < 0 else CALM_NS[calm % len(CALM_NS)])
        return None

    def _said(self, occasion: _Occasion) -> AccountSnapshot | None:
        statement = self._statement()
        if statement is not None:
            occasion.silent_ns = None
            self._watch.heard(statement, self._now_ns())
        return statement

    def _without_venue(self, occasion: _Occasion) -> FinishedReconciliation | None:
        now_ns = self._now_ns()
        occasion.silent_ns = now_ns if occasion.silent_ns is None else occasion.silent_ns
        occasion.asked_ns, occasion.next_ns = None, now_ns + CALM_NS[0]
        return self._unanswered(occasion, "observed") if now_ns - occasion.silent_ns >= ANSWER_NS else None

    def _unanswered(self, occasion: _Occasion, side: Side) -> FinishedReconciliation:
        """Nothing could be held against anything."""
        if side == "expected":
            return self._finished(occasion, unanswered(side, None, occasion.before))
        told = self._last or self._answer
        return self._finished(occasion, unanswered(side, told[0] if told else None, None))

    def _finished(self, occasion: _Occasion, looked: ComparisonResult) -> FinishedReconciliation:
        result = conclude(
            looked.findings,
            run_id=self._run_id,
            instrument=self._instrument,
            checked_at=iso(self._clock.now_ns()),
            expected=looked.expected,
            observed=looked.observed,
            limits=self._limits,
            in_flight=looked.in_flight,
            occasion=occasion.name,
            comparisons=occasion.looks,
            not_compared=NOT_COMPARED,
        )
        return FinishedReconciliation(occasion.name, result)

    def _now_ns(self) -> int:
        return int(self._clock.monotonic_s() * NS_PER_SECOND)


def record_reconciliation(folder: Path, log: RunLog, finished: FinishedReconciliation) -> RunMetadata:
    """Tell the run's journal. A periodic one that found nothing wrong leaves an event and no file: a day has 8,640."""
    result = finished.result
    is_kept = finished.occasion != "periodic" or result.state not in ("ok", "warning")
    document = result.model_dump(mode="json") if is_kept else None
    record_check_as_owner(folder, log, RECONCILIATION, result.summary(), document)
    return log.metadata
