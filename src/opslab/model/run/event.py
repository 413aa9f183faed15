"""The journal: names of its events, fields of its lines, and its format."""

from typing import Any, Literal

from opslab.model.primitives.record import Record

LifecycleName = Literal[
    "run_initialized",
    "run_started",
    "data_verified",
    "engine_started",
    "scenario_registered",
    "scenario_action_triggered",
    "run_completed",
    "run_failed",
    "run_interrupted",
    "run_safety_blocked",
    "paper_safety_checked",
    "paper_safety_blocked",
    "venue_started",
    "venue_lost",
    "engine_ended",
    "engine_lost",
    "engine_restarted",
    "feed_state_changed",
    "socket_state_changed",
    "bar_out_of_order",
    "gate_closed",
    "run_stopping",
    "orders_canceled",
    "positions_flattened",
    "kill_switch_observed",
    "trading_halted",
    "run_halted",
    "journal_torn_end_kept",
    "connectivity_readiness_evaluated",
    "connectivity_probe_evaluated",
    "reconciliation_checked",
]
EventName = LifecycleName | Literal["order_event", "order_gated", "paper_heartbeat"]

RUN_FORMAT = 2
"""Format of a run's folder: the fields of journal, metadata and manifest. A journal without `format` has format 1."""

HIGH_RATE: frozenset[str] = frozenset({"order_event", "order_gated", "paper_heartbeat"})
"""Written in batches; every other event is on disk before the step that it announces."""


class Event(Record):
    """One line of `journal.jsonl`."""

    seq: int
    """From 1, without gaps."""
    time: str
    """Time of writing, UTC."""
    event: str
    payload: dict[str, Any]
    prev: str | None
    """Digest of the raw bytes of the previous line, its newline included; null in the first."""
