"""The journal of one run: append-only JSON lines, each holding the digest of the line before it.

Appending takes the file's lock and re-reads the tail when somebody else has written, so that several processes can
append. A line without its newline is the torn end of a crash: readers skip it, the next writer keeps it aside.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from opslab.errors import Corrupt
from opslab.model.canonical import DIGEST_PREFIX
from opslab.model.event import Event
from opslab.model.instant import iso
from opslab.ports import Clock
from opslab.store.files import write_whole, writing

NAME = "journal.jsonl"


class Journal:
    """Appends to one run's journal. `with` closes it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path = folder / NAME
        self._clock = clock
        with writing("open the journal"):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._size = -1
        self._seq = 0
        self._prev: str | None = None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def append(self, name: str, payload: Mapping[str, Any]) -> Event:
        """Append one event, on disk before this returns; the event as written."""
        (line,) = self._append([(name, payload)], sync=True)
        return Event.model_validate_json(line)

    def append_many(self, events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Append (name, payload) pairs as one write. A later `append` makes them durable."""
        self._append(events, sync=False)

    def _append(self, events: Iterable[tuple[str, Mapping[str, Any]]], sync: bool) -> list[bytes]:
        with writing("append to the journal"):
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                self._catch_up()
                return self._write(events, sync)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _write(self, events: Iterable[tuple[str, Mapping[str, Any]]], sync: bool) -> list[bytes]:
        time = iso(self._clock.now_ns())
        seq, prev = self._seq, self._prev
        lines: list[bytes] = []
        for name, payload in events:
            seq += 1
            line = to_json({"seq": seq, "time": time, "event": name, "payload": payload, "prev": prev}) + b"\n"
            prev = DIGEST_PREFIX + hashlib.sha256(line).hexdigest()
            lines.append(line)
        data = b"".join(lines)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        if sync:
            os.fdatasync(self._file)
        self._seq, self._prev = seq, prev
        self._size += len(data)
        return lines

    def _catch_up(self) -> None:
        """Know the last line: nothing to do unless somebody else wrote, or a crash tore the end."""
        size = os.fstat(self._file).st_size
        if size == self._size:
            return
        tail = _last_lines(self._file, size)
        whole, torn = tail.rpartition(b"\n")[0], tail.rpartition(b"\n")[2]
        if torn:
            write_whole(self._path.with_name(f"journal-torn-at-{size - len(torn)}.bin"), torn)
            os.ftruncate(self._file, size - len(torn))
            size -= len(torn)
        last = whole.rpartition(b"\n")[2]
        if last:
            self._seq = _parse(last + b"\n", self._path, None).seq
            self._prev = DIGEST_PREFIX + hashlib.sha256(last + b"\n").hexdigest()
        self._size = size


def read_events(folder: Path) -> Iterator[Event]:
    """Every whole line, in order; a torn end is left out. Raises Corrupt for a line that is no event."""
    path = folder / NAME
    try:
        with open(path, "rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.endswith(b"\n"):
                    yield _parse(line, path, number)
    except FileNotFoundError:
        return


def _parse(line: bytes, path: Path, number: int | None) -> Event:
    try:
        return Event.model_validate_json(line)
    except ValueError:
        where = f"line {number}" if number else "the last line"
        raise Corrupt(f"{path.parent.name}/{path.name}: {where} is not an event") from None


def _last_lines(file: int, size: int) -> bytes:
    """The end of the file: at least its last whole line and whatever stands behind it."""
    window = 4096
    while True:
        start = max(0, size - window)
        tail = os.pread(file, size - start, start)
        if start == 0 or tail.count(b"\n") >= 2:
            return tail
        window *= 4
