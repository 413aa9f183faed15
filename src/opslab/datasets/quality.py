"""What can be wrong with candles, found column-wise, one batch after the other.

Rules look at whole columns; only the findings that are kept are looked at row by row. A batch is compared with the
last candle of the batch before it, across files too.
"""

import functools
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from opslab.datasets.candles import NUMBER, PRICES
from opslab.model.instant import MINUTE_MS, iso_minute
from opslab.model.instrument import Instrument

KEPT_PER_RULE = 20

RULES = {
    "disorder": "a candle older than the one before it",
    "duplicate": "a candle with the open time of the one before it",
    "gap": "missing minutes before this candle",
    "off_grid": "an open time that is not a whole minute",
    "time_range": "an open time outside 2009 to 2100, or in another unit than the file's first",
    "not_enclosed": "high below open, close or low, or low above open or close",
    "non_positive_price": "a price of zero or less",
    "negative_volume": "a volume below zero",
    "too_precise": "more decimals than the instrument has",
    "unreadable": "a line that is not a candle",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong. `line` counts from 1 in the file as an editor shows it, header included."""

    rule: str
    file: str
    line: int
    detail: str
    open_time: str | None = None

    def text(self) -> str:
        when = f" {self.open_time}" if self.open_time else ""
        return f"{self.file}:{self.line}:{when} {self.rule}: {self.detail}"

    def as_dict(self) -> dict[str, object]:
        names = ("rule", "file", "line", "open_time", "detail")
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class Findings:
    """The first of each rule, and how many there were."""

    kept: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        self.counts[finding.rule] = self.counts.get(finding.rule, 0) + 1
        if self.counts[finding.rule] <= KEPT_PER_RULE:
            self.kept.append(finding)

    def room(self, rule: str) -> int:
        return max(0, KEPT_PER_RULE - self.counts.get(rule, 0))

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class Inspector:
    """Checks batches of CANDLES in reading order."""

    def __init__(self, instrument: Instrument) -> None:
        self.findings = Findings()
        self._instrument = instrument
        self._last_ms: int | None = None

    def inspect(self, batch: pa.RecordBatch, file: str, first_line: int) -> None:
        """Check one batch whose first row stands in `first_line` of `file`."""
        if batch.num_rows == 0:
            return
        self._times(batch, file, first_line)
        self._values(batch, file, first_line)

    def _times(self, batch: pa.RecordBatch, file: str, first_line: int) -> None:
        times = batch.column("open_time")
        self._note("off_grid", _off_grid(times), batch, file, first_line)
        before = self._last_ms if self._last_ms is not None else times[0].as_py() - MINUTE_MS
        previous = pa.concat_arrays([pa.array([before], pa.int64()), times.slice(0, len(times) - 1)])
        steps = pc.subtract(times, previous)
        if not pc.all(pc.equal(steps, MINUTE_MS)).as_py():
            self._note("disorder", pc.less(steps, 0), batch, file, first_line)
            self._note("duplicate", pc.equal(steps, 0), batch, file, first_line)
            self._note("gap", pc.greater(steps, MINUTE_MS), batch, file, first_line, steps)
        self._last_ms = times[-1].as_py()

    def _values(self, batch: pa.RecordBatch, file: str, first_line: int) -> None:
        opened, high, low, close = (batch.column(name) for name in PRICES)
        volume = batch.column("volume")
        zero = pa.scalar(Decimal(0), NUMBER)
        broken = pc.or_(
            pc.or_(pc.less(high, opened), pc.less(high, close)),
            pc.or_(pc.or_(pc.greater(low, opened), pc.greater(low, close)), pc.less(high, low)),
        )
        self._note("not_enclosed", broken, batch, file, first_line)
        non_positive = pc.or_(
            pc.or_(pc.less_equal(opened, zero), pc.less_equal(high, zero)),
            pc.or_(pc.less_equal(low, zero), pc.less_equal(close, zero)),
        )
        self._note("non_positive_price", non_positive, batch, file, first_line)
        self._note("negative_volume", pc.less(volume, zero), batch, file, first_line)
        decimals = [(column, self._instrument.price_decimals) for column in (opened, high, low, close)]
        decimals.append((volume, self._instrument.size_decimals))
        if not all(_fits(column, places) for column, places in decimals):
            rounded = [pc.not_equal(pc.round(column, places), column) for column, places in decimals]
            self._note("too_precise", functools.reduce(pc.or_, rounded), batch, file, first_line)

    def _note(
        self, rule: str, wrong: pa.Array, batch: pa.RecordBatch, file: str, first_line: int, steps: Any = None
    ) -> None:
        count = pc.sum(wrong).as_py() or 0
        if not count:
            return
        room = self.findings.room(rule)
        rows = pc.indices_nonzero(wrong).slice(0, room).to_pylist() if room else []
        for row in rows:
            time_ms = batch.column("open_time")[row].as_py()
            detail = _detail(rule, batch, row, steps[row].as_py() if steps is not None else None)
            self.findings.add(Finding(rule, file, first_line + row, detail, iso_minute(time_ms)))
        self.findings.counts[rule] = self.findings.counts.get(rule, 0) + count - len(rows)


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
        missing = step_ms // MINUTE_MS - 1
        return f"{missing} minute{'s' if missing != 1 else ''} missing before this candle"
    if rule in ("not_enclosed", "non_positive_price", "negative_volume", "too_precise"):
        names = ("volume",) if rule == "negative_volume" else (*PRICES, "volume")
        shown = ", ".join(f"{name} {_plain(batch.column(name)[row].as_py())}" for name in names)
        return f"{RULES[rule]} ({shown})"
    return RULES[rule]


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
