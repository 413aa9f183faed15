"""Candles in Parquet and Feather files. Columns are named as in CSV; times are integers or timestamps."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather
import pyarrow.parquet as pq

from opslab.datasets.candles import CANDLES, NUMBER, VALUES, Chunk
from opslab.datasets.origin import ConsecutiveRows
from opslab.datasets.quality.findings import MAX_LISTED_PER_RULE, QualityFinding
from opslab.datasets.sources.source import (
    CLOSE_TIME,
    MalformedSource,
    Source,
    SourceOptions,
    open_ms_of,
    our_names,
    require_columns,
    to_chunk,
    unit_of,
)
from opslab.errors import BadData, Environment
from opslab.model.primitives.ids import shown

_BATCH_ROWS = 100_000


def describe_file(path: Path, name: str, reading: SourceOptions) -> Source:
    """Read schema and first row. Raises BadData when this is no candle file."""
    with _opened(path, name) as file:
        columns = our_names(file.names, reading)
        require_columns(columns, name, reading)
        first = next(file.batches(), None)
        if first is None or not first.num_rows:
            raise BadData(f"{name}: has no candles")
        times = _times(first.column(columns.index("open_time")))
        value = times[0].as_py() if times is not None else None
        unit = unit_of(value) if value is not None else None
        if value is None or unit is None:
            given = first.column(columns.index("open_time"))[0]
            raise BadData(f"{name}:1: open_time {shown(str(given), 40)} is not an instant between 2009 and 2100")
        first_open = open_ms_of(value, unit, reading.label)
        return Source(path, name, columns, False, unit, first_open, reading, estimated_rows=file.rows)


def chunks(source: Source) -> Iterator[Chunk]:
    """The candles in the file's order. Raises Malformed with the rows that are no candles."""
    row = 1
    try:
        with _opened(source.path, source.name) as file:
            for batch in file.batches():
                yield _chunk(batch, source, row)
                row += batch.num_rows
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        reason = str(error).splitlines()[0][:160]
        raise MalformedSource(
            [QualityFinding("unreadable", source.name, row, f"the file cannot be read on: {reason}")]
        ) from None


def _chunk(batch: pa.RecordBatch, source: Source, row: int) -> Chunk:
    column = {name: batch.column(source.columns.index(name)) for name in CANDLES.names}
    times = _times(column["open_time"])
    values = {name: _numbers(column[name]) for name in VALUES}
    closes = _times(batch.column(source.columns.index(CLOSE_TIME))) if CLOSE_TIME in source.columns else None
    broken = {name: pc.is_null(array) for name, array in {"open_time": times, **values}.items() if array is not None}
    found = [
        QualityFinding(
            "unreadable", source.name, row + place, f"{name} {shown(str(column[name][place]), 30)} is not a number"
        )
        for name, nulls in broken.items()
        if pc.any(nulls).as_py()
        for place in pc.indices_nonzero(nulls).slice(0, MAX_LISTED_PER_RULE).to_pylist()
    ]
    if times is None:
        found.append(QualityFinding("unreadable", source.name, row, f"open_time is of type {column['open_time'].type}"))
    if found:
        raise MalformedSource(sorted(found, key=lambda one: one.line)[:MAX_LISTED_PER_RULE])
    assert times is not None
    chunk = to_chunk(times, list(values.values()), closes, source, ConsecutiveRows(source.name, row))
    if chunk is None:
        out = next(place for place, value in enumerate(times.to_pylist()) if unit_of(value) is None)
        detail = f"open_time {times[out]} is not an instant between 2009 and 2100"
        raise MalformedSource([QualityFinding("time_range", source.name, row + out, detail)])
    return chunk


def _times(column: pa.Array) -> pa.Array | None:
    """Integers as they are, timestamps in their own unit; None for anything else."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64())
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    return None


def _numbers(column: pa.Array) -> pa.Array:
    """Exact decimals; floating point by its shortest decimal text. What is no number becomes null."""
    if pa.types.is_floating(column.type):
        finite = pc.if_else(pc.is_finite(column), column, None)
        return finite.cast(pa.string()).cast(NUMBER)
    if pa.types.is_decimal(column.type) or pa.types.is_integer(column.type):
        wide = column.cast(pa.decimal128(38, 0)) if pa.types.is_integer(column.type) else column
        return wide.cast(NUMBER)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        looks = pc.match_substring_regex(column, r"^[-+]?[0-9]+(\.[0-9]+)?$")
        return pc.if_else(looks, column, None).cast(pa.string()).cast(NUMBER)
    return pa.nulls(len(column), NUMBER)


class _File:
    """The little that Parquet and Feather have in common."""

    def __init__(self, names: list[str], rows: int | None, reader: Any) -> None:
        self.names = names
        self.rows = rows
        self._reader = reader

    def batches(self) -> Iterator[pa.RecordBatch]:
        if isinstance(self._reader, pq.ParquetFile):
            yield from self._reader.iter_batches(batch_size=_BATCH_ROWS)
        elif isinstance(self._reader, pa.Table):
            yield from self._reader.to_batches(max_chunksize=_BATCH_ROWS)
        else:
            for place in range(self._reader.num_record_batches):
                yield self._reader.get_batch(place)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[_File]:
    with ExitStack() as stack:
        try:
            file = _open(path, stack)
        except PermissionError:
            raise Environment(f"{name}: cannot be read: permission denied") from None
        except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
            raise BadData(
                f"{name}: cannot be read: {str(error).splitlines()[0][:160]}", hint="write it again"
            ) from None
        yield file


def _open(path: Path, stack: ExitStack) -> _File:
    if path.name.lower().endswith(".parquet"):
        parquet = stack.enter_context(pq.ParquetFile(path))
        return _File(parquet.schema_arrow.names, parquet.metadata.num_rows, parquet)
    mapped = stack.enter_context(pa.memory_map(str(path)))
    try:
        reader = pa.ipc.open_file(mapped)
    except pa.ArrowInvalid:
        table = feather.read_table(path)  # version 1 of the format, which is no IPC file
        return _File(table.column_names, table.num_rows, table)
    return _File(reader.schema.names, None, reader)
