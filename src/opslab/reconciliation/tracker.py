"""A node and its venue, looked at again and again while both move.

The venue is asked before the node and behind it. What the node has and the venue had before or behind is the same. What
it has and the venue had within the grace, whole, is late and not wrong: its position and wallet together, or an order.
All else is a difference, and `looks` says when it counts. A node that has ended cannot catch up: of it only that is
late which the venue did since the gap before its last word.
"""

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from opslab.model.messages.paper_messages import AccountSnapshot, NodeSnapshot, InFlightUpdate
from opslab.model.primitives.instant import NS_PER_MS, NS_PER_SECOND
from opslab.reconciliation.account_snapshots import NO_ANSWER, account_snapshot, node_snapshot, venue_snapshot
from opslab.reconciliation.compare import Scope, compare
from opslab.reconciliation.confirmation import (
    Aggregate,
    InFlight,
    PendingDifferences,
    TimeTolerances,
    give_up,
    in_flight,
    look,
)
from opslab.reconciliation.result import (
    STATE_OF,
    InFlightItem,
    Limits,
    Part,
    ReconciliationFinding,
    Side,
    SnapshotSummary,
    State,
    make_finding,
    worst,
)
from opslab.reconciliation.snapshot import OpenOrder, Rows, Snapshot

SCOPE = Scope(balance_fields=("total",), rounding=Decimal("0.0001"))
"""A node averages prices in binary floating point, and begins with five decimals when it is started again."""
SETTLED_NS = 100 * NS_PER_MS
"""For so long what differs must have been at rest at the venue for a look to confirm it."""
PARTS: tuple[Part, ...] = ("positions", "open_orders", "balances")
MONEY: tuple[Part, ...] = ("positions", "balances")
"""What a fill changes at once."""
_OPEN = ("pending", "in_flight")

type Money = tuple[frozenset[tuple[str, Decimal]], frozenset[tuple[str, Decimal]]]
"""Positions and totals that are not zero."""


@dataclass(frozen=True, slots=True)
class SnapshotPair:
    """A snapshot of the node, and the statements of the venue before and behind it."""

    node: NodeSnapshot
    node_ns: int
    """When it was taken, on the clock of the looks."""
    before: AccountSnapshot | None
    behind: AccountSnapshot


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    findings: Sequence[ReconciliationFinding]
    expected: SnapshotSummary
    observed: SnapshotSummary
    in_flight: Sequence[InFlightItem]
    is_open: bool
    """Whether another look may say more of something."""

    @property
    def state(self) -> State:
        return worst(one.state for one in self.findings)


def unanswered(side: Side, node: NodeSnapshot | None, venue: AccountSnapshot | None) -> ComparisonResult:
    """No look could be taken: that side said nothing. node, venue: what the other one said, if it was asked."""
    return ComparisonResult(
        [make_finding("no_answer", part, "", part, None, None, snapshot=side) for part in PARTS],
        node_snapshot(node).summary() if node else NO_ANSWER,
        account_snapshot(venue.account, {}).summary() if venue else NO_ANSWER,
        (),
        is_open=False,
    )


@dataclass(frozen=True, slots=True)
class VenueState:
    """What a venue had, for as long as its node may not have heard of it."""

    at_ns: int
    transactions: int
    money: Money | None
    orders: Mapping[str, OpenOrder] | None
    """By the venue's own number, without a client's id."""

    def order(self, number: str | None) -> OpenOrder | None:
        return self.orders.get(number) if self.orders and number else None


class Tracker:
    """Every statement of the venue goes in, in its order; looks in between."""

    def __init__(self, instrument: str, limits: Limits, patience: TimeTolerances) -> None:
        self._instrument = instrument
        self._limits = limits
        self._patience = patience
        self._looks = PendingDifferences()
        self._past: deque[VenueState] = deque()
        self._ended_ns: int | None = None

    def begin(self, ended_ns: int | None = None) -> None:
        """What earlier looks saw is not remembered; what the venue said is. ended_ns: when the node said its last."""
        self._looks, self._ended_ns = PendingDifferences(), ended_ns

    def heard(self, statement: AccountSnapshot, at_ns: int) -> None:
        """at_ns: of a clock that never jumps."""
        self._past.append(_past(statement, at_ns))
        until_ns = (at_ns if self._ended_ns is None else self._ended_ns) - self._patience.grace_ns
        while len(self._past) > 1 and self._past[1].at_ns <= until_ns:
            self._past.popleft()

    def look(self, taken: SnapshotPair, now_ns: int, wall_ns: int) -> ComparisonResult:
        """One look, behind the statements that it is of. wall_ns: what freshness is held against."""
        node = node_snapshot(taken.node)
        moving = [_moving(one, taken, self._instrument) for one in taken.node.in_flight]
        behind = venue_snapshot(taken.behind, taken.node)
        findings, venue = self._compared(node, behind, wall_ns), behind
        moved_between = taken.before is not None and taken.before.transactions != taken.behind.transactions
        if _differs(findings) and taken.before and moved_between:
            before = venue_snapshot(taken.before, taken.node)
            earlier = self._compared(node, before, wall_ns)
            if not _differs(earlier):
                findings, venue = earlier, before
        numbers = {**taken.behind.venue_order_ids, **taken.node.venue_order_ids}
        findings, late = self._without_late(findings, node, venue, numbers, now_ns)
        money = self._whole_money(node, now_ns)

        def whole(found: ReconciliationFinding) -> Aggregate:
            if found.part in MONEY:
                return money
            return self._whole_order(_ours(node, found.subject), numbers.get(found.subject), now_ns)

        together = dict.fromkeys(MONEY, money) if _differs(findings, MONEY) else None
        self._looks, judged = look(self._looks, findings, moving, now_ns, self._patience, whole, together)
        flying = in_flight(moving, now_ns, self._patience)
        is_open = any(one.reason in _OPEN for one in judged) or (bool(late) and self._ended_ns is None)
        return ComparisonResult([*judged, *late], node.summary(), venue.summary(), flying, is_open)

    def give_up(self, looked: ComparisonResult, now_ns: int, *, everything: bool) -> ComparisonResult:
        """The last look, when none may follow. everything: also what was seen to differ a moment ago."""
        since_ns = now_ns if everything else now_ns - self._patience.whole_ns
        findings = give_up(self._looks, looked.findings, since_ns)
        return replace(looked, findings=findings, is_open=False)

    def _compared(self, node: Snapshot, venue: Snapshot, wall_ns: int) -> list[ReconciliationFinding]:
        return compare(node, venue, self._instrument, self._limits, wall_ns, SCOPE)

    def _whole_money(self, node: Snapshot, now_ns: int) -> Aggregate:
        now = self._past[-1].money
        return _whole(_money(node), now, self._at_rest_since(lambda one: one.money == now), now_ns)

    def _whole_order(self, ours: OpenOrder | None, number: str | None, now_ns: int) -> Aggregate:
        now = self._past[-1].order(number)
        if now is None and not any(one.order(number) for one in self._past):
            # it may have come and gone between two statements; but it does not come back
            transactions = self._past[-1].transactions
            return Aggregate(ours, now, self._at_rest_since(lambda one: one.transactions == transactions))
        return _whole(ours, now, self._at_rest_since(lambda one: one.order(number) == now), now_ns)

    def _at_rest_since(self, is_so: Callable[[VenueState], bool]) -> int:
        """The oldest statement since which every one has it so."""
        since_ns = self._past[-1].at_ns
        for one in reversed(self._past):
            if not is_so(one):
                break
            since_ns = one.at_ns
        return since_ns

    def _without_late(
        self,
        findings: list[ReconciliationFinding],
        node: Snapshot,
        venue: Snapshot,
        numbers: Mapping[str, str],
        now_ns: int,
    ) -> tuple[list[ReconciliationFinding], list[ReconciliationFinding]]:
        """(what is left, what only is late): there the node is where the venue was, not longer ago than the grace."""
        since_ns = now_ns - self._patience.grace_ns
        if self._ended_ns is not None:
            since_ns = self._ended_ns - self._patience.gap_ns
        past = [one for one in self._past if one.at_ns >= since_ns]
        money = _money(node)
        late_money = money is not None and money != _money(venue) and any(one.money == money for one in past)
        left: list[ReconciliationFinding] = []
        late: list[ReconciliationFinding] = []
        for found in findings:
            is_late = found.state == "mismatch" and late_money
            if found.state == "mismatch" and found.part == "open_orders":
                ours, number = _ours(node, found.subject), numbers.get(found.subject)
                is_late = number is not None and any(
                    one.order(number) == ours for one in past if one.orders is not None
                )
            (late if is_late else left).append(found)
        told = {"reason": "in_flight", "state": STATE_OF["in_flight"]}
        return left, [one.model_copy(update=told) for one in late]


def _whole(expected: Hashable, observed: Hashable, since_ns: int, now_ns: int) -> Aggregate:
    return Aggregate(expected, observed, since_ns, now_ns - since_ns >= SETTLED_NS)


def _past(statement: AccountSnapshot, at_ns: int) -> VenueState:
    account = account_snapshot(statement.account, {})
    rows = account.open_orders
    orders = None
    if isinstance(rows, Rows):
        numbers = statement.venue_order_ids
        orders = {
            numbers[wire]: replace(row, client_order_id="") for wire, row in rows.by_key.items() if wire in numbers
        }
    return VenueState(at_ns, statement.transactions, _money(account), orders)


def _moving(waiting: InFlightUpdate, taken: SnapshotPair, instrument: str) -> InFlight:
    since_ns = taken.node_ns - int(waiting.age_seconds * NS_PER_SECOND)
    return InFlight(waiting.kind, instrument, waiting.client_order_id, since_ns)


def _differs(findings: Iterable[ReconciliationFinding], parts: Collection[Part] = PARTS) -> bool:
    return any(one.state == "mismatch" and one.part in parts for one in findings)


def _money(account: Snapshot) -> Money | None:
    """None: not all of it can be judged."""
    positions, balances = account.positions, account.balances
    if not isinstance(positions, Rows) or not isinstance(balances, Rows) or positions.defects or balances.defects:
        return None
    held = {name: row.signed_quantity for name, row in positions.by_key.items()}
    totals = {name: row.total for name, row in balances.by_key.items()}
    if not all(isinstance(amount, Decimal) for amount in (*held.values(), *totals.values())):
        return None
    return (
        frozenset((name, amount) for name, amount in held.items() if isinstance(amount, Decimal) and amount),
        frozenset((name, amount) for name, amount in totals.items() if isinstance(amount, Decimal) and amount),
    )


def _ours(node: Snapshot, client_order_id: str) -> OpenOrder | None:
    """The order as the node has it, without its id."""
    row = node.open_orders.by_key.get(client_order_id) if isinstance(node.open_orders, Rows) else None
    return replace(row, client_order_id="") if row else None
