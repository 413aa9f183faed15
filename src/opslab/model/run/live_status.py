"""Status of a running run: a file in `runtime/live/`, not an artifact."""

from typing import Literal

from pydantic import Field

from opslab.model.messages.paper_messages import FeedName, FeedState, QueueState
from opslab.model.primitives.record import Record
from opslab.model.run.metadata import Owner
from opslab.model.run.run_counters import OrderCounters, PaperCounters

Phase = Literal["starting", "running", "restarting", "stopping"]


class FeedStatus(Record):
    state: FeedState
    messages: int
    age_seconds: float | None
    """At the heartbeat."""
    last_message_at: str | None = None
    """UTC. None: no message yet."""


class PaperStatus(Record):
    """Status of a paper run, from its last heartbeat."""

    phase: Phase
    engine_number: int
    """Number of the engine within the run, from 1."""
    heartbeat_age_seconds: float | None
    feeds: dict[FeedName, FeedStatus]
    sockets: dict[str, str]
    queue: QueueState | None
    messages_per_second: float | None
    """Market messages that the node received."""
    event_lag_ms: float | None
    memory_bytes: int | None
    open_orders: int | None
    """At the venue, as `position_side` and `position`, at the time `account_at`."""
    position_side: str | None
    position: str | None
    reconciliation: str | None
    """State of the last reconciliation."""
    failed_ledger_writes: int = 0
    """Of the venue, as in the section `paper` of the metadata."""
    account_at: str | None = None
    """UTC. None: the venue has not reported its account."""
    gate_open: bool = False
    """Whether an order of the strategy would be sent."""
    counters: PaperCounters = Field(default_factory=PaperCounters)


class LiveStatus(Record):
    """`runtime/live/<run_id>.json`, rewritten every second by the run's owner and removed when the run ends."""

    live_version: Literal["v1"] = "v1"
    run_id: str
    owner: Owner
    heartbeat_at: str
    """Time of writing, UTC."""
    bars_seen: int
    bars_total: int
    actions: int = 0
    """Of a scenario; 0 for a user strategy."""
    orders: OrderCounters = Field(default_factory=OrderCounters)
    """As far as the engine has reported them."""
    paper: PaperStatus | None = None
    """None for a backtest."""
