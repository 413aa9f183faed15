"""Ledger of a venue: one line a transaction, appended and synced before any part of it is acknowledged.

A line has the digest of the previous one. The file `position` beside it has the position of the replay; it is written
without a sync: it survives a killed process, but a power cut may set it back. Then the positions in the ledger count.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic_core import from_json, to_json

from opslab.errors import Corrupt, Environment
from opslab.model.primitives.canonical import DIGEST_PREFIX
from opslab.model.primitives.instant import iso
from opslab.ports import Clock, Moment
from opslab.store.files import make_folder, sync_folder, unwritable, write_whole, writing

NAME = "ledger.jsonl"
POSITION = "position"
RESERVE = ".room"
RESERVE_BYTES = 64 << 10
"""Enough to cancel every open order that a venue allows, and to close the position."""
MAX_LINE_BYTES = 16 << 20
"""Ten times a transaction that cancels ten thousand orders."""
_POSITION = b"%11d %11d\n"
_POSITION_BYTES = 24

Flock = Callable[[int, int], None]
"""`fcntl.flock`."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line: the events of a transaction, and the position of the replay."""

    number: int
    time: str
    at: Moment
    events: tuple[dict[str, Any], ...]


class LedgerFile:
    """Implements `ports.Ledger` in a folder. One process at a time; a context manager, which releases it."""

    def __init__(self, folder: Path, clock: Clock, flock: Flock = fcntl.flock) -> None:
        self._clock = clock
        with writing("open the venue's ledger"):
            make_folder(folder)
            self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._position = os.open(folder / POSITION, os.O_RDWR | os.O_CREAT, 0o600)
            sync_folder(folder)
        try:
            _lock(
                self._file,
                Environment(
                    f"the ledger of {folder.name} is locked by another venue process",
                    hint="stop that venue, or choose another name",
                ),
                flock,
            )
            self.torn_bytes = _cut_torn_end(folder, self._file)
            """Size of an incomplete last line after a crash; it was never acknowledged."""
            with writing("open the venue's ledger"):
                if not os.fstat(self._position).st_size:  # reserves its space now, before the disk is full
                    os.pwrite(self._position, _POSITION % (0, 0), 0)
        except BaseException:
            self.close()
            raise
        self._folder = folder
        _create_reserve(folder)
        self._number, self._size = 0, 0
        self._has_incomplete_line = False
        self._prev: str | None = None
        self._moment = Moment(0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for file in (self._file, self._position):
            with suppress(OSError):
                os.close(file)

    def history(self) -> Iterator[LedgerEntry]:
        """All transactions so far. Read it to its end, once, before the first append."""
        for entry, digest, end in _read(self._folder, self._folder.name):
            self._number, self._prev, self._size = entry.number, digest, end
            self._moment = max(self._moment, entry.at)
            yield entry

    @property
    def transactions(self) -> int:
        """Known after `history` was read."""
        return self._number

    def append(self, events: Sequence[Mapping[str, Any]], at: Moment) -> None:
        """Append one transaction, on disk before this returns. Raises Unwritable; then it was not written."""
        line = (
            to_json(
                {
                    "seq": self._number + 1,
                    "time": iso(self._clock.now_ns()),
                    "minute": at.minute,
                    "tick": at.tick,
                    "events": events,
                    "prev": self._prev,
                }
            )
            + b"\n"
        )
        with writing("append to the venue's ledger"):
            view = memoryview(line)
            self._cut_incomplete_line()
            try:
                while view:
                    view = view[os.write(self._file, view) :]
                os.fdatasync(self._file)
            except BaseException:
                self._has_incomplete_line = True
                with suppress(OSError):
                    self._cut_incomplete_line()
                raise
        self._number += 1
        self._prev = DIGEST_PREFIX + hashlib.sha256(line).hexdigest()
        self._size += len(line)

    def _cut_incomplete_line(self) -> None:
        """Cut the incomplete line of a failed append: it was not acknowledged, and no line may follow it."""
        if self._has_incomplete_line:
            os.ftruncate(self._file, self._size)
            self._has_incomplete_line = False

    def mark(self, at: Moment) -> None:
        """Store the position of the replay, before any client receives its data. Raises Unwritable."""
        try:
            os.pwrite(self._position, _POSITION % at, 0)
        except OSError as error:
            raise unwritable("store the position of the venue's replay", error) from None

    def use_reserve(self) -> None:
        """Release the reserved space, so that later appends succeed on a full disk."""
        with suppress(OSError):
            (self._folder / RESERVE).unlink()

    def moment(self) -> Moment:
        """Position at which the replay continues."""
        text = os.pread(self._position, _POSITION_BYTES, 0).split()
        known = len(text) == 2 and text[0].isdigit() and text[1].isdigit()
        marked = Moment(int(text[0]), int(text[1])) if known else Moment(0, 0)
        return max(marked, self._moment)


def _create_reserve(folder: Path) -> None:
    """Reserve real blocks; a sparse file would have none. Ignored on a full disk."""
    with suppress(OSError), open(folder / RESERVE, "ab") as stream:
        if not stream.tell():
            stream.write(os.urandom(RESERVE_BYTES))  # incompressible: a compressing file system would reserve less


@contextmanager
def locked_ledger(folder: Path, flock: Flock = fcntl.flock) -> Iterator[None]:
    """Lock the ledger of this folder against venues during the block. Raises Environment when one is running."""
    try:
        file = os.open(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        _lock(file, Environment(f"venue {folder.name} is still running", hint="try again when it has ended"), flock)
        yield
    finally:
        os.close(file)


def _lock(file: int, locked: Environment, flock: Flock) -> None:
    """Raises `locked` when another process has the lock, Unwritable on a file system without locks."""
    with writing("lock the venue's ledger"):
        try:
            flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise locked from None


def read_ledger(
    folder: Path, name: str | None = None, *, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[LedgerEntry]:
    """Every complete line, in order, with a check of the chain; reads only that file.

    name: name of the venue for messages; None: the folder's name. Raises Corrupt with line and byte.
    """
    for entry, _, _ in _read(folder, name or folder.name, max_line_bytes):
        yield entry


def _read(folder: Path, name: str, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[LedgerEntry, str, int]]:
    """(entry, digest of its line, offset after it)."""
    prev: str | None = None
    start, number = 0, 0
    try:
        with open(folder / NAME, "rb") as stream:
            while line := stream.readline(max_line_bytes):
                number += 1
                if not line.endswith(b"\n"):
                    if len(line) == max_line_bytes:
                        raise _broken(name, "never ends", number, start)
                    return
                entry, previous = _parse_line(name, line, number, start)
                if entry.number != number:
                    raise _broken(name, f"has seq {entry.number} where {number} belongs", number, start)
                if previous != prev:
                    raise _broken(name, "does not follow the line before it: one of the two was changed", number, start)
                prev = DIGEST_PREFIX + hashlib.sha256(line).hexdigest()
                start += len(line)
                yield entry, prev, start
    except FileNotFoundError:
        return
    except OSError as error:
        raise Corrupt(f"ledger of {name}: {NAME} cannot be read: {error.strerror}", file=NAME) from None


def _parse_line(name: str, line: bytes, number: int, start: int) -> tuple[LedgerEntry, str | None]:
    try:
        values = from_json(line)
        at = Moment(values["minute"], values["tick"])
        if not all(isinstance(number, int) for number in (values["seq"], *at)):
            raise ValueError(at)
        return LedgerEntry(values["seq"], values["time"], at, tuple(values["events"])), values["prev"]
    except (ValueError, KeyError, TypeError):
        raise _broken(name, "is not a transaction", number, start) from None


def _broken(name: str, defect: str, number: int, start: int) -> Corrupt:
    problem = f"line {number} (byte {start}) {defect}"
    return Corrupt(f"ledger of {name}: {NAME}, {problem}", file=NAME, line=number, byte=start, problem=problem)


def _cut_torn_end(folder: Path, file: int) -> int:
    """Copy the bytes after the last newline to a file and cut them off; returns their number."""
    size = os.fstat(file).st_size
    window = 4096
    while True:
        start = max(0, size - window)
        tail = os.pread(file, size - start, start)
        if start == 0 or b"\n" in tail:
            break
        window *= 4
    torn = tail.rpartition(b"\n")[2]
    if torn:
        with writing("copy the torn end of the venue's ledger"):
            write_whole(folder / f"ledger-torn-at-{size - len(torn)}.bin", torn)
            os.ftruncate(file, size - len(torn))
            os.fdatasync(file)
    return len(torn)
