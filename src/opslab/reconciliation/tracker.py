"""Compare a node with its venue repeatedly while both change.

The venue is read before and after the node. What the node has is equal to what the venue had before or after it. What
the node has and the venue had within the grace time is late, not wrong: its position and wallet together, or one order.
Everything else is a difference; `confirmation` decides when it counts. A node that has ended cannot catch up: what it
has is late only if the venue had it at most the minimum interval before the node's last snapshot, or after it.
"""

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from opslab.model.messages.paper_messages import AccountSnapshot, InFlightUpdate, NodeSnapshot
from opslab.model.primitives.instant import NS_PER_MS, NS_PER_SECOND
from opslab.reconciliation.account_snapshots import (
    NO_ANSWER,
    snapshot_of_account,
    snapshot_of_node,
    snapshot_of_venue,
)
from opslab.reconciliation.compare import Scope, compare
from opslab.reconciliation.confirmation import (
    Aggregate,
    InFlight,
    PendingDifferences,
    TimeTolerances,
    confirm,
    in_flight_items,
    mark_moving,
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
"""A node averages prices in binary floating point, and starts with five decimals after a restart."""
REST_NS = 100 * NS_PER_MS
"""The venue's side of a difference must have been unchanged for this time before a comparison can confirm it."""
PARTS: tuple[Part, ...] = ("positions", "open_orders", "balances")
HOLDINGS_PARTS: tuple[Part, ...] = ("positions", "balances")
"""The parts that a fill changes together."""
_OPEN_REASONS = ("pending", "in_flight")

type Holdings = tuple[frozenset[tuple[str, Decimal]], frozenset[tuple[str, Decimal]]]
"""Positions and wallet totals that are not zero."""


@dataclass(frozen=True, slots=True)
class SnapshotPair:
    """A snapshot of the node, between the venue's snapshots before and after it."""

    node: NodeSnapshot
    node_ns: int
    """When the node's snapshot was taken, on the clock of the comparisons."""
    before: AccountSnapshot | None
    after: AccountSnapshot


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    findings: Sequence[ReconciliationFinding]
    expected: SnapshotSummary
    observed: SnapshotSummary
    in_flight: Sequence[InFlightItem]
    is_open: bool
    """Whether another comparison may change a finding."""

    @property
    def state(self) -> State:
        return worst(finding.state for finding in self.findings)


def no_answer(side: Side, node: NodeSnapshot | None, venue: AccountSnapshot | None) -> ComparisonResult:
    """Nothing was compared: `side` did not answer. node, venue: the answer of the other side, if it was asked."""
    return ComparisonResult(
        [make_finding("no_answer", part, "", part, None, None, snapshot=side) for part in PARTS],
        snapshot_of_node(node).summary() if node else NO_ANSWER,
        snapshot_of_account(venue.account, {}).summary() if venue else NO_ANSWER,
        (),
        is_open=False,
    )


def external_orders(venue: AccountSnapshot) -> list[ReconciliationFinding]:
    """A finding when the venue has accepted external orders: what they did to the account is equal on both sides."""
    if not venue.orders_external:
        return []
    count = str(venue.orders_external)
    return [
        make_finding("external_orders", "orders", "", "external", "0", count, difference=count, snapshot="observed")
    ]


@dataclass(frozen=True, slots=True)
class VenueState:
    """The state of a venue's account at one time."""

    at_ns: int
    transactions: int
    holdings: Holdings | None
    orders: Mapping[str, OpenOrder] | None
    """Venue order id to the order, without its client order id."""

    def order(self, venue_order_id: str | None) -> OpenOrder | None:
        return self.orders.get(venue_order_id) if self.orders and venue_order_id else None


class VenueHistory:
    """The states of a venue, oldest first, from the first one that its node may not have received yet."""

    def __init__(self) -> None:
        self._states: deque[VenueState] = deque()

    @property
    def latest(self) -> VenueState:
        return self._states[-1]

    def add(self, state: VenueState, keep_from_ns: int) -> None:
        """keep_from_ns: forget the states that a later one had replaced by then."""
        self._states.append(state)
        while len(self._states) > 1 and self._states[1].at_ns <= keep_from_ns:
            self._states.popleft()

    def since(self, since_ns: int) -> list[VenueState]:
        return [state for state in self._states if state.at_ns >= since_ns]

    def has_order(self, venue_order_id: str | None) -> bool:
        return any(state.order(venue_order_id) for state in self._states)

    def unchanged_since_ns(self, is_unchanged: Callable[[VenueState], bool]) -> int:
        """The time of the oldest state from which on every one is unchanged."""
        since_ns = self.latest.at_ns
        for state in reversed(self._states):
            if not is_unchanged(state):
                break
            since_ns = state.at_ns
        return since_ns


class Tracker:
    """Add every snapshot of the venue, in order; call `compare` in between."""

    def __init__(self, instrument: str, limits: Limits, tolerances: TimeTolerances) -> None:
        self._instrument = instrument
        self._limits = limits
        self._tolerances = tolerances
        self._pending = PendingDifferences()
        self._history = VenueHistory()
        self._node_ended_ns: int | None = None

    def reset(self, node_ended_ns: int | None = None) -> None:
        """Forget earlier comparisons; keep the venue's history. node_ended_ns: time of the node's last snapshot."""
        self._pending, self._node_ended_ns = PendingDifferences(), node_ended_ns

    def add_venue_snapshot(self, snapshot: AccountSnapshot, at_ns: int) -> None:
        """at_ns: of a monotonic clock."""
        newest_needed_ns = at_ns if self._node_ended_ns is None else self._node_ended_ns
        self._history.add(_venue_state(snapshot, at_ns), newest_needed_ns - self._tolerances.grace_ns)

    def compare(self, pair: SnapshotPair, now_ns: int, wall_ns: int) -> ComparisonResult:
        """Compare once, after `add_venue_snapshot` of the venue's snapshots. wall_ns: wall clock, for freshness."""
        node = snapshot_of_node(pair.node)
        in_flight = [_in_flight(item, pair, self._instrument) for item in pair.node.in_flight]
        findings, venue = self._closest_findings(pair, node, wall_ns)
        venue_order_ids = {**pair.after.venue_order_ids, **pair.node.venue_order_ids}
        findings, late = self._split_late(findings, node, venue, venue_order_ids, now_ns)
        holdings = self._holdings_aggregate(node, now_ns)

        def aggregate_of(finding: ReconciliationFinding) -> Aggregate:
            if finding.part in HOLDINGS_PARTS:
                return holdings
            node_order = _node_order(node, finding.subject)
            return self._order_aggregate(node_order, venue_order_ids.get(finding.subject), now_ns)

        differing_parts = dict.fromkeys(HOLDINGS_PARTS, holdings) if _differs(findings, HOLDINGS_PARTS) else None
        self._pending, judged = confirm(
            self._pending, findings, in_flight, now_ns, self._tolerances, aggregate_of, differing_parts
        )
        items = in_flight_items(in_flight, now_ns, self._tolerances)
        judged += external_orders(pair.after)
        has_open_finding = any(finding.reason in _OPEN_REASONS for finding in judged)
        is_open = has_open_finding or (bool(late) and self._node_ended_ns is None)
        return ComparisonResult([*judged, *late], node.summary(), venue.summary(), items, is_open)

    def mark_moving(self, result: ComparisonResult, now_ns: int, *, include_recent: bool) -> ComparisonResult:
        """Close the last result, when no comparison may follow: its unconfirmed differences become `moving`.

        include_recent: also those younger than the time tolerances.
        """
        since_ns = now_ns if include_recent else now_ns - self._tolerances.total_ns
        findings = mark_moving(self._pending, result.findings, since_ns)
        return replace(result, findings=findings, is_open=False)

    def _closest_findings(
        self, pair: SnapshotPair, node: Snapshot, wall_ns: int
    ) -> tuple[list[ReconciliationFinding], Snapshot]:
        """Findings against the venue after the node's snapshot; against the one before it, if only that one agrees."""
        after = snapshot_of_venue(pair.after, pair.node)
        findings = self._compare(node, after, wall_ns)
        if _differs(findings) and pair.before and pair.before.transactions != pair.after.transactions:
            before = snapshot_of_venue(pair.before, pair.node)
            earlier = self._compare(node, before, wall_ns)
            if not _differs(earlier):
                return earlier, before
        return findings, after

    def _compare(self, node: Snapshot, venue: Snapshot, wall_ns: int) -> list[ReconciliationFinding]:
        return compare(node, venue, self._instrument, self._limits, wall_ns, SCOPE)

    def _holdings_aggregate(self, node: Snapshot, now_ns: int) -> Aggregate:
        current = self._history.latest.holdings
        since_ns = self._history.unchanged_since_ns(lambda state: state.holdings == current)
        return _aggregate(_holdings(node), current, since_ns, now_ns)

    def _order_aggregate(self, node_order: OpenOrder | None, venue_order_id: str | None, now_ns: int) -> Aggregate:
        current = self._history.latest.order(venue_order_id)
        if current is None and not self._history.has_order(venue_order_id):
            # it may have opened and closed between two snapshots, but it cannot open again
            transactions = self._history.latest.transactions
            since_ns = self._history.unchanged_since_ns(lambda state: state.transactions == transactions)
            return Aggregate(node_order, current, since_ns)
        since_ns = self._history.unchanged_since_ns(lambda state: state.order(venue_order_id) == current)
        return _aggregate(node_order, current, since_ns, now_ns)

    def _split_late(
        self,
        findings: list[ReconciliationFinding],
        node: Snapshot,
        venue: Snapshot,
        venue_order_ids: Mapping[str, str],
        now_ns: int,
    ) -> tuple[list[ReconciliationFinding], list[ReconciliationFinding]]:
        """(the other findings, the late ones): late is what the venue had too, within the grace time."""
        since_ns = now_ns - self._tolerances.grace_ns
        if self._node_ended_ns is not None:
            since_ns = self._node_ended_ns - self._tolerances.min_interval_ns
        recent = self._history.since(since_ns)
        holdings = _holdings(node)
        holdings_changed = holdings is not None and holdings != _holdings(venue)
        holdings_are_late = holdings_changed and any(state.holdings == holdings for state in recent)
        others: list[ReconciliationFinding] = []
        late: list[ReconciliationFinding] = []
        for finding in findings:
            is_late = finding.state == "mismatch" and holdings_are_late
            if finding.state == "mismatch" and finding.part == "open_orders":
                node_order, venue_order_id = _node_order(node, finding.subject), venue_order_ids.get(finding.subject)
                is_late = venue_order_id is not None and any(
                    state.order(venue_order_id) == node_order for state in recent if state.orders is not None
                )
            (late if is_late else others).append(finding)
        in_flight = {"reason": "in_flight", "state": STATE_OF["in_flight"]}
        return others, [finding.model_copy(update=in_flight) for finding in late]


def _aggregate(expected: Hashable, observed: Hashable, since_ns: int, now_ns: int) -> Aggregate:
    return Aggregate(expected, observed, since_ns, now_ns - since_ns >= REST_NS)


def _venue_state(snapshot: AccountSnapshot, at_ns: int) -> VenueState:
    account = snapshot_of_account(snapshot.account, {})
    rows = account.open_orders
    orders = None
    if isinstance(rows, Rows):
        venue_order_ids = snapshot.venue_order_ids
        orders = {
            venue_order_ids[wire_id]: replace(row, client_order_id="")
            for wire_id, row in rows.by_key.items()
            if wire_id in venue_order_ids
        }
    return VenueState(at_ns, snapshot.transactions, _holdings(account), orders)


def _in_flight(item: InFlightUpdate, pair: SnapshotPair, instrument: str) -> InFlight:
    since_ns = pair.node_ns - int(item.age_seconds * NS_PER_SECOND)
    return InFlight(item.kind, instrument, item.client_order_id, since_ns)


def _differs(findings: Iterable[ReconciliationFinding], parts: Collection[Part] = PARTS) -> bool:
    return any(finding.state == "mismatch" and finding.part in parts for finding in findings)


def _holdings(account: Snapshot) -> Holdings | None:
    """None: a part of it cannot be judged."""
    positions, balances = account.positions, account.balances
    if not isinstance(positions, Rows) or not isinstance(balances, Rows) or positions.defects or balances.defects:
        return None
    quantities = {name: row.signed_quantity for name, row in positions.by_key.items()}
    totals = {name: row.total for name, row in balances.by_key.items()}
    if not all(isinstance(amount, Decimal) for amount in (*quantities.values(), *totals.values())):
        return None
    return (
        frozenset((name, amount) for name, amount in quantities.items() if isinstance(amount, Decimal) and amount),
        frozenset((name, amount) for name, amount in totals.items() if isinstance(amount, Decimal) and amount),
    )


def _node_order(node: Snapshot, client_order_id: str) -> OpenOrder | None:
    """The order as the node has it, without its client order id."""
    row = node.open_orders.by_key.get(client_order_id) if isinstance(node.open_orders, Rows) else None
    return replace(row, client_order_id="") if row else None
