"""The journal of one run: append-only JSON lines, each with the digest of the previous line.

Appending takes the file's lock and re-reads the tail when another process has written, so several processes can append.
A line without its newline is the torn end of a crash: readers skip it; the next writer moves it to a file and records
that in the next line.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json, to_json

from opslab.errors import Corrupt
from opslab.model.primitives.canonical import DIGEST_PREFIX, digest_bytes
from opslab.model.primitives.instant import iso
from opslab.model.run.event import HIGH_RATE, Event
from opslab.ports import Clock
from opslab.store.files import write_whole, writing

Payload = Mapping[str, Any] | bytes
"""Of an event: its values, or these as JSON, as the journal would write them."""

NAME = "journal.jsonl"
MAX_LINE_BYTES = 64 << 20
"""Far longer than any event; a longer line is corrupt and is not read into memory."""
_HIGH_RATE_MARKS = tuple(f'"event":"{name}"'.encode() for name in sorted(HIGH_RATE))
_NAME_WITHIN_BYTES = 128
"""An event's name is within the first bytes of its line, after `seq` and `time`."""


class Journal:
    """Appends to one run's journal; a context manager, which closes it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path = folder / NAME
        self._clock = clock
        with writing("open the journal"):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._size = -1
        self._concurrent: list[Event] = []
        self._seq = 0
        self._prev: str | None = None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

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
        with writing("append to the journal"):
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                torn = self._catch_up()
                return Event.model_validate_json(self._write([*torn, make()], sync=True)[-1])
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def take_concurrent_events(self) -> list[Event]:
        """Lifecycle events that other processes wrote between ours, since the last call."""
        events, self._concurrent = self._concurrent, []
        return events

    def _append(self, events: Iterable[tuple[str, Payload]], sync: bool) -> list[bytes]:
        with writing("append to the journal"):
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                torn = self._catch_up()
                return self._write([*torn, *events], sync)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _write(self, events: Iterable[tuple[str, Payload]], sync: bool) -> list[bytes]:
        time = iso(self._clock.now_ns())
        seq, prev = self._seq, self._prev
        lines: list[bytes] = []
        for name, payload in events:
            seq += 1
            line = _line(seq, time, name, payload, prev)
            prev = DIGEST_PREFIX + hashlib.sha256(line).hexdigest()
            lines.append(line)
        data = b"".join(lines)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
            if sync:
                os.fdatasync(self._file)
        except BaseException:
            with suppress(OSError):  # an incomplete write was reported to no caller
                os.ftruncate(self._file, self._size)
            raise
        self._seq, self._prev = seq, prev
        self._size += len(data)
        return lines

    def _catch_up(self) -> list[tuple[str, dict[str, Any]]]:
        """Read the last line if another process has written. Returns the events to record for a torn end."""
        size = os.fstat(self._file).st_size
        if size == self._size:
            return []
        tail = _last_lines(self._file, size)
        whole, torn = tail.rpartition(b"\n")[0], tail.rpartition(b"\n")[2]
        notices: list[tuple[str, dict[str, Any]]] = []
        if torn:
            size -= len(torn)
            file = f"journal-torn-at-{size}.bin"
            write_whole(self._path.with_name(file), torn)
            os.ftruncate(self._file, size)
            payload = {"file": file, "offset": size, "size_bytes": len(torn), "digest": digest_bytes(torn)}
            notices.append(("journal_torn_end_kept", payload))
        last = whole.rpartition(b"\n")[2]
        if last:
            self._seq, self._prev = _link_of(self._path.parent, last + b"\n")
        if self._size >= 0:
            self._concurrent += self._between(self._size, size)
        self._size = size
        return notices

    def _between(self, start: int, end: int) -> Iterator[Event]:
        lines = os.pread(self._file, end - start, start).splitlines(keepends=True)
        for line in lines:
            if line.endswith(b"\n") and not any(mark in line[:_NAME_WITHIN_BYTES] for mark in _HIGH_RATE_MARKS):
                yield _event(self._path.parent, line)


def _line(seq: int, time: str, name: str, payload: Payload, prev: str | None) -> bytes:
    if isinstance(payload, bytes) and prev:
        return b'{"seq":%d,"time":"%b","event":"%b","payload":%b,"prev":"%b"}\n' % (
            seq,
            time.encode(),
            name.encode(),
            payload,
            prev.encode(),
        )
    values = from_json(payload) if isinstance(payload, bytes) else payload
    return to_json({"seq": seq, "time": time, "event": name, "payload": values, "prev": prev}) + b"\n"


def open_journal(folder: Path) -> BinaryIO:
    """Open for reading. Never waits: a pipe in its place, which would block its reader, reads as empty."""
    return open(folder / NAME, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))


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
    events: list[Event] = []
    try:
        with open_journal(folder) as stream:
            whole, newline, open_line = _last_lines(stream.fileno(), offset).rpartition(b"\n")
            if open_line:
                raise _broken(folder, f"has no newline before byte {offset}", None, None)
            seq, prev = _link_of(folder, whole.rpartition(b"\n")[2] + newline) if newline else (0, None)
            stream.seek(offset)
            while (line := stream.readline(MAX_LINE_BYTES)).endswith(b"\n"):
                event = _event(folder, line, seq + 1, offset)
                if (event.seq, event.prev) != (seq + 1, prev):
                    raise _broken(folder, "does not follow the line before it", seq + 1, offset)
                events.append(event)
                seq, prev = _link_of(folder, line)
                offset += len(line)
            if len(line) == MAX_LINE_BYTES:
                raise _broken(folder, "never ends", seq + 1, offset)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise Corrupt(f"run {folder.name}: {NAME} {problem}", file=NAME, problem=problem) from None
    return Tail(events, line, seq + 1, prev)


def cut_torn_end(folder: Path) -> None:
    """Remove the bytes after the last newline, an incomplete line that no caller saw. The caller owns the run."""
    with writing("cut the journal's torn end"):
        file = os.open(folder / NAME, os.O_RDWR)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            torn = _last_lines(file, size).rpartition(b"\n")[2]
            if torn:
                os.ftruncate(file, size - len(torn))
                os.fsync(file)
        finally:
            os.close(file)


def read_events(folder: Path, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Event]:
    """Every complete line, in order, with a check of the chain; a torn end is skipped.

    Streams: memory does not grow with the journal. Raises Corrupt with line and byte where the chain breaks.
    """
    prev: str | None = None
    for number, start, line in _whole_lines(folder, max_line_bytes):
        event = _event(folder, line, number, start)
        if event.seq != number:
            raise _broken(folder, f"has seq {event.seq} where {number} belongs", number, start)
        if event.prev != prev:
            raise _broken(folder, "does not follow the line before it: one of the two was changed", number, start)
        prev = DIGEST_PREFIX + hashlib.sha256(line).hexdigest()
        yield event


def read_lifecycle(folder: Path) -> Iterator[Event]:
    """Only the lifecycle events: the others are skipped without parsing. Raises Corrupt; does not check the chain."""
    for number, start, line in _whole_lines(folder):
        head = line[:_NAME_WITHIN_BYTES]
        if not any(mark in head for mark in _HIGH_RATE_MARKS):
            yield _event(folder, line, number, start)


def read_bodies(folder: Path, names: Iterable[str]) -> Iterator[tuple[int, bytes]]:
    """(line number, event and payload as bytes) of the events with these names, for a comparison of two runs."""
    marks = tuple(f'"event":"{name}"'.encode() for name in names)
    for number, start, line in _whole_lines(folder):
        head = line[:_NAME_WITHIN_BYTES]
        if any(mark in head for mark in marks):
            begin, end = line.find(b'"event":'), line.rfind(b',"prev":')
            if begin < 0 or end < begin:
                raise _broken(folder, "is not an event", number, start)
            yield number, b"{" + line[begin:end] + b"}"


def read_lines(folder: Path, name: str) -> Iterator[tuple[int, bytes]]:
    """(line number, raw line) of the events with this name; nothing is parsed."""
    mark = f'"event":"{name}"'.encode()
    for number, _start, line in _whole_lines(folder):
        if mark in line[:_NAME_WITHIN_BYTES]:
            yield number, line


def event_of_line(folder: Path, number: int, line: bytes) -> Event:
    """Parse a line of `read_lines`. Raises Corrupt with the line number."""
    return _event(folder, line, number)


def last_event(folder: Path) -> Event | None:
    """The last complete line, without reading the others; None when there is none."""
    try:
        file = os.open(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        tail = _last_lines(file, os.fstat(file).st_size)
    finally:
        os.close(file)
    last = tail.rpartition(b"\n")[0].rpartition(b"\n")[2]
    return _event(folder, last) if last else None


def _whole_lines(folder: Path, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, int, bytes]]:
    """(line number, offset, line); empty when there is no journal."""
    start = 0
    try:
        with open_journal(folder) as stream:
            number = 0
            while line := stream.readline(max_line_bytes):
                number += 1
                if not line.endswith(b"\n"):
                    if len(line) == max_line_bytes:
                        raise _broken(folder, "never ends", number, start)
                    return
                yield number, start, line
                start += len(line)
    except FileNotFoundError:
        return
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise Corrupt(f"run {folder.name}: {NAME} {problem}", file=NAME, problem=problem) from None


def _event(folder: Path, line: bytes, number: int | None = None, start: int | None = None) -> Event:
    """number: None for the last line, whose number is not known."""
    try:
        return Event.model_validate_json(line)
    except ValueError:
        raise _broken(folder, "is not an event", number, start) from None


def _link_of(folder: Path, line: bytes) -> tuple[int, str]:
    """`seq` and digest of a line, which the next line refers to."""
    return _event(folder, line).seq, DIGEST_PREFIX + hashlib.sha256(line).hexdigest()


def _broken(folder: Path, defect: str, number: int | None, start: int | None) -> Corrupt:
    byte = "" if start is None else f" (byte {start})"
    location = "the last line" if number is None else f"line {number}{byte}"
    problem = f"{location} {defect}"
    brief = f"{NAME}, {problem}"
    return Corrupt(f"run {folder.name}: {brief}", file=NAME, line=number, byte=start, problem=problem, brief=brief)


def _last_lines(file: int, size: int) -> bytes:
    """The end of the file: at least its last complete line and the bytes after it."""
    window = 4096
    while True:
        start = max(0, size - window)
        tail = os.pread(file, size - start, start)
        if start == 0 or tail.count(b"\n") >= 2:
            return tail
        window *= 4
