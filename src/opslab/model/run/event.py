"""A line of the journal as it is read: its payload is JSON. The classes of the events are in `model/journal`."""

from typing import Any

from opslab.model.primitives.record import Record

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
