"""What a running run is doing now: in `runtime/live/`, not an artifact."""

from typing import Literal

from opslab.model.record import Record
from opslab.model.run import Owner


class Live(Record):
    """`runtime/live/<run_id>.json`, written again every second by the run's owner; gone when the run has ended."""

    live_version: Literal["v1"] = "v1"
    run_id: str
    owner: Owner
    heartbeat_at: str
    """When it was written, UTC."""
    bars_seen: int
    bars_total: int
