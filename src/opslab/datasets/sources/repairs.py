"""Repairs of candles during an import, only on explicit request: sort, drop identical duplicates, round."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from opslab.datasets.candles import CANDLES, NUMBER, PRICES, Chunk
from opslab.datasets.origin import Origin
from opslab.datasets.quality.inspector import same_as_before
from opslab.model.market.instrument import Instrument

_SLICE_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class SortedRows:
    """Rows in any order: for each row the index of its origin, and its row there."""

    origins: tuple[Origin, ...]
    origin_indexes: pa.Array
    rows: pa.Array

    def location(self, row: int) -> tuple[str, int]:
        origin: Origin = self.origins[self.origin_indexes[row].as_py()]
        return origin.location(self.rows[row].as_py())


def in_time_order(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """All candles sorted by open time; candles with equal times keep their order. Holds all of them in memory."""
    batches: list[pa.RecordBatch] = []
    origins: list[Origin] = []
    for chunk in chunks:
        count = chunk.batch.num_rows
        origin_indexes = pa.nulls(count, pa.int32()).fill_null(len(origins))
        rows = pc.subtract(pc.cumulative_sum(pa.nulls(count, pa.int64()).fill_null(1)), 1)
        batches.append(_with_columns(chunk, {"origin": origin_indexes, "row": rows}))
        origins.append(chunk.origin)
    if not batches:
        return
    marks = sorted({name for batch in batches for name in batch.schema.names} - {*CANDLES.names, "origin", "row"})
    table = pa.Table.from_batches([_with_marks(batch, marks) for batch in batches])
    keys = [("open_time", "ascending"), ("origin", "ascending"), ("row", "ascending")]
    for batch in table.sort_by(keys).combine_chunks().to_batches(max_chunksize=_SLICE_ROWS):
        origin = SortedRows(tuple(origins), batch.column("origin"), batch.column("row"))
        yield Chunk(batch.select(CANDLES.names), origin, {name: batch.column(name) for name in marks})


class IdenticalDropper:
    """Drops candles that repeat the previous one in every value; `dropped` counts them."""

    def __init__(self) -> None:
        self.dropped = 0
        self._last: pa.RecordBatch | None = None

    def without_repeats(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            batch = chunk.batch
            if not batch.num_rows:
                continue
            times = batch.column("open_time")
            first = self._last.column("open_time") if self._last is not None else pa.array([-1], pa.int64())
            same_time = pc.equal(times, pa.concat_arrays([first, times.slice(0, len(times) - 1)]))
            repeats = pc.and_(same_time, same_as_before(batch, self._last))
            self._last = batch.slice(batch.num_rows - 1)
            count = pc.sum(repeats).as_py() or 0
            if not count:
                yield chunk
                continue
            self.dropped += count
            kept = pc.invert(repeats)
            rows = pc.indices_nonzero(kept).cast(pa.int64())
            origin_indexes = pa.nulls(len(rows), pa.int32()).fill_null(0)
            marks = {name: mark.filter(kept) for name, mark in chunk.marks.items()}
            yield Chunk(batch.filter(kept), SortedRows((chunk.origin,), origin_indexes, rows), marks)


class Rounder:
    """Rounds prices to the instrument's tick and volumes to its lot, half to even; counts the candles it changes."""

    def __init__(self, instrument: Instrument) -> None:
        decimals = {**dict.fromkeys(PRICES, instrument.tick_decimals), "volume": instrument.size_decimals}
        self._decimals = decimals
        self.prices = 0
        self.volumes = 0

    def rounded(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            batch = chunk.batch
            columns = {name: batch.column(name) for name in CANDLES.names}
            for name, decimals in self._decimals.items():
                columns[name] = pc.round(columns[name], decimals, "half_to_even").cast(NUMBER)
            changed = {name: pc.not_equal(columns[name], batch.column(name)) for name in self._decimals}
            self.volumes += pc.sum(changed.pop("volume")).as_py() or 0
            self.prices += pc.sum(functools.reduce(pc.or_, changed.values())).as_py() or 0
            rounded = pa.RecordBatch.from_arrays(list(columns.values()), schema=CANDLES)
            yield dataclasses.replace(chunk, batch=rounded)


def _with_columns(chunk: Chunk, additional: dict[str, pa.Array]) -> pa.RecordBatch:
    columns = {name: chunk.batch.column(name) for name in CANDLES.names} | additional | chunk.marks
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _with_marks(batch: pa.RecordBatch, marks: list[str]) -> pa.RecordBatch:
    """The batch with every mark as a column; False if its reader did not set the mark."""
    none = pa.nulls(batch.num_rows, pa.bool_()).fill_null(False)
    columns = {name: batch.column(name) for name in (*CANDLES.names, "origin", "row")}
    columns |= {name: batch.column(name) if name in batch.schema.names else none for name in marks}
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
