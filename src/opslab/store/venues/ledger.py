"""Ledger of a venue: one line a transaction, appended and synced before any part of it is acknowledged.

Its lines are chained. The file `position` beside it has the position of the replay; it is written without a sync: it
survives a killed process, but a power cut may set it back. Then the positions in the ledger count.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic_core import from_json, to_json

from opslab.errors import Environment
from opslab.model.primitives.instant import iso
from opslab.ports import Clock, Moment
from opslab.store.chained_lines import ChainAppender, ChainedFile, Link, last_lines
from opslab.store.files import make_folder, sync_folder, unwritable, writing

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
            self._chain = ChainAppender(folder / NAME, 0o600)
            self._position = os.open(folder / POSITION, os.O_RDWR | os.O_CREAT, 0o600)
            sync_folder(folder)
        try:
            _lock(
                self._chain.file,
                Environment(
                    f"the ledger of {folder.name} is locked by another venue process",
                    hint="stop that venue, or choose another name",
                ),
                flock,
            )
            self.torn_bytes = self._move_torn_end()
            """Size of an incomplete last line after a crash; it was never acknowledged."""
            with writing("open the venue's ledger"):
                if not os.fstat(self._position).st_size:  # reserves its space now, before the disk is full
                    os.pwrite(self._position, _POSITION % (0, 0), 0)
        except BaseException:
            self.close()
            raise
        self._folder = folder
        _create_reserve(folder)
        self._moment = Moment(0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for file in (self._chain.file, self._position):
            with suppress(OSError):
                os.close(file)

    def history(self) -> Iterator[LedgerEntry]:
        """All transactions so far. Read it to its end, once, before the first append."""
        with _ledger_file(self._folder, self._folder.name).reading() as reader:
            for entry in reader.records():
                self._moment = max(self._moment, entry.at)
                yield entry
            self._chain.continue_after(reader)

    @property
    def transactions(self) -> int:
        """Known after `history` was read."""
        return self._chain.seq

    def append(self, events: Sequence[Mapping[str, Any]], at: Moment) -> None:
        """Append one transaction, on disk before this returns. Raises Unwritable; then it was not written."""
        time = iso(self._clock.now_ns())

        def encode(events: Sequence[Mapping[str, Any]], seq: int, prev: str | None) -> bytes:
            values = {"seq": seq, "time": time, "minute": at.minute, "tick": at.tick, "events": events, "prev": prev}
            return to_json(values) + b"\n"

        with writing("append to the venue's ledger"):
            self._chain.cut_incomplete_line()  # it was not acknowledged, and no line may follow it
            self._chain.append([events], encode, sync=True)

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

    def _move_torn_end(self) -> int:
        """Move the bytes after the last newline to a file; returns their number."""
        file = self._chain.file
        size = os.fstat(file).st_size
        _, torn = last_lines(file, size)
        if torn:
            with writing("copy the torn end of the venue's ledger"):
                self._chain.move_torn_end(torn, size)
                os.fdatasync(file)
        return len(torn)


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
    return _ledger_file(folder, name or folder.name, max_line_bytes).records()


def _ledger_file(folder: Path, name: str, max_line_bytes: int = MAX_LINE_BYTES) -> ChainedFile[LedgerEntry]:
    return ChainedFile(folder / NAME, f"ledger of {name}", "a transaction", _parse, max_line_bytes)


def _parse(line: bytes) -> Link[LedgerEntry]:
    values = from_json(line)
    at = Moment(values["minute"], values["tick"])
    if not all(isinstance(number, int) for number in (values["seq"], *at)):
        raise ValueError(at)
    entry = LedgerEntry(values["seq"], values["time"], at, tuple(values["events"]))
    return entry, entry.number, values["prev"]
