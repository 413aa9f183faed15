"""Files of JSON lines, each with its number and the digest of the previous line: the journal and the ledger.

A line without its newline is the torn end of a crash: readers skip it; a writer moves it to a file before it appends.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from opslab.errors import Corrupt
from opslab.model.primitives.canonical import DIGEST_PREFIX
from opslab.store.files import write_whole

type Link[Record] = tuple[Record, int, str | None]
"""A parsed line: the record, its `seq` from 1, and the digest of the previous line with its newline, or None."""


@dataclass(frozen=True, slots=True)
class ChainedFile[Record]:
    """One such file, for readers."""

    path: Path
    title: str
    """Its run or venue in messages: `run r1`."""
    kind: str
    """A line's content in messages: `an event`."""
    parse: Callable[[bytes], Link[Record]]
    """Raises ValueError, KeyError or TypeError for bytes that are no such line."""
    max_line_bytes: int
    """A longer line is corrupt and is not read into memory."""

    def open(self) -> BinaryIO:
        """A missing file is empty. Never waits: a pipe in its place, which would block its reader, reads as empty."""
        try:
            return open(self.path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))
        except FileNotFoundError:
            return open(os.devnull, "rb")

    @contextmanager
    def reading(self) -> Iterator["ChainReader[Record]"]:
        """As `open`. Raises Corrupt when the file cannot be read."""
        try:
            with self.open() as stream:
                yield ChainReader(self, stream)
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
            name = self.path.name
            raise Corrupt(f"{self.title}: {name} {problem}", file=name, problem=problem) from None

    def records(self) -> Iterator[Record]:
        """Every complete line, in order, with a check of the chain; memory does not grow with the file.

        Raises Corrupt with line and byte where the chain breaks.
        """
        with self.reading() as reader:
            yield from reader.records()

    def lines(self) -> Iterator[tuple[int, int, bytes]]:
        """(number, offset, line) of every complete line; the chain is not checked."""
        with self.reading() as reader:
            for line in reader.lines():
                yield reader.number, reader.start, line

    def link(self, line: bytes, number: int | None = None, start: int | None = None) -> Link[Record]:
        """Parse one line. number: None for the last line, whose number is not known. Raises Corrupt."""
        try:
            return self.parse(line)
        except (ValueError, KeyError, TypeError):
            raise self.broken(f"is not {self.kind}", number, start) from None

    def broken(self, defect: str, number: int | None, start: int | None) -> Corrupt:
        byte = "" if start is None else f" (byte {start})"
        location = "the last line" if number is None else f"line {number}{byte}"
        problem = f"{location} {defect}"
        name = self.path.name
        brief = f"{name}, {problem}"
        return Corrupt(f"{self.title}: {brief}", file=name, line=number, byte=start, problem=problem, brief=brief)


class ChainReader[Record]:
    """Reads the lines of an open file in order. Iterate over `lines` or over `records`, once."""

    def __init__(self, file: ChainedFile[Record], stream: BinaryIO) -> None:
        self._file = file
        self._stream = stream
        self.number = 0
        """Of the last line that was read."""
        self.start = 0
        """Offset of that line."""
        self.end = 0
        """Offset after it."""
        self.digest: str | None = None
        """Of its bytes; None before the first line. Known with `records` only."""
        self.torn = b""
        """Bytes after the last newline, known when the iteration has ended."""

    def skip_to(self, offset: int) -> None:
        """Continue at `offset`, after a line. Raises Corrupt when no line ends there."""
        last_line, open_line = last_lines(self._stream.fileno(), offset)
        if open_line:
            raise self._file.broken(f"has no newline before byte {offset}", None, None)
        if last_line:
            _, self.number, _ = self._file.link(last_line)
            self.digest = line_digest(last_line)
        self.end = offset
        self._stream.seek(offset)

    def lines(self) -> Iterator[bytes]:
        """Complete lines; the chain is not checked."""
        read, limit = self._stream.readline, self._file.max_line_bytes
        while line := read(limit):
            if not line.endswith(b"\n"):
                if len(line) == limit:
                    raise self._file.broken("never ends", self.number + 1, self.end)
                self.torn = line
                return
            self.number += 1
            self.start = self.end
            self.end += len(line)
            yield line

    def records(self) -> Iterator[Record]:
        """Raises Corrupt for a line that does not follow the previous one."""
        file, prev = self._file, self.digest
        for line in self.lines():
            number = self.number
            record, seq, previous = file.link(line, number, self.start)
            if seq != number:
                raise file.broken(f"has seq {seq} where {number} belongs", number, self.start)
            if previous != prev:
                defect = "does not follow the line before it: one of the two was changed"
                raise file.broken(defect, number, self.start)
            self.digest = prev = line_digest(line)
            yield record


class ChainAppender:
    """Appends to such a file. It holds the chain's end: `seq` and `digest` of the last line, and `size`."""

    def __init__(self, path: Path, mode: int) -> None:
        """mode: of a new file. Raises OSError, as every method does."""
        self.path = path
        """Of the file; assigned anew when its folder was renamed."""
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, mode)
        """Its descriptor."""
        self.seq = 0
        self.digest: str | None = None
        self.size = -1
        """In bytes; -1: not known yet."""
        self._has_incomplete_line = False

    def close(self) -> None:
        os.close(self.file)

    def continue_after(self, reader: ChainReader[Any]) -> None:
        """Append after the records that the reader has read, to the file's end."""
        self.seq, self.digest, self.size = reader.number, reader.digest, reader.end

    def append[Content](
        self, contents: Iterable[Content], encode: Callable[[Content, int, str | None], bytes], *, sync: bool
    ) -> list[bytes]:
        """Append one line for each content, in one write; returns the lines.

        encode: called with a content, `seq` and `prev`; returns the line with its newline. sync: on disk before this
        returns. After an exception nothing was appended; what was written of it was cut, or `cut_incomplete_line` can
        still cut it.
        """
        seq, prev = self.seq, self.digest
        lines: list[bytes] = []
        for content in contents:
            seq += 1
            line = encode(content, seq, prev)
            prev = line_digest(line)
            lines.append(line)
        data = b"".join(lines)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.file, view) :]
            if sync:
                os.fdatasync(self.file)
        except BaseException:
            self._has_incomplete_line = True
            with suppress(OSError):
                self.cut_incomplete_line()
            raise
        self.seq, self.digest = seq, prev
        self.size += len(data)
        return lines

    def cut_incomplete_line(self) -> None:
        """Cut what a failed append could not cut. Only for the single writer of a file: it cuts at its own `size`."""
        if self._has_incomplete_line:
            os.ftruncate(self.file, self.size)
            self._has_incomplete_line = False

    def move_torn_end(self, torn: bytes, size: int) -> Path:
        """Move the torn end of the file's `size` bytes to a file beside it; returns its path."""
        offset = size - len(torn)
        path = self.path.with_name(f"{self.path.stem}-torn-at-{offset}.bin")
        write_whole(path, torn)
        os.ftruncate(self.file, offset)
        return path


def line_digest(line: bytes) -> str:
    """The digest by which the next line refers to this one."""
    return DIGEST_PREFIX + hashlib.sha256(line).hexdigest()


def last_lines(file: int, size: int) -> tuple[bytes, bytes]:
    """(last complete line, torn end) of the first `size` bytes of a file, without reading more than these."""
    window = 4096
    while True:
        start = max(0, size - window)
        tail = os.pread(file, size - start, start)
        if start == 0 or tail.count(b"\n") >= 2:
            break
        window *= 4
    whole, newline, torn = tail.rpartition(b"\n")
    return whole.rpartition(b"\n")[2] + newline, torn
