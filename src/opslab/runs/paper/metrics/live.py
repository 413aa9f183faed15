"""The state of a living node. It has series only while the owner of the run lives."""

from collections.abc import Iterator
from typing import get_args

from opslab.metrics.family import Family, Sample
from opslab.model.messages.paper_messages import FeedState
from opslab.model.run.live_status import PaperStatus, Phase

_RUN = ("run_id",)

PHASE = Family(
    "opslab_run_phase",
    "gauge",
    "1 for the phase of a running paper run, 0 for the others.",
    ("run_id", "phase"),
    live=True,
)
GATE = Family(
    "opslab_gate_open", "gauge", "1: an order of the strategy would be sent. 0: it would be denied.", _RUN, live=True
)
ENGINE = Family(
    "opslab_engine_number", "gauge", "Number of the present engine within the run, from 1.", _RUN, live=True
)
FEED_STATE = Family(
    "opslab_feed_state", "gauge", "1 for the state of a feed, 0 for the others.", ("run_id", "feed", "state"), live=True
)
FEED_LAST = Family(
    "opslab_feed_last_message_timestamp_seconds",
    "gauge",
    "When the node received the last message of a feed.",
    ("run_id", "feed"),
    live=True,
)
SOCKET_STATE = Family(
    "opslab_socket_state",
    "gauge",
    "1 for the state of one of the adapter's sockets, 0 for the other.",
    ("run_id", "socket", "state"),
    live=True,
)
LAG = Family(
    "opslab_event_lag_seconds",
    "gauge",
    "Longest time within the last heartbeat from the receipt of a market message to its handler.",
    _RUN,
    live=True,
)
MEMORY = Family("opslab_engine_memory_bytes", "gauge", "Resident memory of the engine's process.", _RUN, live=True)
QUEUE = Family(
    "opslab_message_queue_depth",
    "gauge",
    "Messages in the engine's queue at its last report. The engine reports from 1,000 messages on; before that there "
    "is no value.",
    _RUN,
    live=True,
)
OPEN_ORDERS = Family(
    "opslab_open_orders", "gauge", "Open orders in the venue's last account snapshot.", _RUN, live=True
)
POSITION = Family(
    "opslab_position_quantity",
    "gauge",
    "Position in the venue's last account snapshot; negative when short. Sampled once a second.",
    _RUN,
    live=True,
)
ACCOUNT_AT = Family(
    "opslab_account_timestamp_seconds", "gauge", "Time of the venue's last account snapshot.", _RUN, live=True
)
FAULTS_ACTIVE = Family("opslab_faults_active", "gauge", "Faults that are active in the run's venue.", _RUN, live=True)

FAMILIES = (
    PHASE, GATE, ENGINE, FEED_STATE, FEED_LAST, SOCKET_STATE, LAG, MEMORY, QUEUE,
    OPEN_ORDERS, POSITION, ACCOUNT_AT, FAULTS_ACTIVE,
)  # fmt: skip

_PHASES: tuple[str, ...] = get_args(Phase)
_FEED_STATES: tuple[str, ...] = get_args(FeedState)
_MS_PER_SECOND = 1000


def live_samples(run_id: str, status: PaperStatus) -> Iterator[Sample]:
    """The state of a living node. What is not known has no series."""
    yield from PHASE.states(_PHASES, status.phase, run_id)
    yield GATE.sample(status.gate_open, run_id)
    yield ENGINE.sample(status.engine_number, run_id)
    for name, feed in status.feeds.items():
        yield from FEED_STATE.states(_FEED_STATES, feed.state, run_id, name)
        yield from FEED_LAST.at(feed.last_message_at, run_id, name)
    for socket, state in sorted(status.sockets.items()):
        yield from SOCKET_STATE.states(("connected", "disconnected"), state, run_id, socket)
    if status.event_lag_ms is not None:
        yield LAG.sample(round(status.event_lag_ms / _MS_PER_SECOND, 9), run_id)
    if status.memory_bytes is not None:
        yield MEMORY.sample(status.memory_bytes, run_id)
    if status.queue is not None and status.queue.depth is not None:
        yield QUEUE.sample(status.queue.depth, run_id)
    if status.open_orders is not None:
        yield OPEN_ORDERS.sample(status.open_orders, run_id)
    if status.position is not None:
        yield POSITION.sample(float(status.position), run_id)
    yield from ACCOUNT_AT.at(status.account_at, run_id)
    yield FAULTS_ACTIVE.sample(status.counters.faults_active, run_id)
