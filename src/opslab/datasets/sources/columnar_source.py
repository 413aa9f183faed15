"""Read candles from Parquet and Feather. Columns have the same names as in CSV; times are integers or timestamps."""

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


def describe_file(path: Path, name: str, options: SourceOptions) -> Source:
    """Read the schema and the first row. Raises BadData if this is not a candle file."""
    with _opened(path, name) as file:
        columns = our_names(file.names, options)
        require_columns(columns, name, options)
        first = next(file.batches(), None)
        if first is None or not first.num_rows:
            raise BadData(f"{name}: has no candles")
        times = _times(first.column(columns.index("open_time")))
        value = times[0].as_py() if times is not None else None
        unit = unit_of(value) if value is not None else None
        if value is None or unit is None:
            given = first.column(columns.index("open_time"))[0]
            raise BadData(f"{name}:1: open_time {shown(str(given), 40)} is not an instant between 2009 and 2100")
        first_open = open_ms_of(value, unit, options.label)
        return Source(path, name, columns, False, unit, first_open, options, estimated_rows=file.rows)


def chunks(source: Source) -> Iterator[Chunk]:
    """The candles in the file's order. Raises MalformedSource with the rows that are not candles."""
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
            [QualityFinding("unreadable", source.name, row, f"the file cannot be read from here on: {reason}")]
        ) from None


def _chunk(batch: pa.RecordBatch, source: Source, row: int) -> Chunk:
    column = {name: batch.column(source.columns.index(name)) for name in CANDLES.names}
    times = _times(column["open_time"])
    values = {name: _numbers(column[name]) for name in VALUES}
    closes = _times(batch.column(source.columns.index(CLOSE_TIME))) if CLOSE_TIME in source.columns else None
    invalid = {name: pc.is_null(array) for name, array in {"open_time": times, **values}.items() if array is not None}
    findings = [
        QualityFinding(
            "unreadable", source.name, row + index, f"{name} {shown(str(column[name][index]), 30)} is not a number"
        )
        for name, nulls in invalid.items()
        if pc.any(nulls).as_py()
        for index in pc.indices_nonzero(nulls).slice(0, MAX_LISTED_PER_RULE).to_pylist()
    ]
    if times is None:
        findings.append(
            QualityFinding("unreadable", source.name, row, f"open_time is of type {column['open_time'].type}")
        )
    if findings:
        raise MalformedSource(sorted(findings, key=lambda finding: finding.line)[:MAX_LISTED_PER_RULE])
    assert times is not None
    labels = {name: _texts(batch.column(source.columns.index(name))) for name in source.label_columns}
    chunk = to_chunk(times, list(values.values()), closes, labels, source, ConsecutiveRows(source.name, row))
    if chunk is None:
        first = next(index for index, value in enumerate(times.to_pylist()) if unit_of(value) is None)
        detail = f"open_time {times[first]} is not an instant between 2009 and 2100"
        raise MalformedSource([QualityFinding("time_range", source.name, row + first, detail)])
    return chunk


def _times(column: pa.Array) -> pa.Array | None:
    """Integers unchanged, timestamps in their own unit; None for any other type."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64())
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    return None


def _texts(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(len(column), pa.string()).fill_null("")


def _numbers(column: pa.Array) -> pa.Array:
    """Exact decimals; floating point by its shortest decimal text. A value that is not a number becomes null."""
    if pa.types.is_floating(column.type):
        finite = pc.if_else(pc.is_finite(column), column, None)
        return finite.cast(pa.string()).cast(NUMBER)
    if pa.types.is_decimal(column.type) or pa.types.is_integer(column.type):
        wide = column.cast(pa.decimal128(38, 0)) if pa.types.is_integer(column.type) else column
        return wide.cast(NUMBER)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        is_number = pc.match_substring_regex(column, r"^[-+]?[0-9]+(\.[0-9]+)?$")
        return pc.if_else(is_number, column, None).cast(pa.string()).cast(NUMBER)
    return pa.nulls(len(column), NUMBER)


class _File:
    """Common interface of Parquet and Feather files."""

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
            for index in range(self._reader.num_record_batches):
                yield self._reader.get_batch(index)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[_File]:
    with ExitStack() as stack:
        try:
            file = _open(path, stack)
        except PermissionError:
            raise Environment(f"{name}: cannot be read: permission denied") from None
        except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
            raise BadData(
                f"{name}: cannot be read: {str(error).splitlines()[0][:160]}", hint="create the file again"
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
        table = feather.read_table(path)  # version 1 of the format, which is not an IPC file
        return _File(table.column_names, table.num_rows, table)
    return _File(reader.schema.names, None, reader)
