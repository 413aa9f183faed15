"""A venue's event log: what happened to it, with both clocks.

Bounded: a file that is full becomes the one before, of which there is one. Of what clients do by the thousand only so
much is written a second, so that a flood pushes nothing else out.
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
    """Appends lines. What was left out, or cannot be written, is counted, and told with the next line."""

    def __init__(self, folder: Path, clock: Clock, max_bytes: int = MAX_BYTES) -> None:
        """max_bytes: of one file."""
        self._folder = folder
        self._clock = clock
        self._max_bytes = max_bytes
        self._second = 0
        self._comings = 0
        self._left_out = 0
        with writing("open the venue's event log"):
            self._open()

    def write(self, what: str, more: Mapping[str, Any]) -> bool:
        """Whether it was not too much."""
        monotonic_s = self._clock.monotonic_s()
        if what in CONNECTION_EVENTS and not self._may_come(int(monotonic_s)):
            self._left_out += 1
            return False
        stamp = {"time": iso(self._clock.now_ns()), "monotonic_s": round(monotonic_s, 6)}
        note = {"left_out": self._left_out} if self._left_out else {}
        line = to_json({**stamp, "event": what, **more, **note}) + b"\n"
        try:
            if self._size + len(line) > self._max_bytes:
                self._turn_over()
            self._size += os.write(self._file, line)
            self._left_out = 0
        except OSError:
            self._left_out += 1
        return True

    def _may_come(self, second: int) -> bool:
        if second != self._second:
            self._second, self._comings = second, 0
        self._comings += 1
        return self._comings <= MAX_CONNECTION_EVENTS_PER_SECOND

    def _turn_over(self) -> None:
        (self._folder / NAME).replace(self._folder / PREVIOUS)
        full = self._file
        self._open()
        os.close(full)

    def _open(self) -> None:
        self._file = os.open(self._folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._file)
