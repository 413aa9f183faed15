"""What a running run is doing now: in `runtime/live/`, not an artifact."""

from typing import Literal

from opslab.model.messages.paper_messages import FeedName, FeedState, QueueState
from opslab.model.primitives.record import Record
from opslab.model.run.metadata import Owner

Phase = Literal["starting", "running", "restarting", "stopping"]


class FeedStatus(Record):
    state: FeedState
    messages: int
    age_seconds: float | None


class PaperStatus(Record):
    """How a paper run is, as its last beat said."""

    phase: Phase
    engine_number: int
    """Which one of the run, from 1."""
    heartbeat_age_seconds: float | None
    feeds: dict[FeedName, FeedStatus]
    sockets: dict[str, str]
    queue: QueueState | None
    messages_per_second: float | None
    """Market messages that the node took."""
    event_lag_ms: float | None
    memory_bytes: int | None
    open_orders: int | None
    """At the venue, as are the next two."""
    position_side: str | None
    position: str | None
    reconciliation: str | None
    """State of the last one."""


class LiveStatus(Record):
    """`runtime/live/<run_id>.json`, written again every second by the run's owner; gone when the run has ended."""

    live_version: Literal["v1"] = "v1"
    run_id: str
    owner: Owner
    heartbeat_at: str
    """When it was written, UTC."""
    bars_seen: int
    bars_total: int
    paper: PaperStatus | None = None
    """Of a paper run alone."""
