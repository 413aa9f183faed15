"""Which lines of a broken candle file are wrong. Slow, and read only after the fast reader gave up."""

import csv
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import IO

import pyarrow as pa

from opslab.datasets.candles import NUMBER, VALUES, Chunk
from opslab.datasets.quality.findings import MAX_LISTED_PER_RULE, QualityFinding
from opslab.datasets.sources.source import CLOSE_TIME, Source, to_chunk, unit_of
from opslab.model.primitives.ids import shown

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,2})?", re.ASCII)
_SALVAGE_ROWS = 50_000
_WHOLE = re.compile(r"\d{1,19}", re.ASCII)


def diagnose(stream: IO[bytes], source: Source, reason: str) -> list[QualityFinding]:
    """The first malformed lines; when none can be told, one finding with the reader's own reason."""
    found: list[QualityFinding] = []
    line = 0
    try:
        for line, fields in enumerate(_rows(stream), 1):
            if source.header and line == 1:
                continue
            problem = _problem(fields, source)
            if problem:
                found.append(QualityFinding(problem[0], source.name, line, problem[1]))
            if len(found) >= MAX_LISTED_PER_RULE:
                return found
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid):
        found.append(
            QualityFinding("unreadable", source.name, line + 1, "the compressed file ends early or is damaged")
        )
    except UnicodeDecodeError:
        found.append(QualityFinding("unreadable", source.name, line + 1, "not UTF-8 text"))
    except csv.Error as error:
        found.append(QualityFinding("unreadable", source.name, line + 1, str(error)))
    return found or [QualityFinding("unreadable", source.name, source.first_line, reason.splitlines()[0][:200])]


@dataclass(frozen=True, slots=True)
class _Lines:
    """Rows of one file with lines left out between them."""

    file: str
    lines: tuple[int, ...]

    def place(self, row: int) -> tuple[str, int]:
        return self.file, self.lines[row]


def salvaged(stream: IO[bytes], source: Source, from_line: int) -> Iterator[Chunk | QualityFinding]:
    """Candles and malformed lines from `from_line` on, line by line. For a report, not for an import."""
    waiting: list[tuple[int, list[str]]] = []
    line = 0
    damage: QualityFinding | None = None
    try:
        for line, fields in enumerate(_rows(stream), 1):
            if line < from_line:
                continue
            problem = _problem(fields, source)
            if problem:
                yield QualityFinding(problem[0], source.name, line, problem[1])
            else:
                waiting.append((line, fields))
            if len(waiting) >= _SALVAGE_ROWS:
                yield _salvaged_chunk(waiting, source)
                waiting = []
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid, UnicodeDecodeError, csv.Error):
        damage = QualityFinding("unreadable", source.name, line + 1, "the file is damaged from here on")
    if waiting:
        yield _salvaged_chunk(waiting, source)
    if damage:
        yield damage


def _salvaged_chunk(waiting: list[tuple[int, list[str]]], source: Source) -> Chunk:
    def whole(name: str) -> pa.Array:
        place = source.columns.index(name)
        return pa.array([int(fields[place]) for _, fields in waiting], pa.int64())

    places = [source.columns.index(name) for name in VALUES]
    values = [pa.array([Decimal(fields[place]) for _, fields in waiting], NUMBER) for place in places]
    closes = whole(CLOSE_TIME) if CLOSE_TIME in source.columns else None
    origin = _Lines(source.name, tuple(line for line, _ in waiting))
    chunk = to_chunk(whole("open_time"), values, closes, source, origin)
    assert chunk is not None  # every line's time has a unit: it was looked at
    return chunk


def _rows(stream: IO[bytes]) -> Iterator[list[str]]:
    lines = io.TextIOWrapper(io.BufferedReader(_Raw(stream)), encoding="utf-8-sig", newline="")
    return csv.reader(lines, strict=True)


class _Raw(io.RawIOBase):
    """The little of a file that the standard library's text layer needs."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _problem(fields: list[str], source: Source) -> tuple[str, str] | None:
    """Rule and what is wrong with one line."""
    if not fields:
        return "unreadable", "a blank line"
    if len(fields) != len(source.columns):
        return "unreadable", f"{len(fields)} column{'s' if len(fields) != 1 else ''} instead of {len(source.columns)}"
    value = fields[source.columns.index("open_time")]
    if not _WHOLE.fullmatch(value):
        return "unreadable", f"open_time {shown(value, 30)} is not a whole number"
    if unit_of(int(value)) is None:
        return "time_range", f"open_time {value} is not an instant between 2009 and 2100"
    if CLOSE_TIME in source.columns and not _WHOLE.fullmatch(fields[source.columns.index(CLOSE_TIME)]):
        return "unreadable", f"close_time {shown(fields[source.columns.index(CLOSE_TIME)], 30)} is not a whole number"
    for name in VALUES:
        text = fields[source.columns.index(name)]
        if not _NUMBER.fullmatch(text):
            return "unreadable", f"{name} {shown(text, 30)} is not a number"
        if not _fits(Decimal(text)):
            return "unreadable", f"{name} {shown(text, 30)} has too many digits"
    return None


def _fits(value: Decimal) -> bool:
    """Whether a decimal128(38, 16) can hold it exactly."""
    exponent = value.normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -16 and abs(value) < 10**22
