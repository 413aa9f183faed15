"""Read a prepared dataset candle by candle, in the units of the instrument."""

from collections.abc import Iterator

import pyarrow as pa

from opslab.datasets.candles import VALUES
from opslab.datasets.catalog import read_chunks
from opslab.model.market.candle import Candle
from opslab.model.market.instrument import Instrument
from opslab.model.primitives.ids import DatasetId
from opslab.store.layout import Layout

_SLICE_ROWS = 2_000


def playback(
    layout: Layout,
    dataset: DatasetId,
    instrument: Instrument,
    *,
    first_row: int = 0,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> Iterator[tuple[int, Candle]]:
    """(row, candle) for a window of the dataset, rows counted from the start of the window, in bounded memory.

    start_ms, end_ms: open of the first candle, and of the first one after the window; None: no bound. Raises Corrupt.
    """
    row = 0
    for chunk in read_chunks(layout, dataset):
        batch = chunk.batch
        for first in range(0, batch.num_rows, _SLICE_ROWS):
            part = batch.slice(first, _SLICE_ROWS)
            opens = part.column("open_time").to_pylist()
            if start_ms is not None and opens[-1] < start_ms:
                continue
            if end_ms is not None and opens[0] >= end_ms:
                return
            for open_ms, values in zip(opens, _units(part, instrument), strict=True):
                if start_ms is not None and open_ms < start_ms:
                    continue
                if end_ms is not None and open_ms >= end_ms:
                    return
                if row >= first_row:
                    yield row, Candle(open_ms, *values)
                row += 1


def _units(part: pa.RecordBatch, instrument: Instrument) -> Iterator[tuple[int, int, int, int, int]]:
    """Open, high, low, close and volume of each row, in units of the instrument's decimals."""
    columns = []
    for name in VALUES:
        decimals = instrument.size_decimals if name == "volume" else instrument.price_decimals
        column = part.column(name).cast(pa.decimal128(38, decimals))
        columns.append([int(value.scaleb(decimals)) for value in column.to_pylist()])
    yield from zip(*columns, strict=True)
