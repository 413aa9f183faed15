"""Check candles against the quality rules by column, batch after batch, in bounded memory.

Rules work on whole columns; only listed findings are read row by row. A batch is compared with the last candle of the
previous batch, also across files.
"""

import functools
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from opslab.datasets.candles import NUMBER, PRICES, VALUES, Chunk
from opslab.datasets.origin import Origin
from opslab.datasets.quality.findings import QualityFinding, QualityFindings
from opslab.datasets.quality.rules import JUMP_FRACTION, MIN_ZERO_VOLUME_CANDLES, RULES
from opslab.datasets.quality.series import Interval, NameClaims, file_finding, level_changes
from opslab.model.market.instrument import Instrument
from opslab.model.primitives.canonical import decimal_text
from opslab.model.primitives.instant import MINUTE_MS, iso_minute

_ZERO = pa.scalar(Decimal(0), NUMBER)
_RULES_WITH_VALUES = {"not_enclosed", "non_positive_price", "negative_volume", "too_precise", "off_tick"}


class Inspector:
    """Checks chunks of candles in reading order, and collects `findings`."""

    def __init__(self, instrument: Instrument) -> None:
        self.findings = QualityFindings()
        self._instrument = instrument
        self._last: pa.RecordBatch | None = None
        self._file: str | None = None
        self._latest: tuple[int, str] | None = None
        self._zero_volume = _ZeroVolume(self.findings)
        self._interval = Interval()

    def expect_file(self, name: str, first_line: int, claims: NameClaims) -> None:
        """Check a file's claims about its candles. Call for every file before the first chunk."""
        finding = file_finding(name, first_line, claims, self._instrument.symbol)
        if finding:
            self.findings.add(finding)
        if claims.market == "spot":
            self.add_spot(name, first_line)
        self._interval.claim(name, claims.interval_ms)

    def add_spot(self, name: str, first_line: int) -> None:
        if "spot" not in self.findings.counts:
            self.findings.add(QualityFinding("spot", name, first_line, RULES["spot"].meaning))

    def inspect(self, chunk: Chunk) -> None:
        batch, origin = chunk.batch, chunk.origin
        if batch.num_rows == 0:
            return
        self._check_overlap(batch, origin)
        first_open = iso_minute(batch.column("open_time")[0].as_py())
        self._interval.add_rows(origin.location(0), first_open, chunk.lengths)
        for rule, marked in chunk.marks.items():
            self._add(rule, marked, batch, origin)
        self._check_times(batch, origin)
        self._check_prices(batch, origin)
        self._check_volumes(batch, origin)
        self._last = batch.slice(batch.num_rows - 1)

    def finish(self) -> QualityFindings:
        """All findings; call after the last chunk."""
        self._zero_volume.finish()
        self._interval.settle(self.findings)
        return self.findings

    def _check_overlap(self, batch: pa.RecordBatch, origin: Origin) -> None:
        """A file that starts before the end of an earlier one: one finding; its rows are not also `disorder`."""
        file, line = origin.location(0)
        if file != self._file:
            first = batch.column("open_time")[0].as_py()
            if self._latest and self._file and first <= self._latest[0]:
                latest, other = self._latest
                detail = f"starts before {other} ends at {iso_minute(latest)}"
                self.findings.add(QualityFinding("overlap", file, line, detail, iso_minute(first)))
                self._last = None
            self._file = file
        last = pc.max(batch.column("open_time")).as_py()
        if self._latest is None or last > self._latest[0]:
            self._latest = (last, file)

    def _check_times(self, batch: pa.RecordBatch, origin: Origin) -> None:
        times = batch.column("open_time")
        self._add("off_grid", _off_grid(times), batch, origin)
        before = self._last.column("open_time")[0].as_py() if self._last is not None else times[0].as_py() - MINUTE_MS
        previous = pa.concat_arrays([pa.array([before], pa.int64()), times.slice(0, len(times) - 1)])
        steps = pc.subtract(times, previous)
        is_first = self._last is None  # without a step
        file, _line = origin.location(0)
        if pc.all(pc.equal(steps, MINUTE_MS)).as_py():
            self._interval.add_minute_steps(file, len(times) - is_first)
            return
        self._interval.add_steps(file, steps.slice(1) if is_first else steps)
        self._add("disorder", pc.less(steps, 0), batch, origin)
        self._add("gap", pc.greater(steps, MINUTE_MS), batch, origin, steps)
        repeated = pc.equal(steps, 0)
        if pc.any(repeated).as_py():
            same = same_as_before(batch, self._last)
            self._add("duplicate_identical", pc.and_(repeated, same), batch, origin)
            self._add("duplicate_disagreeing", pc.and_(repeated, pc.invert(same)), batch, origin)

    def _check_prices(self, batch: pa.RecordBatch, origin: Origin) -> None:
        opened, high, low, close = prices = [batch.column(name) for name in PRICES]
        violations = [pc.less(high, opened), pc.less(high, close), pc.less(high, low)]
        violations += [pc.greater(low, opened), pc.greater(low, close)]
        self._add("not_enclosed", functools.reduce(pc.or_, violations), batch, origin)
        not_positive = functools.reduce(pc.or_, [pc.less_equal(price, _ZERO) for price in prices])
        self._add("non_positive_price", not_positive, batch, origin)
        self._check_decimals(batch, origin, prices)
        self._check_jumps(batch, origin)

    def _check_decimals(self, batch: pa.RecordBatch, origin: Origin, prices: list[pa.Array]) -> None:
        """The tick is a power of ten here: a price is on the tick if it has no more decimals than the tick."""
        tick_decimals, max_decimals = self._instrument.tick_decimals, self._instrument.price_decimals
        if all(_fits(price, tick_decimals) for price in prices):
            return
        is_exact = all(_fits(price, max_decimals) for price in prices)
        rule, limit = ("off_tick", tick_decimals) if is_exact else ("too_precise", max_decimals)
        finer = [pc.not_equal(pc.round(price, limit), price) for price in prices]
        self._add(rule, functools.reduce(pc.or_, finer), batch, origin)

    def _check_jumps(self, batch: pa.RecordBatch, origin: Origin) -> None:
        """A heuristic: floating point is exact enough."""
        close = batch.column("close").cast(pa.float64())
        first = self._last.column("close").cast(pa.float64()) if self._last is not None else close.slice(0, 1)
        before = pa.concat_arrays([first, close.slice(0, len(close) - 1)])
        far = pc.greater_equal(pc.abs(pc.subtract(close, before)), pc.multiply(pc.abs(before), JUMP_FRACTION))
        jumps = pc.and_(far, pc.not_equal(close, before))
        self._add("jump", jumps, batch, origin)
        if pc.any(jumps).as_py():
            times = batch.column("open_time")
            first_ms = self._last.column("open_time")[0] if self._last is not None else times[0]
            steps = pc.subtract(
                times, pa.concat_arrays([pa.array([first_ms], pa.int64()), times.slice(0, len(times) - 1)])
            )
            self._add("wrong_instrument", level_changes(before, close, steps), batch, origin, before=before)

    def _check_volumes(self, batch: pa.RecordBatch, origin: Origin) -> None:
        volume = batch.column("volume")
        self._add("negative_volume", pc.less(volume, _ZERO), batch, origin)
        decimals = self._instrument.size_decimals
        if not _fits(volume, decimals):
            self._add("too_precise", pc.not_equal(pc.round(volume, decimals), volume), batch, origin)
        self._zero_volume.add(batch, origin)

    def _add(
        self,
        rule: str,
        violations: pa.Array,
        batch: pa.RecordBatch,
        origin: Origin,
        steps: pa.Array | None = None,
        before: pa.Array | None = None,
    ) -> None:
        """steps: from the candle before, in ms. before: its close."""
        count = pc.sum(violations).as_py() or 0
        if not count:
            return
        remaining = self.findings.remaining(rule)
        rows = pc.indices_nonzero(violations).slice(0, remaining).to_pylist() if remaining else []
        for row in rows:
            if before is not None:
                close = decimal_text(batch.column("close")[row].as_py())
                detail = f"{RULES[rule].meaning}: a close of {close} after {before[row]}"
            else:
                detail = _detail(rule, batch, row, steps[row].as_py() if steps is not None else None)
            file, line = origin.location(row)
            self.findings.add(
                QualityFinding(rule, file, line, detail, iso_minute(batch.column("open_time")[row].as_py()))
            )
        self.findings.count(rule, count - len(rows))


class _ZeroVolume:
    """Counts consecutive candles without volume, across batches."""

    def __init__(self, findings: QualityFindings) -> None:
        self._findings = findings
        self._length = 0
        self._start: tuple[str, int, int] = ("", 0, 0)
        self._has_volume = False

    def finish(self) -> None:
        """A market without any trade: a file of mark or index prices."""
        if not self._has_volume and self._length >= MIN_ZERO_VOLUME_CANDLES:
            file, line, time_ms = self._start
            detail = "no candle has volume: these are mark or index prices, not trades"
            self._findings.add(QualityFinding("wrong_instrument", file, line, detail, iso_minute(time_ms)))
        else:
            self.close()

    def add(self, batch: pa.RecordBatch, origin: Origin) -> None:
        has_volume = pc.not_equal(batch.column("volume"), _ZERO)
        if pc.all(has_volume).as_py():
            self._has_volume = True
            self.close()
            return
        traded = pc.indices_nonzero(has_volume).cast(pa.int64())
        count = len(traded)
        self._has_volume |= count > 0
        self._extend(traded[0].as_py() if count else batch.num_rows, batch, origin, 0)
        if not count:
            return
        self.close()
        gaps = pc.subtract(pc.subtract(traded.slice(1), traded.slice(0, count - 1)), 1)
        for index in pc.indices_nonzero(pc.greater_equal(gaps, MIN_ZERO_VOLUME_CANDLES)).to_pylist():
            self._extend(gaps[index].as_py(), batch, origin, traded[index].as_py() + 1)
            self.close()
        last = traded[-1].as_py() + 1
        self._extend(batch.num_rows - last, batch, origin, last)

    def _extend(self, length: int, batch: pa.RecordBatch, origin: Origin, start: int) -> None:
        if length and not self._length:
            self._start = (*origin.location(start), batch.column("open_time")[start].as_py())
        self._length += length

    def close(self) -> None:
        """End the current sequence; add a finding if it is long enough."""
        if self._length >= MIN_ZERO_VOLUME_CANDLES:
            file, line, time_ms = self._start
            detail = f"{self._length} candles in a row without volume"
            self._findings.add(QualityFinding("zero_volume", file, line, detail, iso_minute(time_ms)))
        self._length = 0


def same_as_before(batch: pa.RecordBatch, last: pa.RecordBatch | None) -> pa.Array:
    """For each row, whether all its values equal those of the previous row. last: the row before the first one."""
    same = []
    for name in VALUES:
        values = batch.column(name)
        first = last.column(name) if last is not None else values.slice(0, 1)
        same.append(pc.equal(values, pa.concat_arrays([first, values.slice(0, len(values) - 1)])))
    return functools.reduce(pc.and_, same)


def _fits(column: pa.Array, decimals: int) -> bool:
    """Whether no value has more decimals; several times faster than rounding if that is true."""
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
    if rule in _RULES_WITH_VALUES:
        shown = ", ".join(f"{name} {decimal_text(batch.column(name)[row].as_py())}" for name in VALUES)
        return f"{RULES[rule].meaning} ({shown})"
    return RULES[rule].meaning
