"""Find the invalid lines of a candle CSV. Slow; used only after the fast reader failed."""

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
    """The first malformed lines; if none is found, one finding with the fast reader's reason."""
    findings: list[QualityFinding] = []
    line = 0
    try:
        for line, fields in enumerate(_rows(stream), 1):
            if source.header and line == 1:
                continue
            problem = _problem(fields, source)
            if problem:
                findings.append(QualityFinding(problem[0], source.name, line, problem[1]))
            if len(findings) >= MAX_LISTED_PER_RULE:
                return findings
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid):
        findings.append(
            QualityFinding("unreadable", source.name, line + 1, "the compressed file ends early or is damaged")
        )
    except UnicodeDecodeError:
        findings.append(QualityFinding("unreadable", source.name, line + 1, "not UTF-8 text"))
    except csv.Error as error:
        findings.append(QualityFinding("unreadable", source.name, line + 1, str(error)))
    return findings or [QualityFinding("unreadable", source.name, source.first_line, reason.splitlines()[0][:200])]


@dataclass(frozen=True, slots=True)
class _ScatteredRows:
    """Rows of one file that are not consecutive."""

    file: str
    lines: tuple[int, ...]

    def location(self, row: int) -> tuple[str, int]:
        return self.file, self.lines[row]


def salvage(stream: IO[bytes], source: Source, from_line: int) -> Iterator[Chunk | QualityFinding]:
    """Valid candles and malformed lines from `from_line` on, line by line. For a report, not for an import."""
    valid: list[tuple[int, list[str]]] = []
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
                valid.append((line, fields))
            if len(valid) >= _SALVAGE_ROWS:
                yield _chunk_of_lines(valid, source)
                valid = []
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid, UnicodeDecodeError, csv.Error):
        damage = QualityFinding("unreadable", source.name, line + 1, "the file is damaged from here on")
    if valid:
        yield _chunk_of_lines(valid, source)
    if damage:
        yield damage


def _chunk_of_lines(lines: list[tuple[int, list[str]]], source: Source) -> Chunk:
    def integers(name: str) -> pa.Array:
        index = source.columns.index(name)
        return pa.array([int(fields[index]) for _, fields in lines], pa.int64())

    indexes = [source.columns.index(name) for name in VALUES]
    values = [pa.array([Decimal(fields[index]) for _, fields in lines], NUMBER) for index in indexes]
    closes = integers(CLOSE_TIME) if CLOSE_TIME in source.columns else None
    origin = _ScatteredRows(source.name, tuple(line for line, _ in lines))
    chunk = to_chunk(integers("open_time"), values, closes, {}, source, origin)
    assert chunk is not None  # the time of every line was checked to have a unit
    return chunk


def _rows(stream: IO[bytes]) -> Iterator[list[str]]:
    lines = io.TextIOWrapper(io.BufferedReader(_RawReader(stream)), encoding="utf-8-sig", newline="")
    return csv.reader(lines, strict=True)


class _RawReader(io.RawIOBase):
    """The part of the file interface that `io.TextIOWrapper` needs."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _problem(fields: list[str], source: Source) -> tuple[str, str] | None:
    """(rule, problem) of one line; None: it is a candle."""
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
    """Whether a decimal128(38, 16) represents it exactly."""
    exponent = value.normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -16 and abs(value) < 10**22
