"""The events of the venue's event log, and the type of the function that writes one."""

from collections.abc import Callable
from typing import Literal

VenueEvent = Literal[
    "connected",
    "left",
    "disconnected",
    "requests_rejected",
    "fault_started",
    "fault_ended",
    "candle_not_acknowledged",
    "margin_call",
    "account_flattened",
    "account_not_flattened",
    "control_lost",
    "ended_without_control",
    "ledger_torn_end_moved",
    "bug",
]
EventLogger = Callable[[VenueEvent, dict[str, object]], None]
"""Called with the event's name and its fields."""
MARGIN_CALL: VenueEvent = "margin_call"
RUN_LOG_EVENTS: frozenset[str] = frozenset({"fault_started", "fault_ended", MARGIN_CALL})
"""Control of a run adds them to the journal."""
CONTROL_LOST: VenueEvent = "control_lost"
"""Recovery of a run reads its time."""
