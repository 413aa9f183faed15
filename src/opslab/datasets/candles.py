"""Columns of candles in the lab, and in the engine's catalog.

In the lab a batch has the columns of `CANDLES`: `open_time` in milliseconds UTC (the candle's open), prices and volume
as decimal128(38, 16). The engine's catalog needs `ts_event` and `ts_init` in nanoseconds; both are the candle's close,
59.999 s after its open, so that no strategy can see it earlier.
"""

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from opslab.datasets.origin import Origin
from opslab.model.market.instrument import Instrument
from opslab.model.primitives.instant import BAR_CLOSE_OFFSET_NS, NS_PER_MS

PRICES = ("open", "high", "low", "close")
VALUES = (*PRICES, "volume")
NUMBER = pa.decimal128(38, 16)
CANDLES = pa.schema([("open_time", pa.int64()), *((name, NUMBER) for name in VALUES)])
_CLOSE = pa.timestamp("ns", tz="UTC")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A batch of CANDLES, the origin of its rows, and the marks of its reader: rule to one boolean for each row."""

    batch: pa.RecordBatch
    origin: Origin
    marks: dict[str, pa.Array] = field(default_factory=dict)
    lengths: pa.Array | None = None
    """Milliseconds from open to close of each row, where the file says so."""


def catalog_schema(instrument: Instrument) -> pa.Schema:
    """The engine's schema of a bar file; its metadata sets the displayed precision."""
    fields = [pa.field(name, NUMBER, nullable=False) for name in VALUES]
    fields += [pa.field(name, _CLOSE, nullable=False) for name in ("ts_event", "ts_init")]
    metadata = {
        "bar_type": instrument.bar_type,
        "instrument_id": instrument.instrument_id,
        "price_precision": str(instrument.price_decimals),
        "size_precision": str(instrument.size_decimals),
        "type_name": "Bar",
    }
    return pa.schema(fields, metadata=metadata)


def to_catalog(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    close_ns = pc.add(pc.multiply(batch.column("open_time"), NS_PER_MS), BAR_CLOSE_OFFSET_NS).cast(_CLOSE)
    return pa.RecordBatch.from_arrays([*(batch.column(name) for name in VALUES), close_ns, close_ns], schema=schema)


def from_catalog(batch: pa.RecordBatch) -> pa.RecordBatch:
    close_ns = batch.column("ts_event").cast(pa.int64())
    open_ms = pc.divide(pc.subtract(close_ns, BAR_CLOSE_OFFSET_NS), NS_PER_MS)
    return pa.RecordBatch.from_arrays([open_ms, *(batch.column(name) for name in VALUES)], schema=CANDLES)
