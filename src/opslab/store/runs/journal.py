"""The journal of one run: chained lines, one an event.

Appending takes the file's lock and re-reads the tail when another process has written, so several processes can append.
The next writer after a crash records the torn end, which it moves to a file, in the next line.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json, to_json

from opslab.model.journal.torn_end_event import JournalTornEndKept
from opslab.model.primitives.canonical import digest_bytes
from opslab.model.primitives.instant import iso
from opslab.model.run.event import HIGH_RATE, Event
from opslab.ports import Clock
from opslab.store.chained_lines import ChainAppender, ChainedFile, Link, last_lines, line_digest
from opslab.store.files import writing

Payload = Mapping[str, Any] | bytes
"""Of an event: its values, or these as JSON, as the journal would write them."""

NAME = "journal.jsonl"
MAX_LINE_BYTES = 64 << 20
"""Far longer than any event."""
_HIGH_RATE_MARKS = tuple(f'"event":"{name}"'.encode() for name in sorted(HIGH_RATE))
_NAME_WITHIN_BYTES = 128
"""An event's name is within the first bytes of its line, after `seq` and `time`."""


class Journal:
    """Appends to one run's journal; a context manager, which closes it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._file = _journal_file(folder)
        self._clock = clock
        with writing("open the journal"):
            self._chain = ChainAppender(self._file.path, 0o644)
        self._concurrent: list[Event] = []

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._chain.close()

    def folder_renamed(self, folder: Path) -> None:
        """The folder of the open journal has another name now."""
        self._file = _journal_file(folder)
        self._chain.path = self._file.path

    def append(self, name: str, payload: Mapping[str, Any]) -> Event:
        """Append one event, on disk before this returns; returns the event as written."""
        line = self._append([(name, payload)], sync=True)[-1]
        return Event.model_validate_json(line)

    def append_many(self, events: Iterable[tuple[str, Payload]]) -> list[Event]:
        """Append (name, payload) pairs in one write. A later `append` makes them durable.

        Returns the events as written, but not those whose payload was JSON already.
        """
        events = list(events)
        lines = self._append(events, sync=False)[-len(events) :]
        pairs = zip(events, lines, strict=True)
        return [Event.model_validate_json(line) for (_, payload), line in pairs if not isinstance(payload, bytes)]

    def append_exclusively(self, make: Callable[[], tuple[str, Mapping[str, Any]]]) -> Event:
        """As `append`, of the pair that `make` returns; no other process can append while it runs."""
        line = self._append((make() for _ in range(1)), sync=True)[-1]
        return Event.model_validate_json(line)

    def take_concurrent_events(self) -> list[Event]:
        """Lifecycle events that other processes wrote between ours, since the last call."""
        events, self._concurrent = self._concurrent, []
        return events

    def _append(self, events: Iterable[tuple[str, Payload]], sync: bool) -> list[bytes]:
        """The events are iterated over while no other process can append."""
        with writing("append to the journal"):
            fcntl.flock(self._chain.file, fcntl.LOCK_EX)
            try:
                torn = self._catch_up()
                return self._chain.append([*torn, *events], _encoder(iso(self._clock.now_ns())), sync=sync)
            finally:
                fcntl.flock(self._chain.file, fcntl.LOCK_UN)

    def _catch_up(self) -> list[tuple[str, Payload]]:
        """Read the last line if another process has written. Returns the events to record for a torn end."""
        chain = self._chain
        size = os.fstat(chain.file).st_size
        if size == chain.size:
            return []
        last_line, torn = last_lines(chain.file, size)
        notices: list[tuple[str, Payload]] = []
        if torn:
            file = chain.move_torn_end(torn, size).name
            size -= len(torn)
            kept = JournalTornEndKept(file=file, offset=size, size_bytes=len(torn), digest=digest_bytes(torn))
            notices.append((kept.EVENT, kept.payload()))
        if last_line:
            _, chain.seq, _ = self._file.link(last_line)
            chain.digest = line_digest(last_line)
        if chain.size >= 0:
            self._concurrent += self._between(chain.size, size)
        chain.size = size
        return notices

    def _between(self, start: int, end: int) -> Iterator[Event]:
        lines = os.pread(self._chain.file, end - start, start).splitlines(keepends=True)
        for line in lines:
            if line.endswith(b"\n") and not any(mark in line[:_NAME_WITHIN_BYTES] for mark in _HIGH_RATE_MARKS):
                yield self._file.link(line)[0]


def _encoder(time: str) -> Callable[[tuple[str, Payload], int, str | None], bytes]:
    time_bytes = time.encode()

    def encode(event: tuple[str, Payload], seq: int, prev: str | None) -> bytes:
        name, payload = event
        if isinstance(payload, bytes) and prev:
            return b'{"seq":%d,"time":"%b","event":"%b","payload":%b,"prev":"%b"}\n' % (
                seq,
                time_bytes,
                name.encode(),
                payload,
                prev.encode(),
            )
        values = from_json(payload) if isinstance(payload, bytes) else payload
        return to_json({"seq": seq, "time": time, "event": name, "payload": values, "prev": prev}) + b"\n"

    return encode


def _parse(line: bytes) -> Link[Event]:
    event = Event.model_validate_json(line)
    return event, event.seq, event.prev


def _journal_file(folder: Path, max_line_bytes: int = MAX_LINE_BYTES) -> ChainedFile[Event]:
    return ChainedFile(folder / NAME, f"run {folder.name}", "an event", _parse, max_line_bytes)


def open_journal(folder: Path) -> BinaryIO:
    """Open for reading: as `ChainedFile.open`."""
    return _journal_file(folder).open()


@dataclass(frozen=True, slots=True)
class Tail:
    """The journal after an offset."""

    events: list[Event]
    torn: bytes
    """Bytes after the last newline."""
    next_seq: int
    next_prev: str | None
    """`seq` and `prev` of the line that follows the events, or is torn."""


def events_after(folder: Path, offset: int) -> Tail:
    """Read from `offset`, where a line begins. Raises Corrupt for a line that does not follow the previous one."""
    with _journal_file(folder).reading() as reader:
        reader.skip_to(offset)
        events = list(reader.records())
        return Tail(events, reader.torn, reader.number + 1, reader.digest)


def cut_torn_end(folder: Path) -> None:
    """Remove the bytes after the last newline, an incomplete line that no caller saw. The caller owns the run."""
    with writing("cut the journal's torn end"):
        file = os.open(folder / NAME, os.O_RDWR)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            _, torn = last_lines(file, size)
            if torn:
                os.ftruncate(file, size - len(torn))
                os.fsync(file)
        finally:
            os.close(file)


def read_events(folder: Path, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Event]:
    """Every complete line, in order, with a check of the chain; a torn end is skipped.

    Streams: memory does not grow with the journal. Raises Corrupt with line and byte where the chain breaks.
    """
    return _journal_file(folder, max_line_bytes).records()


def read_lifecycle(folder: Path) -> Iterator[Event]:
    """Only the lifecycle events: the others are skipped without parsing. Raises Corrupt; does not check the chain."""
    file = _journal_file(folder)
    for number, start, line in file.lines():
        head = line[:_NAME_WITHIN_BYTES]
        if not any(mark in head for mark in _HIGH_RATE_MARKS):
            yield file.link(line, number, start)[0]


def read_bodies(folder: Path, names: Iterable[str]) -> Iterator[tuple[int, bytes]]:
    """(line number, event and payload as bytes) of the events with these names, for a comparison of two runs."""
    marks = tuple(f'"event":"{name}"'.encode() for name in names)
    file = _journal_file(folder)
    for number, start, line in file.lines():
        head = line[:_NAME_WITHIN_BYTES]
        if any(mark in head for mark in marks):
            begin, end = line.find(b'"event":'), line.rfind(b',"prev":')
            if begin < 0 or end < begin:
                raise file.broken("is not an event", number, start)
            yield number, b"{" + line[begin:end] + b"}"


def read_lines(folder: Path, name: str) -> Iterator[tuple[int, bytes]]:
    """(line number, raw line) of the events with this name; nothing is parsed."""
    mark = f'"event":"{name}"'.encode()
    for number, _start, line in _journal_file(folder).lines():
        if mark in line[:_NAME_WITHIN_BYTES]:
            yield number, line


def event_of_line(folder: Path, number: int, line: bytes) -> Event:
    """Parse a line of `read_lines`. Raises Corrupt with the line number."""
    return _journal_file(folder).link(line, number)[0]


def last_event(folder: Path) -> Event | None:
    """The last complete line, without reading the others; None when there is none."""
    try:
        file = os.open(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        last_line, _ = last_lines(file, os.fstat(file).st_size)
    finally:
        os.close(file)
    return _journal_file(folder).link(last_line)[0] if last_line else None
