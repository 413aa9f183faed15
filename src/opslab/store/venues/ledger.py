"""A venue's ledger: one line a transaction, appended and synced before anything of it is acknowledged.

A line holds the digest of the one before it. `position` beside it says how far the replay is; it is written without a
sync, which a killed process survives, and a power cut may set it back: the ledger's own positions then count.
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
"""For canceling every order that a venue lets be open, and closing the position."""
MAX_LINE_BYTES = 16 << 20
"""A transaction that cancels ten thousand orders is a tenth of it."""
_POSITION = b"%11d %11d\n"
_POSITION_BYTES = 24

Flock = Callable[[int, int], None]
"""`fcntl.flock`."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line: events that took place together, and where the replay then was."""

    number: int
    time: str
    at: Moment
    events: tuple[dict[str, Any], ...]


class LedgerFile:
    """Implements `ports.Ledger` in a folder. Held by one process at a time; `with` lets it go."""

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
                    f"the ledger of {folder.name} is in use by another venue",
                    hint="stop that one, or take another name",
                ),
                flock,
            )
            self.torn_bytes = _cut_torn_end(folder, self._file)
            """Of a line that a crash left unfinished: it was acknowledged to nobody."""
            with writing("open the venue's ledger"):
                if not os.fstat(self._position).st_size:  # room for it is had now, not when the disk is full
                    os.pwrite(self._position, _POSITION % (0, 0), 0)
        except BaseException:
            self.close()
            raise
        self._folder = folder
        _keep_last_room(folder)
        self._number, self._size = 0, 0
        self._unfinished = False
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
        """Everything so far. To be read to its end, once, before anything is appended."""
        for transaction, digest, end in _read(self._folder, self._folder.name):
            self._number, self._prev, self._size = transaction.number, digest, end
            self._moment = max(self._moment, transaction.at)
            yield transaction

    @property
    def transactions(self) -> int:
        """Once the history was read."""
        return self._number

    def append(self, events: Sequence[Mapping[str, Any]], at: Moment) -> None:
        """One transaction, on disk before this returns. Raises Unwritable, and then it was not written."""
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
            self._take_back()
            try:
                while view:
                    view = view[os.write(self._file, view) :]
                os.fdatasync(self._file)
            except BaseException:
                self._unfinished = True
                with suppress(OSError):
                    self._take_back()
                raise
        self._number += 1
        self._prev = DIGEST_PREFIX + hashlib.sha256(line).hexdigest()
        self._size += len(line)

    def _take_back(self) -> None:
        """Cut off what an append left that failed: it was acknowledged to nobody, and nothing may come behind it."""
        if self._unfinished:
            os.ftruncate(self._file, self._size)
            self._unfinished = False

    def mark(self, at: Moment) -> None:
        """Note how far the replay is, before anybody is told of it. Raises Unwritable."""
        try:
            os.pwrite(self._position, _POSITION % at, 0)
        except OSError as error:
            raise unwritable("note how far the venue's replay is", error) from None

    def use_reserve(self) -> None:
        """Let go of it: on a disk that is full, what is appended next finds a place."""
        with suppress(OSError):
            (self._folder / RESERVE).unlink()

    def moment(self) -> Moment:
        """Where the replay has to go on."""
        text = os.pread(self._position, _POSITION_BYTES, 0).split()
        known = len(text) == 2 and text[0].isdigit() and text[1].isdigit()
        marked = Moment(int(text[0]), int(text[1])) if known else Moment(0, 0)
        return max(marked, self._moment)


def _keep_last_room(folder: Path) -> None:
    """Real blocks, which a file with a hole would not have. Where there is none any more, there is none to keep."""
    with suppress(OSError), open(folder / RESERVE, "ab") as stream:
        if not stream.tell():
            stream.write(os.urandom(RESERVE_BYTES))  # what a file system compresses keeps no room


@contextmanager
def locked_ledger(folder: Path, flock: Flock = fcntl.flock) -> Iterator[None]:
    """Nobody writes the ledger of this folder, and nobody begins to while the block lasts. Raises Environment."""
    try:
        file = os.open(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        _lock(file, Environment(f"venue {folder.name} is still served", hint="try again when it has ended"), flock)
        yield
    finally:
        os.close(file)


def _lock(file: int, taken: Environment, flock: Flock) -> None:
    """Raises `taken` when another process has it, Unwritable where there are no locks."""
    with writing("lock the venue's ledger"):
        try:
            flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise taken from None


def read_ledger(
    folder: Path, name: str | None = None, *, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[LedgerEntry]:
    """Every whole line, in order, the chain checked on the way; it needs nothing but that file.

    name: whose ledger it is; None: the folder's. Raises Corrupt, naming line and byte.
    """
    for transaction, _, _ in _read(folder, name or folder.name, max_line_bytes):
        yield transaction


def _read(folder: Path, name: str, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[LedgerEntry, str, int]]:
    """(transaction, digest of its line, offset behind it)."""
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
                transaction, before = _transaction(name, line, number, start)
                if transaction.number != number:
                    raise _broken(name, f"has seq {transaction.number} where {number} belongs", number, start)
                if before != prev:
                    raise _broken(name, "does not follow the line before it: one of the two was changed", number, start)
                prev = DIGEST_PREFIX + hashlib.sha256(line).hexdigest()
                start += len(line)
                yield transaction, prev, start
    except FileNotFoundError:
        return
    except OSError as error:
        raise Corrupt(f"ledger of {name}: {NAME} cannot be read: {error.strerror}", file=NAME) from None


def _transaction(name: str, line: bytes, number: int, start: int) -> tuple[LedgerEntry, str | None]:
    try:
        found = from_json(line)
        at = Moment(found["minute"], found["tick"])
        if not all(isinstance(number, int) for number in (found["seq"], *at)):
            raise ValueError(at)
        return LedgerEntry(found["seq"], found["time"], at, tuple(found["events"])), found["prev"]
    except (ValueError, KeyError, TypeError):
        raise _broken(name, "is not a transaction", number, start) from None


def _broken(name: str, what: str, number: int, start: int) -> Corrupt:
    place = f"line {number} (byte {start}) {what}"
    return Corrupt(f"ledger of {name}: {NAME}, {place}", file=NAME, line=number, byte=start, what=place)


def _cut_torn_end(folder: Path, file: int) -> int:
    """Keep what stands behind the last newline aside, and cut it off; how many bytes that were."""
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
        with writing("keep the torn end of the venue's ledger"):
            write_whole(folder / f"ledger-torn-at-{size - len(torn)}.bin", torn)
            os.ftruncate(file, size - len(torn))
            os.fdatasync(file)
    return len(torn)
