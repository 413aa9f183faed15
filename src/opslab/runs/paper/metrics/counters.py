"""Counters of a paper run. They stay after its end."""

from collections.abc import Iterator

from opslab.metrics.family import Buckets, Family, Sample
from opslab.model.messages.paper_messages import FEEDS
from opslab.model.run.paper_summary import PaperFacts
from opslab.model.run.run_counters import ROUND_TRIP_BOUNDS_SECONDS, PaperCounters

_RUN = ("run_id",)

ROUND_TRIPS = Family(
    "opslab_order_round_trip_seconds",
    "histogram",
    "Time from the creation of an order to the engine's receipt of its acceptance.",
    _RUN,
)
MESSAGES = Family(
    "opslab_feed_messages_total", "counter", "Market messages that the node received.", ("run_id", "feed")
)
FEED_CHANGES = Family("opslab_feed_changes_total", "counter", "Changes of a feed's state.", ("run_id", "feed"))
SOCKET_CHANGES = Family("opslab_socket_changes_total", "counter", "Changes of a socket's state.", ("run_id", "socket"))
RESTARTS = Family("opslab_engine_restarts_total", "counter", "Restarts of the engine by the lab.", _RUN)
LOSSES = Family("opslab_engine_losses_total", "counter", "Engines that did not end on request.", _RUN)
VENUE_LOSSES = Family("opslab_venue_losses_total", "counter", "Losses of the venue's process.", _RUN)
FAILED_WRITES = Family(
    "opslab_ledger_failed_writes_total", "counter", "Transactions that the venue could not write to its ledger.", _RUN
)
HEARTBEATS = Family("opslab_heartbeats_total", "counter", "Heartbeats of the node, once a second.", _RUN)
DROPPED = Family(
    "opslab_heartbeats_dropped_total", "counter", "Heartbeats that an engine dropped since its queue was full.", _RUN
)
GATED = Family("opslab_orders_gated_total", "counter", "Requests of the strategy that a closed gate denied.", _RUN)
EXTERNAL = Family(
    "opslab_external_orders_total",
    "counter",
    "Orders in the account that neither an engine of the run, nor the lab, nor the exchange placed.",
    _RUN,
)
FORCED = Family(
    "opslab_forced_closes_total", "counter", "Orders with which the exchange closed the position by force.", _RUN
)
MARGIN_CALLS = Family("opslab_margin_calls_total", "counter", "Margin calls of the exchange.", _RUN)
LOST = Family(
    "opslab_orders_lost_total", "counter", "Orders submitted and missing in the venue's ledger; known at the end.", _RUN
)
FAULTS = Family("opslab_faults_injected_total", "counter", "Faults that were started in the run's venue.", _RUN)

FAMILIES = (
    MESSAGES, FEED_CHANGES, SOCKET_CHANGES, ROUND_TRIPS, HEARTBEATS, DROPPED,
    GATED, EXTERNAL, FORCED, MARGIN_CALLS, LOST,
    RESTARTS, LOSSES, VENUE_LOSSES, FAILED_WRITES, FAULTS,
)  # fmt: skip


def counter_samples(run_id: str, counters: PaperCounters) -> Iterator[Sample]:
    """A counter that is not known has no series."""
    for feed in FEEDS:
        yield MESSAGES.sample(counters.messages.get(feed, 0), run_id, feed)
        yield FEED_CHANGES.sample(counters.feed_changes.get(feed, 0), run_id, feed)
    for socket, changes in sorted(counters.socket_changes.items()):
        yield SOCKET_CHANGES.sample(changes, run_id, socket)
    numbers = (
        (RESTARTS, counters.engine_restarts),
        (LOSSES, counters.engine_losses),
        (VENUE_LOSSES, counters.venue_losses),
        (FAILED_WRITES, counters.failed_ledger_writes),
        (HEARTBEATS, counters.heartbeats),
        (DROPPED, counters.dropped_heartbeats),
        (GATED, counters.orders_gated),
        (EXTERNAL, counters.orders_external),
        (FORCED, counters.forced_closes),
        (MARGIN_CALLS, counters.margin_calls),
        (FAULTS, counters.faults_injected),
    )
    for family, number in numbers:
        if number is not None:
            yield family.sample(number, run_id)
    trips = counters.round_trips
    if trips is not None:
        yield ROUND_TRIPS.sample(Buckets(ROUND_TRIP_BOUNDS_SECONDS, trips.counts, trips.sum_seconds), run_id)


def ended_samples(run_id: str, facts: PaperFacts) -> Iterator[Sample]:
    """What is known at the end only."""
    if facts.orders_lost is not None:
        yield LOST.sample(facts.orders_lost, run_id)
