"""Heartbeats of a paper run, found again in its journal, however long that is."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from opslab.errors import Corrupt, NotFound
from opslab.model.messages.paper_messages import AccountSnapshot, EngineHeartbeat
from opslab.model.primitives.instant import parse_iso
from opslab.model.run.event import Event
from opslab.store.runs.journal import NAME as JOURNAL
from opslab.store.runs.journal import event_of_line, read_lines

EVENT = "paper_heartbeat"
LOOKED_BACK = 60
"""So many heartbeats before the one that is asked for are looked at: a minute and more."""
_WITH_VENUE = b'"venue":{'


@dataclass(frozen=True, slots=True)
class Heartbeat:
    seq: int
    """Of its event."""
    at_ns: int
    """Wall clock; when its event was written."""
    engine: int
    """Which engine of the run it is of."""
    beat: EngineHeartbeat
    venue: AccountSnapshot | None


def read_heartbeats(folder: Path, seq: int | None) -> list[Heartbeat]:
    """That one, last, and before it those that were just before it and know what the venue said, oldest first.

    seq: None for the last one that knows. Raises NotFound, with what there is; Corrupt.
    """
    known: deque[tuple[int, bytes]] = deque(maxlen=LOOKED_BACK + 1)
    first = last = count = 0
    for number, line in read_lines(folder, EVENT):
        first, last, count = first or number, number, count + 1
        if number == seq or _WITH_VENUE in line:
            known.append((number, line))
        if number == seq:
            return list(_read(folder, known))
    if seq is not None:
        there = f"it has {count:,}, from {first} to {last}" if count else "it has none"
        raise NotFound(
            f"run {folder.name} has no heartbeat {seq}: {there}",
            hint="--heartbeat takes the seq of a paper_heartbeat event in the run's journal" if count else None,
        )
    if not known:
        said = "knows what the venue said" if count else "is in its journal"
        raise NotFound(
            f"run {folder.name} has no heartbeat to judge: none {said}",
            hint=f"it has {count:,}, from {first} to {last}; --heartbeat {last} says what can be said"
            if count
            else None,
        )
    return list(_read(folder, known))


def _read(folder: Path, lines: deque[tuple[int, bytes]]) -> Iterator[Heartbeat]:
    for number, line in lines:
        event = event_of_line(folder, number, line)
        try:
            yield _heartbeat(event)
        except (KeyError, TypeError, ValueError) as error:
            why = error.errors()[0]["loc"] if isinstance(error, ValidationError) else error
            what = f"line {number} is no heartbeat that this version can read: {why}"
            raise Corrupt(f"run {folder.name}: {JOURNAL}, {what}", file=JOURNAL, line=number, what=what) from None


def _heartbeat(event: Event) -> Heartbeat:
    told: Mapping[str, Any] = event.payload
    venue = told["venue"]
    return Heartbeat(
        seq=event.seq,
        at_ns=parse_iso(event.time),
        engine=int(told["engine_number"]),
        beat=EngineHeartbeat.model_validate_json(to_json(told["heartbeat"])),
        venue=None if venue is None else AccountSnapshot.model_validate_json(to_json(venue)),
    )
