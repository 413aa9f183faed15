"""A candle file, and the rules that all formats share: column names and time units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from opslab.datasets.candles import CANDLES, VALUES, Chunk
from opslab.datasets.origin import Origin
from opslab.datasets.quality.findings import QualityFinding
from opslab.datasets.quality.series import INTERVAL_COLUMN, SYMBOL_COLUMNS, other_intervals, other_symbols
from opslab.errors import BadData
from opslab.model.primitives.ids import shown
from opslab.model.primitives.instant import MINUTE_MS

CSV_SUFFIXES = (".csv", ".csv.gz", ".zip")
COLUMNAR_SUFFIXES = (".parquet", ".feather", ".arrow")
SUFFIXES = CSV_SUFFIXES + COLUMNAR_SUFFIXES
CLOSE_TIME = "close_time"
LABEL_COLUMNS = (*SYMBOL_COLUMNS, INTERVAL_COLUMN)

TimeUnit = Literal["s", "ms", "us", "ns"]
Label = Literal["open", "close"]
PER_SECOND: dict[TimeUnit, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
EARLIEST_S, LATEST_S = 1_230_768_000, 4_102_444_800
"""2009-01-01 and 2100-01-01: within this range the units cannot be confused."""


class MalformedSource(Exception):
    """A source that cannot be read to its end, with findings for the lines that cause it."""

    def __init__(self, findings: Sequence[QualityFinding], next_line: int | None = None) -> None:
        """next_line: the first line that was not returned yet, if the rest can be read line by line."""
        super().__init__(findings[0].text())
        self.findings = findings
        self.next_line = next_line


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read the files."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """The lab's column name to the file's."""
    symbol: str = "BTCUSDT"
    """A column that names another symbol is a finding."""
    label: Label = "open"
    """Whether timestamps are the candle's open or its close."""

    def source_name(self, column: str) -> str:
        return self.columns.get(column, column)


@dataclass(frozen=True, slots=True)
class Source:
    """One described file. `first_open_ms` orders several files; `estimated_rows` is for the progress display."""

    path: Path
    name: str
    columns: tuple[str, ...]
    """The lab's names of the file's columns, in the file's order."""
    header: bool
    time_unit: TimeUnit
    first_open_ms: int
    options: SourceOptions
    estimated_rows: int | None = None

    @property
    def first_line(self) -> int:
        """Line of the first candle; row 1 in columnar files."""
        return 2 if self.header else 1

    @property
    def is_headerless_kline(self) -> bool:
        """Whether it has Binance's 12 columns without their names, as its spot files have."""
        return not self.header and not self.columnar and len(self.columns) == 12

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns that name the symbol or the interval, if there are any."""
        return tuple(name for name in self.columns if name in LABEL_COLUMNS and self.columns.count(name) == 1)

    @property
    def columnar(self) -> bool:
        return self.path.name.lower().endswith(COLUMNAR_SUFFIXES)


def unit_of(value: int) -> TimeUnit | None:
    """The unit in which `value` is an instant between 2009 and 2100."""
    for unit, per_second in PER_SECOND.items():
        if EARLIEST_S * per_second <= value < LATEST_S * per_second:
            return unit
    return None


def open_ms_of(value: int, unit: TimeUnit, label: Label) -> int:
    """The open time of one candle whose timestamp is `value`."""
    time_ms = value * 1000 // PER_SECOND[unit]
    return time_ms if label == "open" else time_ms - _close_offset_ms(time_ms)


def _close_offset_ms(close_ms: int) -> int:
    """Distance from a close to its open: a close is labelled 00:01:00.000 or 00:00:59.999."""
    return MINUTE_MS - 1 if close_ms % MINUTE_MS == MINUTE_MS - 1 else MINUTE_MS


def to_chunk(
    times: pa.Array,
    values: Sequence[pa.Array],
    close_times: pa.Array | None,
    labels: Mapping[str, pa.Array],
    source: Source,
    origin: Origin,
) -> Chunk | None:
    """A chunk from raw columns, with times converted to milliseconds of the open. None: a time has no valid unit.

    labels: text, by the names of `Source.label_columns`.
    """
    marks: dict[str, pa.Array] = _label_marks(labels, source.options.symbol)
    lengths: pa.Array | None = None
    millis, other_unit = _in_milliseconds(times, source.time_unit)
    if millis is None:
        return None
    if other_unit is not None:
        marks["mixed_time_unit"] = other_unit
    if source.time_unit in ("us", "ns") and other_unit is None:
        per_ms = PER_SECOND[source.time_unit] // 1000
        is_off_grid = pc.not_equal(pc.multiply(millis, per_ms), times)
        if pc.any(is_off_grid).as_py():
            marks["off_grid"] = is_off_grid
    if close_times is not None and source.options.label == "open":
        # one unit less than a minute after the open, as Binance writes it; or a full minute, as others do
        length = pc.subtract(close_times, times)
        minute = 60 * PER_SECOND[source.time_unit]
        is_complete = pc.or_(pc.equal(length, minute - 1), pc.equal(length, minute))
        marks["truncated"] = pc.invert(is_complete)
        lengths = _lengths_ms(length, source.time_unit)
    if source.options.label == "close":
        remainder_ms = pc.subtract(millis, pc.multiply(pc.divide(millis, MINUTE_MS), MINUTE_MS))
        offset_ms = pc.if_else(pc.equal(remainder_ms, MINUTE_MS - 1), MINUTE_MS - 1, MINUTE_MS)
        millis = pc.subtract(millis, offset_ms)
    return Chunk(pa.RecordBatch.from_arrays([millis, *values], schema=CANDLES), origin, marks, lengths)


def _label_marks(labels: Mapping[str, pa.Array], symbol: str) -> dict[str, pa.Array]:
    marks: dict[str, pa.Array] = {}
    for name, texts in labels.items():
        if name == INTERVAL_COLUMN:
            other = other_intervals(texts)
            rule = "wrong_interval"
        else:
            other = other_symbols(texts, symbol)
            rule = "wrong_instrument"
        if other is not None:
            marks[rule] = pc.or_(marks[rule], other) if rule in marks else other
    return marks


def _lengths_ms(lengths: pa.Array, unit: TimeUnit) -> pa.Array:
    """Milliseconds of candles whose close is their last unit of time, or the next candle's open."""
    second = PER_SECOND[unit]
    is_last_unit = pc.equal(pc.subtract(lengths, pc.multiply(pc.divide(lengths, second), second)), second - 1)
    whole = pc.if_else(is_last_unit, pc.add(lengths, 1), lengths) if second > 1 else lengths
    return _scaled(whole, unit)


def _in_milliseconds(times: pa.Array, unit: TimeUnit) -> tuple[pa.Array | None, pa.Array | None]:
    """(milliseconds, rows in another unit than the file's). The second is None if all rows are in the file's unit."""
    if _all_within(times, unit):
        return _scaled(times, unit), None
    millis = pa.nulls(len(times), pa.int64())
    for candidate, per_second in PER_SECOND.items():
        inside = pc.and_(pc.greater_equal(times, EARLIEST_S * per_second), pc.less(times, LATEST_S * per_second))
        millis = pc.if_else(inside, _scaled(times, candidate), millis)
        if candidate == unit:
            mixed = pc.invert(inside)
    return (None, None) if millis.null_count else (millis, mixed)


def _all_within(times: pa.Array, unit: TimeUnit) -> bool:
    if not len(times):
        return True
    bounds = pc.min_max(times).as_py()
    return bool(EARLIEST_S * PER_SECOND[unit] <= bounds["min"] and bounds["max"] < LATEST_S * PER_SECOND[unit])


def _scaled(times: pa.Array, unit: TimeUnit) -> pa.Array:
    if unit == "s":
        return pc.multiply(times, 1000)
    return times if unit == "ms" else pc.divide(times, PER_SECOND[unit] // 1000)


def require_columns(columns: Sequence[str], name: str, options: SourceOptions) -> None:
    """Raises BadData if a required column is missing or duplicate. columns: the lab's names."""
    missing = [options.source_name(column) for column in CANDLES.names if column not in columns]
    if missing:
        raise BadData(
            f"{name}: no column {', '.join(missing)}; found {shown(', '.join(columns), 160)}", hint=COLUMNS_HINT
        )
    for column in (*CANDLES.names, CLOSE_TIME):
        if list(columns).count(column) > 1:
            raise BadData(f"{name}: duplicate column {column}", hint=COLUMNS_HINT)


def our_names(columns: Sequence[str], options: SourceOptions) -> tuple[str, ...]:
    """The lab's names of the file's columns: as mapped by the options, else in lower case without spaces."""
    given = {theirs: ours for ours, theirs in options.columns.items()}
    normalized = [name.strip().lower() for name in columns]
    return tuple(
        given.get(name, given.get(lower, _unless_mapped(lower, options)))
        for name, lower in zip(columns, normalized, strict=True)
    )


def _unless_mapped(lower: str, options: SourceOptions) -> str:
    """A column with one of the lab's names is not used if the options map another column to that name."""
    return f"{lower} (not used)" if lower in options.columns else lower


COLUMNS_HINT = (
    f"expected columns: open_time, {', '.join(VALUES)} (or Binance's 12 columns); "
    "map other names with --column open_time=THEIRS"
)
