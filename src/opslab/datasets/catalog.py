"""Write prepared datasets to the engine's catalog layout, and read them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from opslab.datasets.candles import VALUES, Chunk, catalog_schema, from_catalog, to_catalog
from opslab.datasets.dataset_records import read_record, recorded_fingerprint
from opslab.datasets.fingerprint import Fingerprint
from opslab.datasets.origin import ConsecutiveRows
from opslab.errors import Corrupt
from opslab.model.market.dataset import DataFile, DatasetRecord
from opslab.model.market.instrument import Instrument
from opslab.model.primitives.ids import DatasetId
from opslab.model.primitives.instant import catalog_instant, close_ns
from opslab.ports import Progress
from opslab.store.files import file_digest, make_folder
from opslab.store.layout import Layout

ROW_GROUP = 100_000
_ENCODINGS = {
    **dict.fromkeys(VALUES, "BYTE_STREAM_SPLIT"),
    **dict.fromkeys(("ts_event", "ts_init"), "DELTA_BINARY_PACKED"),
}
"""Smaller and faster to write than dictionaries, for columns whose values are nearly all different."""


class CatalogWriter:
    """Writes one bar file below `folder`, in the engine's layout. Write batches of CANDLES in ascending order."""

    def __init__(self, folder: Path, instrument: Instrument) -> None:
        self._folder = folder
        self._bars = folder / "data" / "bars" / instrument.bar_type
        make_folder(self._bars)
        self._open = self._bars / "open.parquet"
        self._schema = catalog_schema(instrument)
        self._writer = pq.ParquetWriter(
            self._open, self._schema, compression="zstd", use_dictionary=False, column_encoding=_ENCODINGS
        )
        self._buffered: list[pa.RecordBatch] = []
        self._buffered_rows = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows == 0:
            return
        times = batch.column("open_time")
        self.first_ms = times[0].as_py() if self.first_ms is None else self.first_ms
        self.last_ms = times[-1].as_py()
        self._buffered.append(to_catalog(batch, self._schema))
        self._buffered_rows += batch.num_rows
        if self._buffered_rows >= ROW_GROUP:
            self._write_buffered(self._buffered_rows // ROW_GROUP * ROW_GROUP)

    def _write_buffered(self, rows: int) -> None:
        """Write row groups of one size, whatever the size of the batches."""
        if rows:
            table = pa.Table.from_batches(self._buffered)
            self._writer.write_table(table.slice(0, rows), row_group_size=ROW_GROUP)
            self._buffered = table.slice(rows).to_batches()
            self._buffered_rows -= rows

    def close(self) -> tuple[DataFile, ...]:
        """Finish the file, under the name that the engine expects."""
        self._write_buffered(self._buffered_rows)
        self._writer.close()
        if self.first_ms is None or self.last_ms is None:
            return ()
        name = f"{_close_instant(self.first_ms)}_{_close_instant(self.last_ms)}.parquet"
        final = self._bars / name
        os.rename(self._open, final)  # noqa: PTH104
        path = final.relative_to(self._folder).as_posix()
        return (DataFile(path=path, size_bytes=final.stat().st_size, digest=file_digest(final)),)

    def abandon(self) -> None:
        """Close the file; the owner of the staging folder removes it."""
        self._writer.close()


def read_chunks(layout: Layout, dataset: DatasetId) -> Iterator[Chunk]:
    """All candles of a prepared dataset, in order; the origin's lines are rows of the dataset. Raises Corrupt."""
    record = read_record(layout, dataset)
    folder = layout.dataset(dataset)
    row = 1
    for file in record.files:
        try:
            with pq.ParquetFile(folder / file.path) as parquet:
                for batch in parquet.iter_batches(batch_size=ROW_GROUP, columns=[*VALUES, "ts_event"]):
                    yield Chunk(from_catalog(batch), ConsecutiveRows(str(dataset), row))
                    row += batch.num_rows
        except FileNotFoundError:
            raise Corrupt(f"dataset {dataset}: {file.path} is missing", hint=_rebuild_hint(record)) from None
        except (pa.ArrowInvalid, OSError, KeyError) as error:
            reason = str(error).splitlines()[0][:160]
            raise Corrupt(
                f"dataset {dataset}: {file.path} cannot be read: {reason}", hint=_rebuild_hint(record)
            ) from None


def count_in_window(layout: Layout, record: DatasetRecord, start_ms: int | None, end_ms: int | None) -> int:
    """Number of candles that open at or after `start_ms` and before `end_ms`; None: no bound."""
    count = 0
    for file in record.files:
        with pq.ParquetFile(layout.dataset(DatasetId(record.name)) / file.path) as parquet:
            for batch in parquet.iter_batches(columns=["ts_event"]):
                closes = batch.column("ts_event").cast(pa.int64())
                inside = pc.greater_equal(closes, close_ns(start_ms) if start_ms is not None else 0)
                if end_ms is not None:
                    inside = pc.and_(inside, pc.less(closes, close_ns(end_ms)))
                count += pc.sum(inside).as_py() or 0
    return count


def close_of_row(layout: Layout, record: DatasetRecord, start_ns: int | None, number: int) -> int:
    """Close in nanoseconds of candle `number`, counted from 1 at the first that closes at or after `start_ns`.

    Reads one column, and without `start_ns` only the row group that has it. Raises Corrupt if there are fewer candles.
    """
    remaining = number
    for file in record.files:
        with pq.ParquetFile(layout.dataset(DatasetId(record.name)) / file.path) as parquet:
            for group in range(parquet.num_row_groups):
                rows = parquet.metadata.row_group(group).num_rows
                if start_ns is None and rows < remaining:
                    remaining -= rows
                    continue
                closes = parquet.read_row_group(group, columns=["ts_event"]).column("ts_event").cast(pa.int64())
                if start_ns is not None:
                    closes = closes.filter(pc.greater_equal(closes, start_ns))
                if remaining <= len(closes):
                    return int(closes[remaining - 1].as_py())
                remaining -= len(closes)
    raise Corrupt(f"dataset {record.name} has fewer candles than its record states", hint=_rebuild_hint(record))


@dataclass(frozen=True, slots=True)
class FingerprintCheck:
    """The fingerprint of the stored candles, and the recorded one."""

    dataset: str
    fingerprint: str
    recorded: str

    @property
    def matches(self) -> bool:
        return self.fingerprint == self.recorded


def check_fingerprint(layout: Layout, dataset: DatasetId, progress: Progress) -> FingerprintCheck:
    """Compute the fingerprint and compare it with the recorded one. Raises NotFound, Corrupt."""
    record, recorded = read_record(layout, dataset), recorded_fingerprint(layout, dataset)
    computed = content_fingerprint(layout, dataset, progress)
    return FingerprintCheck(dataset, computed, recorded.fingerprint if recorded else record.fingerprint)


def content_fingerprint(layout: Layout, dataset: DatasetId, progress: Progress) -> str:
    """Compute the fingerprint from the stored candles. progress: called with the rows of each batch."""
    record = read_record(layout, dataset)
    fingerprint = Fingerprint(record.bar_type)
    for chunk in read_chunks(layout, dataset):
        fingerprint.update(chunk.batch)
        progress(chunk.batch.num_rows, None)
    return fingerprint.digest(record.allowed)


def _rebuild_hint(record: DatasetRecord) -> str:
    verb = "prepare" if record.kind == "synthetic" else "import"
    return f"remove the dataset's folder and {verb} it again"


def _close_instant(open_ms: int) -> str:
    return catalog_instant(close_ns(open_ms))
