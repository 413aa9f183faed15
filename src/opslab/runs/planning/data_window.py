"""The part of a dataset that a run uses."""

from dataclasses import dataclass

from opslab.errors import Usage
from opslab.model.market.dataset import DatasetRecord
from opslab.model.primitives.instant import NS_PER_MINUTE, close_ns, parse_minute
from opslab.model.spec.run_spec import DataRef
from opslab.store.layout import Layout


@dataclass(frozen=True, slots=True)
class Window:
    """Bounds as bar closes in nanoseconds, both inclusive; None: the dataset's own bound."""

    start_ns: int | None
    end_ns: int | None
    rows: int


def window_of(layout: Layout, data: DataRef, record: DatasetRecord) -> Window:
    """The candles that open at or after `data.start` and before `data.end`. Raises Usage when there are none."""
    if data.start is None and data.end is None:
        return Window(None, None, record.rows)
    from opslab.datasets.catalog import count_in_window  # loads pyarrow; not needed for a whole dataset

    start_ms = parse_minute(data.start) if data.start else None
    end_ms = parse_minute(data.end) if data.end else None
    rows = count_in_window(layout, record, start_ms, end_ms)
    if not rows:
        raise Usage(
            f"dataset {record.name} has no candles from {data.start or 'its start'} to {data.end or 'its end'}",
            hint=f"it has candles from {record.first_open} to {record.last_open}",
        )
    return Window(
        start_ns=close_ns(start_ms) if start_ms is not None else None,
        end_ns=close_ns(end_ms) - 1 if end_ms is not None else None,
        rows=rows,
    )


def last_close_ns(layout: Layout, record: DatasetRecord, window: Window, rows: int) -> int:
    """Close of the `rows`-th candle of the window, in nanoseconds: minutes may be missing between it and the first."""
    if window.start_ns is None and not record.findings:  # no gaps, so no candle has to be read
        return close_ns(parse_minute(record.first_open)) + (rows - 1) * NS_PER_MINUTE
    from opslab.datasets.catalog import close_of_row  # loads pyarrow

    return close_of_row(layout, record, window.start_ns, rows)
