"""Candle files as they are found in the world: CSV, plain, gzipped or zipped.

A source is looked at once (its first lines: header, columns, unit of time) and then streamed column-wise. When the
fast reader stumbles, `csv_diagnosis` reads the same file again slowly, only to say which lines are wrong.
"""

import csv
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from opslab.datasets.candles import CANDLES, NUMBER, VALUES
from opslab.errors import BadData, Environment, NotFound
from opslab.model.ids import shown

BINANCE_COLUMNS = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
SUFFIXES = (".csv", ".csv.gz", ".zip")
BLOCK_BYTES = 8 << 20
_PROBE_BYTES = 64 << 10
_MAX_ZIP_RATIO = 100
_HINT = "expected columns: open_time, open, high, low, close, volume (Binance's 12 columns are fine too)"

TimeUnit = Literal["s", "ms", "us"]
_EARLIEST_S, _LATEST_S = 1_230_768_000, 4_102_444_800
"""2009-01-01 and 2100-01-01: inside, seconds, milliseconds and microseconds cannot be confused."""
PER_SECOND: dict[TimeUnit, int] = {"s": 1, "ms": 1_000, "us": 1_000_000}


@dataclass(frozen=True, slots=True)
class CsvSource:
    """One file, looked at. `first_open_ms` orders several files; `text_bytes` is its unpacked size, where known."""

    path: Path
    columns: tuple[str, ...]
    header: bool
    time_unit: TimeUnit
    first_open_ms: int
    text_bytes: int | None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def first_line(self) -> int:
        """Line of the first candle."""
        return 2 if self.header else 1


def unit_of(value: int) -> TimeUnit | None:
    """The unit in which `value` is an instant between 2009 and 2100."""
    for unit, per_second in PER_SECOND.items():
        if _EARLIEST_S * per_second <= value < _LATEST_S * per_second:
            return unit
    return None


def look_at(path: Path) -> CsvSource:
    """Read the first lines. Raises NotFound, Environment, or BadData when this is no candle file."""
    name = path.name
    if not name.lower().endswith(SUFFIXES):
        raise BadData(f"{name}: not a kind of file this reads", hint=f"give files ending in {', '.join(SUFFIXES)}")
    with opened(path) as stream:
        probe = _read_probe(stream, name)
    try:
        text = probe.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadData(f"{name}: not UTF-8 text", hint=_HINT) from None
    lines = text.splitlines()
    if not lines:
        raise BadData(f"{name}: is empty", hint=_HINT)
    first = _fields(lines[0])
    header = not _is_whole(first[0])
    if header:
        columns = tuple(field.strip().lower() for field in first)
        _require_columns(columns, name)
        if len(lines) < 2:
            raise BadData(f"{name}: has a header and no candles", hint=_HINT)
        first = _fields(lines[1])
    elif len(first) in (6, 12):
        columns = BINANCE_COLUMNS[: len(first)]
    else:
        raise BadData(f"{name}:1: has {len(first)} columns and no header", hint=_HINT)
    place = columns.index("open_time")
    value = first[place] if place < len(first) else ""
    unit = unit_of(int(value)) if _is_whole(value) else None
    if unit is None:
        where = f"{name}:{2 if header else 1}"
        raise BadData(
            f"{where}: open_time {shown(value, 30)} is not an instant between 2009 and 2100",
            hint="open_time counts seconds, milliseconds or microseconds since 1970 UTC",
        )
    return CsvSource(path, columns, header, unit, int(value) * 1000 // PER_SECOND[unit], _text_bytes(path))


def batches(source: CsvSource) -> Iterator[pa.RecordBatch]:
    """The candles in batches of CANDLES. Raises pyarrow.ArrowInvalid or EOFError when the file is not well formed."""
    read = pacsv.ReadOptions(
        block_size=BLOCK_BYTES, column_names=list(source.columns), skip_rows=1 if source.header else 0
    )
    convert = pacsv.ConvertOptions(
        column_types={"open_time": pa.int64(), **dict.fromkeys(VALUES, NUMBER)},
        include_columns=CANDLES.names,
        null_values=[],
    )
    parse = pacsv.ParseOptions(ignore_empty_lines=False)
    with opened(source.path) as stream, pacsv.open_csv(stream, read, parse, convert) as reader:
        for batch in reader:
            yield _in_milliseconds(batch, source.time_unit)


def _in_milliseconds(batch: pa.RecordBatch, unit: TimeUnit) -> pa.RecordBatch:
    """Bring `open_time` to milliseconds. What is no whole millisecond or out of range raises ArrowInvalid."""
    times = batch.column("open_time")
    per_second = PER_SECOND[unit]
    bounds = pc.min_max(times).as_py()
    if times.null_count or (batch.num_rows and not (
        _EARLIEST_S * per_second <= bounds["min"] and bounds["max"] < _LATEST_S * per_second
    )):  # fmt: skip
        raise pa.ArrowInvalid("open_time out of range")
    if unit == "s":
        times = pc.multiply(times, 1000)
    elif unit == "us":
        whole = pc.divide(times, 1000)
        if not pc.all(pc.equal(pc.multiply(whole, 1000), times)).as_py():
            raise pa.ArrowInvalid("open_time is not a whole millisecond")
        times = whole
    return pa.RecordBatch.from_arrays([times, *(batch.column(name) for name in VALUES)], schema=CANDLES)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's CSV bytes. Raises NotFound, Environment or BadData."""
    name = path.name
    if path.is_dir():
        raise BadData(f"{name}: is a folder", hint="give the files in it")
    if path.exists() and not path.is_file():
        raise BadData(f"{name}: is not a regular file")
    try:
        if name.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive, archive.open(_only_member(archive, name)) as member:
                yield member
        elif name.lower().endswith(".gz"):
            with pa.input_stream(str(path), compression="gzip") as stream:
                yield cast("IO[bytes]", stream)
        else:
            with pa.input_stream(str(path), compression=None) as stream:
                yield cast("IO[bytes]", stream)
    except FileNotFoundError:
        raise NotFound(f"file {shown(str(path), 200)} not found") from None
    except PermissionError:
        raise Environment(f"{name}: cannot be read: permission denied") from None
    except zipfile.BadZipFile as error:
        raise BadData(f"{name}: is not a whole zip file ({error})", hint="download it again") from None


def _text_bytes(path: Path) -> int | None:
    name = path.name.lower()
    if name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()[0].file_size
    return None if name.endswith(".gz") else path.stat().st_size


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1:
        raise BadData(f"{name}: holds {len(members)} files", hint="a zip of candles holds exactly one CSV")
    member = members[0]
    if PurePosixPath(member.filename).name != member.filename or "\\" in member.filename:
        raise BadData(f"{name}: its member {shown(member.filename)} is in a folder", hint="zip the CSV by itself")
    if not member.filename.lower().endswith(".csv"):
        raise BadData(f"{name}: its member {shown(member.filename)} is not a .csv")
    if member.flag_bits & 1:
        raise BadData(f"{name}: is encrypted", hint="unzip it first")
    if member.file_size > _MAX_ZIP_RATIO * max(member.compress_size, 1024):
        raise BadData(f"{name}: unpacks to more than {_MAX_ZIP_RATIO} times its size", hint="unzip it and look at it")
    return member


def _read_probe(stream: IO[bytes], name: str) -> bytes:
    """Whole lines from the beginning of the file."""
    try:
        probe = stream.read(_PROBE_BYTES)
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid) as error:
        raise BadData(f"{name}: cannot be unpacked: {error}", hint="download it again") from None
    if len(probe) < _PROBE_BYTES:
        return probe
    if b"\n" not in probe:
        raise BadData(f"{name}: its first line is longer than {_PROBE_BYTES} bytes", hint=_HINT)
    return probe[: probe.rindex(b"\n")]


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [""])
    except csv.Error:
        return [line]


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _require_columns(columns: tuple[str, ...], name: str) -> None:
    missing = [column for column in CANDLES.names if column not in columns]
    if missing:
        raise BadData(f"{name}:1: no column {', '.join(missing)}; found {shown(', '.join(columns), 120)}", hint=_HINT)
    for column in CANDLES.names:
        if columns.count(column) > 1:
            raise BadData(f"{name}:1: column {column} stands there twice", hint=_HINT)
