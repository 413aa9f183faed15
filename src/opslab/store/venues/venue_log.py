"""Event log of a venue, with wall clock and monotonic clock.

Bounded: a full file replaces the previous one, of which there is one. Events of client connections are limited per
second, so that a flood of connections does not displace other events.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from opslab.model.primitives.instant import iso
from opslab.ports import Clock
from opslab.store.files import writing

NAME = "events.jsonl"
PREVIOUS = "events.before.jsonl"
MAX_BYTES = 16 << 20
CONNECTION_EVENTS = frozenset({"connected", "left", "disconnected"})
MAX_CONNECTION_EVENTS_PER_SECOND = 20


class VenueLog:
    """Appends lines. Dropped lines are counted; the next line has their number."""

    def __init__(self, folder: Path, clock: Clock, max_bytes: int = MAX_BYTES) -> None:
        """max_bytes: of one file."""
        self._folder = folder
        self._clock = clock
        self._max_bytes = max_bytes
        self._second = 0
        self._connection_events = 0
        self._dropped = 0
        with writing("open the venue's event log"):
            self._open()

    def write(self, event: str, fields: Mapping[str, Any]) -> bool:
        """Append one event; returns False when the rate limit dropped it."""
        monotonic_s = self._clock.monotonic_s()
        if event in CONNECTION_EVENTS and not self._within_rate(int(monotonic_s)):
            self._dropped += 1
            return False
        stamp = {"time": iso(self._clock.now_ns()), "monotonic_s": round(monotonic_s, 6)}
        dropped = {"dropped": self._dropped} if self._dropped else {}
        line = to_json({**stamp, "event": event, **fields, **dropped}) + b"\n"
        try:
            if self._size + len(line) > self._max_bytes:
                self._rotate()
            self._size += os.write(self._file, line)
            self._dropped = 0
        except OSError:
            self._dropped += 1
        return True

    def _within_rate(self, second: int) -> bool:
        if second != self._second:
            self._second, self._connection_events = second, 0
        self._connection_events += 1
        return self._connection_events <= MAX_CONNECTION_EVENTS_PER_SECOND

    def _rotate(self) -> None:
        (self._folder / NAME).replace(self._folder / PREVIOUS)
        full_file = self._file
        self._open()
        os.close(full_file)

    def _open(self) -> None:
        self._file = os.open(self._folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._file)
