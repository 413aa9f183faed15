"""Read candles from CSV: plain, gzip or zip, streamed by column.

If the fast reader fails, `csv_diagnosis` reads the same file again slowly, only to find the invalid lines.
"""

import csv
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

import pyarrow as pa
import pyarrow.csv as pacsv

from opslab.datasets.candles import CANDLES, NUMBER, VALUES, Chunk
from opslab.datasets.origin import ConsecutiveRows
from opslab.datasets.quality.findings import QualityFinding
from opslab.datasets.sources.csv_diagnosis import diagnose, salvage
from opslab.datasets.sources.source import (
    CLOSE_TIME,
    COLUMNS_HINT,
    LABEL_COLUMNS,
    MalformedSource,
    Source,
    SourceOptions,
    open_ms_of,
    our_names,
    require_columns,
    to_chunk,
    unit_of,
)
from opslab.errors import BadData, Environment, NotFound
from opslab.model.primitives.ids import shown

BINANCE_COLUMNS = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
BLOCK_BYTES = 1 << 20
"""Size of one read. The reader holds some dozens of blocks, so this bounds its memory."""
_HEAD_BYTES = 64 << 10
_MAX_ZIP_RATIO = 100


def describe_file(path: Path, name: str, options: SourceOptions) -> Source:
    """Read the first lines. Raises NotFound, Environment, or BadData if this is not a candle file."""
    with open_text(path, name) as stream:
        head = _read_head(stream, name)
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadData(f"{name}: not UTF-8 text", hint=COLUMNS_HINT) from None
    lines = text.splitlines()
    if not lines:
        raise BadData(f"{name}: is empty", hint=COLUMNS_HINT)
    first = _fields(lines[0])
    header = not _is_whole(first[0]) and not _is_whole(first[0].removeprefix("-"))
    if header:
        columns = our_names(first, options)
        require_columns(columns, f"{name}:1", options)
        if len(lines) < 2:
            raise BadData(f"{name}: has a header and no candles", hint=COLUMNS_HINT)
        first = _fields(lines[1])
    elif options.columns:
        raise BadData(f"{name}:1: has no header, so --column cannot name its columns", hint="remove --column")
    elif len(first) in (6, 12):
        columns = BINANCE_COLUMNS[: len(first)]
    else:
        raise BadData(f"{name}:1: has {len(first)} columns and no header", hint=COLUMNS_HINT)
    index = columns.index("open_time")
    value = first[index] if index < len(first) else ""
    unit = unit_of(int(value)) if _is_whole(value) else None
    if unit is None:
        raise BadData(
            f"{name}:{2 if header else 1}: open_time {shown(value, 30)} is not an instant between 2009 and 2100",
            hint="open_time counts seconds, milliseconds, microseconds or nanoseconds since 1970 UTC",
        )
    size = _text_bytes(path)
    estimated_rows = size // max(1, len(lines[-1]) + 1) if size else None
    first_open = open_ms_of(int(value), unit, options.label)
    return Source(path, name, columns, header, unit, first_open, options, estimated_rows)


def chunks(source: Source) -> Iterator[Chunk]:
    """The candles in the file's order. Raises Malformed with the lines that are no candles."""
    read = pacsv.ReadOptions(
        block_size=BLOCK_BYTES, column_names=_distinct(source.columns), skip_rows=1 if source.header else 0
    )
    labels = source.label_columns
    needed = [*CANDLES.names, *([CLOSE_TIME] if CLOSE_TIME in source.columns else []), *labels]
    convert = pacsv.ConvertOptions(
        column_types={
            "open_time": pa.int64(),
            CLOSE_TIME: pa.int64(),
            **dict.fromkeys(VALUES, NUMBER),
            **dict.fromkeys(labels, pa.string()),
        },
        include_columns=needed,
        null_values=[],
    )
    parse = pacsv.ParseOptions(ignore_empty_lines=False)
    line = source.first_line
    try:
        with open_text(source.path, source.name) as stream, pacsv.open_csv(stream, read, parse, convert) as reader:
            for batch in reader:
                values = [batch.column(name) for name in VALUES]
                closes = batch.column(CLOSE_TIME) if CLOSE_TIME in needed else None
                origin = ConsecutiveRows(source.name, line)
                names = {name: batch.column(name) for name in labels}
                chunk = to_chunk(batch.column("open_time"), values, closes, names, source, origin)
                if chunk is None:
                    raise pa.ArrowInvalid("open_time out of range")
                line += batch.num_rows
                yield chunk
    except (pa.ArrowInvalid, EOFError, zlib.error, zipfile.BadZipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        with open_text(source.path, source.name) as stream:
            raise MalformedSource(diagnose(stream, source, str(error)), next_line=line) from None


def read_line_by_line(source: Source, from_line: int) -> Iterator[Chunk | QualityFinding]:
    """Read slowly what `chunks` could not read: the valid candles, and a finding for each other line."""
    with open_text(source.path, source.name) as stream:
        yield from salvage(stream, source, from_line)


@contextmanager
def open_text(path: Path, name: str) -> Iterator[IO[bytes]]:
    """The file's CSV bytes. Raises NotFound, Environment or BadData."""
    try:
        if path.name.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive, archive.open(_only_member(archive, name)) as member:
                yield member
        else:
            compression = "gzip" if path.name.lower().endswith(".gz") else None
            with pa.input_stream(str(path), compression=compression) as stream:
                yield cast("IO[bytes]", stream)
    except FileNotFoundError:
        raise NotFound(f"file {shown(str(path), 200)} not found") from None
    except PermissionError:
        raise Environment(f"{name}: cannot be read: permission denied") from None
    except zipfile.BadZipFile as error:
        raise BadData(f"{name}: is not a complete zip file ({error})", hint="download it again") from None


def _text_bytes(path: Path) -> int | None:
    """Uncompressed size, if it is known in advance."""
    name = path.name.lower()
    if name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()[0].file_size
    return None if name.endswith(".gz") else path.stat().st_size


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1:
        raise BadData(f"{name}: has {len(members)} files", hint="a zip of candles has exactly one CSV")
    member = members[0]
    if PurePosixPath(member.filename).name != member.filename or "\\" in member.filename:
        raise BadData(
            f"{name}: its member {shown(member.filename)} is in a folder", hint="zip the CSV without a folder"
        )
    if not member.filename.lower().endswith(".csv"):
        raise BadData(f"{name}: its member {shown(member.filename)} is not a .csv")
    if member.flag_bits & 1:
        raise BadData(f"{name}: is encrypted", hint="unzip it first")
    if member.file_size > _MAX_ZIP_RATIO * max(member.compress_size, 1024):
        raise BadData(
            f"{name}: unpacks to more than {_MAX_ZIP_RATIO} times its size", hint="unzip it and inspect the file"
        )
    return member


def _read_head(stream: IO[bytes], name: str) -> bytes:
    """Complete lines from the start of the file."""
    try:
        head = stream.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid) as error:
        raise BadData(f"{name}: cannot be unpacked: {error}", hint="download it again") from None
    if len(head) < _HEAD_BYTES:
        return head
    if b"\n" not in head:
        raise BadData(f"{name}: its first line is longer than {_HEAD_BYTES} bytes", hint=COLUMNS_HINT)
    return head[: head.rindex(b"\n")]


def _distinct(columns: tuple[str, ...]) -> list[str]:
    """Unique column names, as the reader requires; the names of unused columns do not matter."""
    used = (*CANDLES.names, CLOSE_TIME, *(name for name in LABEL_COLUMNS if columns.count(name) == 1))
    return [name if name in used else f"{index} {name}" for index, name in enumerate(columns)]


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [""])
    except csv.Error:
        return [line]


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 19
