"""Counters of a run: none of them decreases while the run goes on, or when it ends."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field

from opslab.model.messages.paper_messages import FEEDS, FeedName
from opslab.model.primitives.record import Record

Reconciled = Literal["ok", "warning", "mismatch", "unknown"]
ROUND_TRIP_BOUNDS_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets, inclusive; the last bucket has none."""
NO_ROUND_TRIPS = (0,) * (len(ROUND_TRIP_BOUNDS_SECONDS) + 1)


class OrderCounters(Record):
    """Orders by outcome, and fills. Without those of the venue and of others: see `orders_by_venue`, `orders_external`.

    An order counts as submitted once, and once more with the status in which it ended.
    """

    submitted: int = 0
    denied: int = 0
    rejected: int = 0
    canceled: int = 0
    expired: int = 0
    filled: int = 0
    """Completely."""
    fills: int = 0

    def at_least(self, other: "OrderCounters") -> "OrderCounters":
        """Each the higher of both."""
        mine, others = self.model_dump(), other.model_dump()
        return OrderCounters(**{name: max(count, others[name]) for name, count in mine.items()})


class RoundTrips(Record):
    """Histogram of the times from the creation of an order to the engine's receipt of its acceptance."""

    counts: tuple[int, ...] = Field(NO_ROUND_TRIPS, min_length=len(NO_ROUND_TRIPS), max_length=len(NO_ROUND_TRIPS))
    """Number by bucket, each without the ones before; the last is for more than 30 s."""
    sum_seconds: float = 0.0

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Self:
        return cls().plus(milliseconds)

    def plus(self, milliseconds: Sequence[float]) -> Self:
        counts = list(self.counts)
        for value in milliseconds:
            counts[bisect_left(ROUND_TRIP_BOUNDS_SECONDS, value / 1000)] += 1
        total = round(self.sum_seconds + sum(milliseconds) / 1000, 6)
        return self.model_copy(update={"counts": tuple(counts), "sum_seconds": total})

    @property
    def count(self) -> int:
        return sum(self.counts)


class Reconciliations(Record):
    """Results of the checks during the run, by state: at the start and every `reconcile_every_seconds`."""

    ok: int = 0
    warning: int = 0
    mismatch: int = 0
    unknown: int = 0


class PaperCounters(Record):
    """Counters of a paper run, over all its engines. None: not known, which is not zero.

    While the run goes on in its live status; of an ended run from `PaperFacts.counters`.
    """

    messages: dict[FeedName, int] = Field(default_factory=lambda: dict.fromkeys(FEEDS, 0))
    """Market messages that the engines received, by feed."""
    feed_changes: dict[FeedName, int] = Field(default_factory=lambda: dict.fromkeys(FEEDS, 0))
    """Changes of a feed's state."""
    socket_changes: dict[str, int] = Field(default_factory=dict)
    """Changes of a socket's state, by the engine's name of it."""
    engine_restarts: int = 0
    engine_losses: int = 0
    venue_losses: int = 0
    failed_ledger_writes: int = 0
    heartbeats: int = 0
    dropped_heartbeats: int | None = 0
    reconciliations: Reconciliations = Field(default_factory=Reconciliations)
    """The final one too."""
    last_reconciliation_state: Reconciled | None = None
    """None: none has finished."""
    last_reconciliation_at: str | None = None
    orders_gated: int | None = 0
    """Requests that closed gates denied."""
    orders_external: int | None = 0
    forced_closes: int | None = 0
    margin_calls: int = 0
    faults_injected: int = 0
    faults_active: int = 0
    """No counter: the number now."""
    round_trips: RoundTrips | None = Field(default_factory=RoundTrips)
