"""Reconcile a running paper run: compare the account as its node has it with its venue's.

Control's loop drives it and never waits for it: `advance` does what is due and returns at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from opslab.model.messages.paper_messages import AccountSnapshot, NodeSnapshot
from opslab.model.primitives.instant import NS_PER_MS, NS_PER_SECOND, iso
from opslab.ports import Clock
from opslab.reconciliation.account_snapshots import NOT_COMPARED
from opslab.reconciliation.confirmation import TimeTolerances
from opslab.reconciliation.result import Limits, ReconciliationResult, Side, conclude
from opslab.reconciliation.tracker import ComparisonResult, SnapshotPair, Tracker, no_answer
from opslab.runs.checks.check_results import record_check_as_owner
from opslab.runs.checks.reconciliation import check_result
from opslab.runs.record.run_journal import RunJournal

LiveOccasion = Literal["startup", "periodic", "final"]

ANSWER_NS = 3 * NS_PER_SECOND
"""Time limit for the node to answer, and for the venue to be reached."""
FAST_POLL_NS = 50 * NS_PER_MS
FAST_POLLS = 10
"""The first comparisons follow each other fast: most orders in flight arrive within them."""
SLOW_POLL_NS = (110 * NS_PER_MS, 130 * NS_PER_MS, 370 * NS_PER_MS)
"""Then slower, in cycles of three intervals, so that an account that rests for a tenth of a second is seen at rest; the
cycle is out of step with whole seconds."""
PERIODIC_NS = 8 * NS_PER_SECOND
"""The time tolerances and one or two comparisons: longer than any difference that stays."""
FINAL_NS = 16 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class FinishedReconciliation:
    occasion: LiveOccasion
    result: ReconciliationResult


@dataclass(slots=True)
class _Active:
    """The reconciliation in progress."""

    occasion: LiveOccasion
    started_ns: int
    next_ns: int
    comparisons: int = 0
    last: ComparisonResult | None = None
    requested_ns: int | None = None
    """When the node was asked for a snapshot that it has not sent yet."""
    before: AccountSnapshot | None = None
    venue_lost_ns: int | None = None
    """Since when the venue could not be reached."""


class LiveReconciler:
    """Call `start`, then `advance` until it returns a result; add each snapshot that arrives in between.

    A reconciliation compares until no finding is open, usually once, and for at most `PERIODIC_NS` or `FINAL_NS`.
    """

    def __init__(
        self,
        run_id: str,
        instrument: str,
        request_node_snapshot: Callable[[int], None],
        read_venue_snapshot: Callable[[], AccountSnapshot | None],
        clock: Clock,
        limits: Limits | None = None,
    ) -> None:
        """instrument: as the venue writes it. request_node_snapshot: asks the node for the snapshot of that number.
        read_venue_snapshot: None when the venue cannot be reached; it must return soon, control's loop waits for it.
        """
        self._run_id = run_id
        self._instrument = instrument
        self._request_node_snapshot = request_node_snapshot
        self._read_venue_snapshot = read_venue_snapshot
        self._clock = clock
        self._limits = limits or Limits()
        self._tracker = Tracker(instrument, self._limits, TimeTolerances())
        self._active: _Active | None = None
        self._request_number = 0
        self._answer: tuple[NodeSnapshot, int] | None = None
        self._last_node_snapshot: tuple[NodeSnapshot, int] | None = None
        """The last snapshot of a node that has ended; it cannot be asked any more."""
        self._node_stopped = False

    @property
    def is_busy(self) -> bool:
        return self._active is not None

    def start(self, occasion: LiveOccasion) -> bool:
        """Return whether it started: a periodic one does not while another is in progress; the others replace it.

        `startup` is for a new node, `final` for one that may have sent its last snapshot.
        """
        if occasion == "periodic" and self._active:
            return False
        if occasion == "startup":
            self._node_stopped, self._last_node_snapshot = False, None
        self._answer = None
        self._tracker.reset(self._last_node_snapshot[1] if self._last_node_snapshot else None)
        now_ns = self._now_ns()
        self._active = _Active(occasion, now_ns, now_ns)
        return True

    def add_node_snapshot(self, snapshot: NodeSnapshot) -> None:
        """A snapshot that the node was asked for, or its last one; not those in its heartbeats."""
        if snapshot.request_number == 0:
            self._last_node_snapshot = snapshot, self._now_ns()
            self._tracker.reset(self._last_node_snapshot[1])
        elif snapshot.request_number == self._request_number:
            self._answer = snapshot, self._now_ns()

    def add_venue_snapshot(self, snapshot: AccountSnapshot) -> None:
        """A snapshot that control read for another purpose. It shows that the account was at rest, so a difference is
        decided sooner.
        """
        self._tracker.add_venue_snapshot(snapshot, self._now_ns())

    def node_stopped(self) -> None:
        """The node will not answer again until the next `startup`."""
        self._node_stopped = True

    def wait_seconds(self) -> float | None:
        """Time until `advance` has something to do, less if a snapshot arrives. None: nothing is in progress."""
        if self._active is None:
            return None
        at_ns = self._active.next_ns
        if self._active.requested_ns is not None:
            at_ns = self._active.requested_ns + ANSWER_NS
        return max(0, at_ns - self._now_ns()) / NS_PER_SECOND

    def advance(self) -> FinishedReconciliation | None:
        """Do what is due. Return the reconciliation if it is finished."""
        active = self._active
        if active is None:
            return None
        finished = self._advance(active)
        if finished:
            self._active = None
        return finished

    def _advance(self, active: _Active) -> FinishedReconciliation | None:
        now_ns = self._now_ns()
        if self._last_node_snapshot is None and self._node_stopped:
            return self._without_answer(active, "expected")
        if active.requested_ns is not None:
            if self._last_node_snapshot or self._answer:
                return self._compare(active)
            is_overdue = now_ns - active.requested_ns >= ANSWER_NS
            return self._without_answer(active, "expected") if is_overdue else None
        if now_ns < active.next_ns:
            return None
        venue = self._read_venue(active)
        if venue is None:
            return self._without_venue(active)
        active.before, active.requested_ns, self._answer = venue, now_ns, None
        if self._last_node_snapshot:
            return self._compare(active)
        self._request_number += 1
        self._request_node_snapshot(self._request_number)
        return None

    def _compare(self, active: _Active) -> FinishedReconciliation | None:
        """Compare the node's snapshot, which has arrived."""
        node = self._last_node_snapshot or self._answer
        assert node is not None
        after = self._read_venue(active)
        if after is None:
            return self._without_venue(active)
        before = None if self._last_node_snapshot else active.before
        now_ns = self._now_ns()
        active.requested_ns, active.before, self._answer = None, None, None
        active.last = self._tracker.compare(SnapshotPair(*node, before, after), now_ns, self._clock.now_ns())
        active.comparisons += 1
        elapsed_ns = now_ns - active.started_ns
        can_change = active.last.is_open or (active.last.state == "unknown" and elapsed_ns < ANSWER_NS)
        if not can_change:
            return self._finish(active, active.last)
        is_final = active.occasion == "final"
        if elapsed_ns >= (FINAL_NS if is_final else PERIODIC_NS):
            return self._finish(active, self._tracker.mark_moving(active.last, now_ns, include_recent=is_final))
        slow_polls = active.comparisons - FAST_POLLS
        active.next_ns = now_ns + (FAST_POLL_NS if slow_polls < 0 else SLOW_POLL_NS[slow_polls % len(SLOW_POLL_NS)])
        return None

    def _read_venue(self, active: _Active) -> AccountSnapshot | None:
        venue = self._read_venue_snapshot()
        if venue is not None:
            active.venue_lost_ns = None
            self._tracker.add_venue_snapshot(venue, self._now_ns())
        return venue

    def _without_venue(self, active: _Active) -> FinishedReconciliation | None:
        now_ns = self._now_ns()
        active.venue_lost_ns = now_ns if active.venue_lost_ns is None else active.venue_lost_ns
        active.requested_ns, active.next_ns = None, now_ns + SLOW_POLL_NS[0]
        is_overdue = now_ns - active.venue_lost_ns >= ANSWER_NS
        return self._without_answer(active, "observed") if is_overdue else None

    def _without_answer(self, active: _Active, side: Side) -> FinishedReconciliation:
        """Finish without a comparison."""
        if side == "expected":
            return self._finish(active, no_answer(side, None, active.before))
        node = self._last_node_snapshot or self._answer
        return self._finish(active, no_answer(side, node[0] if node else None, None))

    def _finish(self, active: _Active, comparison: ComparisonResult) -> FinishedReconciliation:
        result = conclude(
            comparison.findings,
            run_id=self._run_id,
            instrument=self._instrument,
            checked_at=iso(self._clock.now_ns()),
            expected=comparison.expected,
            observed=comparison.observed,
            limits=self._limits,
            in_flight=comparison.in_flight,
            occasion=active.occasion,
            comparisons=active.comparisons,
            not_compared=NOT_COMPARED,
        )
        return FinishedReconciliation(active.occasion, result)

    def _now_ns(self) -> int:
        return int(self._clock.monotonic_s() * NS_PER_SECOND)


def record_reconciliation(folder: Path, log: RunJournal, finished: FinishedReconciliation) -> None:
    """Record it in the run's journal.

    A periodic one that is `ok` or `warning` is an event without a file: a day has 8,640 of them.
    """
    result = finished.result
    if finished.occasion != "periodic" or result.state not in ("ok", "warning"):
        record_check_as_owner(folder, log, check_result(result))
    else:
        log.append(result.event().with_file(None, None))
