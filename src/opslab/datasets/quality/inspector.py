"""Candles held against the rules, column-wise, one batch after the other, in bounded memory.

Rules look at whole columns; only the findings that are kept are looked at row by row. A batch is compared with the
last candle of the batch before it, across files too.
"""

import functools
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from opslab.datasets.candles import NUMBER, PRICES, VALUES, Chunk
from opslab.datasets.origin import Origin
from opslab.datasets.quality.findings import QualityFinding, QualityFindings
from opslab.datasets.quality.rules import JUMP_FRACTION, MIN_ZERO_VOLUME_CANDLES, RULES
from opslab.model.market.instrument import Instrument
from opslab.model.primitives.canonical import decimal_text
from opslab.model.primitives.instant import MINUTE_MS, iso_minute

_ZERO = pa.scalar(Decimal(0), NUMBER)
_ABOUT_A_CANDLE = {"not_enclosed", "non_positive_price", "negative_volume", "too_precise", "off_tick"}


class Inspector:
    """Checks chunks of candles in reading order; what is found stands in `findings`."""

    def __init__(self, instrument: Instrument) -> None:
        self.findings = QualityFindings()
        self._instrument = instrument
        self._tick_decimals = -int(instrument.tick.normalize().as_tuple().exponent)
        self._last: pa.RecordBatch | None = None
        self._file: str | None = None
        self._latest: tuple[int, str] | None = None
        self._stretch = _Stretch(self.findings)

    def inspect(self, chunk: Chunk) -> None:
        batch, origin = chunk.batch, chunk.origin
        if batch.num_rows == 0:
            return
        self._overlap(batch, origin)
        for rule, marked in chunk.marks.items():
            self._note(rule, marked, batch, origin)
        self._times(batch, origin)
        self._prices(batch, origin)
        self._volumes(batch, origin)
        self._last = batch.slice(batch.num_rows - 1)

    def end(self) -> QualityFindings:
        """Everything found; call when there are no more chunks."""
        self._stretch.end()
        return self.findings

    def _overlap(self, batch: pa.RecordBatch, origin: Origin) -> None:
        """A file that begins no later than what was read before ends: said once, and its rows are not disorder."""
        file, line = origin.place(0)
        if file != self._file:
            first = batch.column("open_time")[0].as_py()
            if self._latest and self._file and first <= self._latest[0]:
                latest, other = self._latest
                detail = f"begins before {other} ends at {iso_minute(latest)}"
                self.findings.add(QualityFinding("overlap", file, line, detail, iso_minute(first)))
                self._last = None
            self._file = file
        last = pc.max(batch.column("open_time")).as_py()
        if self._latest is None or last > self._latest[0]:
            self._latest = (last, file)

    def _times(self, batch: pa.RecordBatch, origin: Origin) -> None:
        times = batch.column("open_time")
        self._note("off_grid", _off_grid(times), batch, origin)
        before = self._last.column("open_time")[0].as_py() if self._last is not None else times[0].as_py() - MINUTE_MS
        previous = pa.concat_arrays([pa.array([before], pa.int64()), times.slice(0, len(times) - 1)])
        steps = pc.subtract(times, previous)
        if pc.all(pc.equal(steps, MINUTE_MS)).as_py():
            return
        self._note("disorder", pc.less(steps, 0), batch, origin)
        self._note("gap", pc.greater(steps, MINUTE_MS), batch, origin, steps)
        again = pc.equal(steps, 0)
        if pc.any(again).as_py():
            same = same_as_before(batch, self._last)
            self._note("duplicate_identical", pc.and_(again, same), batch, origin)
            self._note("duplicate_disagreeing", pc.and_(again, pc.invert(same)), batch, origin)

    def _prices(self, batch: pa.RecordBatch, origin: Origin) -> None:
        opened, high, low, close = prices = [batch.column(name) for name in PRICES]
        broken = [pc.less(high, opened), pc.less(high, close), pc.less(high, low)]
        broken += [pc.greater(low, opened), pc.greater(low, close)]
        self._note("not_enclosed", functools.reduce(pc.or_, broken), batch, origin)
        lowest = functools.reduce(pc.or_, [pc.less_equal(price, _ZERO) for price in prices])
        self._note("non_positive_price", lowest, batch, origin)
        self._decimals(batch, origin, prices)
        self._jumps(batch, origin)

    def _decimals(self, batch: pa.RecordBatch, origin: Origin, prices: list[pa.Array]) -> None:
        """Ticks are powers of ten here, so a price on the tick is one with so many decimals."""
        tick, places = self._tick_decimals, self._instrument.price_decimals
        if all(_fits(price, tick) for price in prices):
            return
        rule, limit = ("off_tick", tick) if all(_fits(price, places) for price in prices) else ("too_precise", places)
        finer = [pc.not_equal(pc.round(price, limit), price) for price in prices]
        self._note(rule, functools.reduce(pc.or_, finer), batch, origin)

    def _jumps(self, batch: pa.RecordBatch, origin: Origin) -> None:
        """A heuristic, so floating point will do."""
        close = batch.column("close").cast(pa.float64())
        first = self._last.column("close").cast(pa.float64()) if self._last is not None else close.slice(0, 1)
        before = pa.concat_arrays([first, close.slice(0, len(close) - 1)])
        far = pc.greater_equal(pc.abs(pc.subtract(close, before)), pc.multiply(pc.abs(before), JUMP_FRACTION))
        self._note("jump", pc.and_(far, pc.not_equal(close, before)), batch, origin)

    def _volumes(self, batch: pa.RecordBatch, origin: Origin) -> None:
        volume = batch.column("volume")
        self._note("negative_volume", pc.less(volume, _ZERO), batch, origin)
        places = self._instrument.size_decimals
        if not _fits(volume, places):
            self._note("too_precise", pc.not_equal(pc.round(volume, places), volume), batch, origin)
        self._stretch.look(batch, origin)

    def _note(
        self, rule: str, wrong: pa.Array, batch: pa.RecordBatch, origin: Origin, steps: pa.Array | None = None
    ) -> None:
        count = pc.sum(wrong).as_py() or 0
        if not count:
            return
        room = self.findings.room(rule)
        rows = pc.indices_nonzero(wrong).slice(0, room).to_pylist() if room else []
        for row in rows:
            detail = _detail(rule, batch, row, steps[row].as_py() if steps is not None else None)
            file, line = origin.place(row)
            self.findings.add(
                QualityFinding(rule, file, line, detail, iso_minute(batch.column("open_time")[row].as_py()))
            )
        self.findings.count(rule, count - len(rows))


class _Stretch:
    """Candles in a row without volume, counted across batches."""

    def __init__(self, findings: QualityFindings) -> None:
        self._findings = findings
        self._length = 0
        self._began: tuple[str, int, int] = ("", 0, 0)

    def look(self, batch: pa.RecordBatch, origin: Origin) -> None:
        some = pc.not_equal(batch.column("volume"), _ZERO)
        if pc.all(some).as_py():
            self.end()
            return
        traded = pc.indices_nonzero(some).cast(pa.int64())
        count = len(traded)
        self._grow(traded[0].as_py() if count else batch.num_rows, batch, origin, 0)
        if not count:
            return
        self.end()
        holes = pc.subtract(pc.subtract(traded.slice(1), traded.slice(0, count - 1)), 1)
        for place in pc.indices_nonzero(pc.greater_equal(holes, MIN_ZERO_VOLUME_CANDLES)).to_pylist():
            self._grow(holes[place].as_py(), batch, origin, traded[place].as_py() + 1)
            self.end()
        last = traded[-1].as_py() + 1
        self._grow(batch.num_rows - last, batch, origin, last)

    def _grow(self, length: int, batch: pa.RecordBatch, origin: Origin, start: int) -> None:
        if length and not self._length:
            self._began = (*origin.place(start), batch.column("open_time")[start].as_py())
        self._length += length

    def end(self) -> None:
        """No more of this stretch."""
        if self._length >= MIN_ZERO_VOLUME_CANDLES:
            file, line, time_ms = self._began
            detail = f"{self._length} candles in a row without volume"
            self._findings.add(QualityFinding("zero_volume", file, line, detail, iso_minute(time_ms)))
        self._length = 0


def same_as_before(batch: pa.RecordBatch, last: pa.RecordBatch | None) -> pa.Array:
    """For each row whether all its values are those of the row before it; `last` is the row before the first."""
    same = []
    for name in VALUES:
        values = batch.column(name)
        first = last.column(name) if last is not None else values.slice(0, 1)
        same.append(pc.equal(values, pa.concat_arrays([first, values.slice(0, len(values) - 1)])))
    return functools.reduce(pc.and_, same)


def _fits(column: pa.Array, decimals: int) -> bool:
    """Whether no value has more decimals; several times faster than rounding when that is so."""
    try:
        column.cast(pa.decimal128(38, decimals))
    except pa.ArrowInvalid:
        return False
    return True


def _off_grid(times: pa.Array) -> pa.Array:
    whole = pc.multiply(pc.divide(times, MINUTE_MS), MINUTE_MS)
    return pc.not_equal(whole, times)


def _detail(rule: str, batch: pa.RecordBatch, row: int, step_ms: int | None) -> str:
    if rule == "gap" and step_ms is not None:
        missing = max(1, step_ms // MINUTE_MS - 1)
        return f"{missing:,} minute{'s' if missing != 1 else ''} missing before this candle"
    if rule in _ABOUT_A_CANDLE:
        shown = ", ".join(f"{name} {decimal_text(batch.column(name)[row].as_py())}" for name in VALUES)
        return f"{RULES[rule].meaning} ({shown})"
    return RULES[rule].meaning
