"""Read the heartbeats of a paper run from its journal, in bounded memory whatever the journal's length."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opslab.errors import NotFound
from opslab.model.journal.engine_events import PaperHeartbeat
from opslab.model.journal.journal_event import by_name
from opslab.model.messages.paper_messages import AccountSnapshot, EngineHeartbeat
from opslab.model.primitives.instant import parse_iso
from opslab.runs.record.journal_events import decode_line
from opslab.store.runs.journal import event_of_line, read_lines

LOOKBACK_HEARTBEATS = 60
"""Heartbeats read before the requested one: a minute or more."""
_WITH_VENUE = b'"venue":{'


@dataclass(frozen=True, slots=True)
class RecordedHeartbeat:
    seq: int
    """Of its event."""
    at_ns: int
    """Wall clock, of its event."""
    engine_number: int
    heartbeat: EngineHeartbeat
    venue: AccountSnapshot | None
    """None: the venue did not answer."""


def read_heartbeats(folder: Path, seq: int | None) -> list[RecordedHeartbeat]:
    """The requested heartbeat, last, after the most recent earlier ones that have the venue's account; oldest first.

    seq: None for the last one that has it. Raises NotFound, with the heartbeats that exist; Corrupt.
    """
    lines: deque[tuple[int, bytes]] = deque(maxlen=LOOKBACK_HEARTBEATS + 1)
    first = last = count = 0
    for line_seq, line in read_lines(folder, PaperHeartbeat.EVENT):
        first, last, count = first or line_seq, line_seq, count + 1
        if line_seq == seq or _WITH_VENUE in line:
            lines.append((line_seq, line))
        if line_seq == seq:
            return list(_decoded(folder, lines))
    if seq is not None:
        existing = f"it has {count:,}, from {first} to {last}" if count else "it has none"
        raise NotFound(
            f"run {folder.name} has no heartbeat {seq}: {existing}",
            hint="--heartbeat takes the seq of a paper_heartbeat event in the run's journal" if count else None,
        )
    if not lines:
        problem = "no heartbeat has the venue's account" if count else "its journal has no heartbeat"
        raise NotFound(
            f"run {folder.name} cannot be reconciled: {problem}",
            hint=f"it has {count:,} heartbeats, from {first} to {last}; --heartbeat {last} gives unknown"
            if count
            else None,
        )
    return list(_decoded(folder, lines))


def _decoded(folder: Path, lines: deque[tuple[int, bytes]]) -> Iterator[RecordedHeartbeat]:
    for seq, line in lines:
        recorded = decode_line(folder, event_of_line(folder, seq, line), by_name(PaperHeartbeat))
        match recorded.event:
            case PaperHeartbeat(engine_number=number, heartbeat=heartbeat, venue=venue):
                yield RecordedHeartbeat(recorded.seq, parse_iso(recorded.time), number, heartbeat, venue)
