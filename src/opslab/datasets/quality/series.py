"""Which series the candles are: instrument, market and interval, by file name, columns and times.

Candles of another interval read as one-minute candles let a strategy see the future; candles of another instrument give
results that look right. Neither can be allowed.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from opslab.datasets.quality.findings import QualityFinding, QualityFindings
from opslab.model.primitives.ids import shown
from opslab.model.primitives.instant import MINUTE_MS

SYMBOL_COLUMNS = ("symbol", "pair", "ticker", "instrument", "instrument_id")
INTERVAL_COLUMN = "interval"

Market = Literal["spot", "price_index"]

_HOUR_MS = 60 * MINUTE_MS
_DAY_MS = 24 * _HOUR_MS
_UNITS = {"s": (1_000, "second"), "m": (MINUTE_MS, "minute"), "h": (_HOUR_MS, "hour"), "d": (_DAY_MS, "day")}
_INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "7d")
_OTHER_NAMES = {"60m": "1h", "120m": "2h", "240m": "4h", "24h": "1d", "1w": "7d", "60s": "1m"}
_MIN_STEPS = 3
"""Minimum number of equal steps that show an interval."""
_LEVEL_RATIO = 3
"""Ratio of two prices within a week that no price of this market has had: they are of different instruments."""
_QUOTES = "USDT|USDC|FDUSD|BUSD|TUSD|USD"
_SYMBOL = re.compile(
    rf"(?<![A-Z0-9])(?P<base>[A-Z0-9]{{2,12}}?)(?P<quote>{_QUOTES})(?P<contract>_[0-9]{{6}}(?=-[0-9]+[SMHDW]-))?(?![A-Z0-9])"
)
_SEPARATED_SYMBOL = re.compile(
    rf"(?<![A-Z0-9])(?P<base>BTC|XBT|ETH|BNB|SOL|XRP|ADA|DOGE|LTC|DOT|AVAX|LINK|TRX|BCH|ETC)[-_](?P<quote>{_QUOTES})(?![A-Z0-9])"
)
_INTERVAL = re.compile(r"(?<![A-Za-z0-9])(\d{1,3}[smhdw])(?![A-Za-z0-9])")
_FOLDERS: dict[str, Market] = {
    "spot": "spot",
    "markpriceklines": "price_index",
    "indexpriceklines": "price_index",
    "premiumindexklines": "price_index",
}


@dataclass(frozen=True, slots=True)
class NameClaims:
    """What a file's name and folders say about its candles; None: nothing."""

    symbol: str | None
    interval_ms: int | None
    market: Market | None


def name_claims(path: Path) -> NameClaims:
    """Binance's own names (`spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-05-01.zip`) and those like them."""
    stem = path.name.partition(".")[0]
    symbol = _SYMBOL.search(stem.upper()) or _SEPARATED_SYMBOL.search(stem.upper())
    interval = _INTERVAL.search(stem.replace("_", "-"))
    markets = (_FOLDERS.get(part.casefold()) for part in reversed(path.parts[:-1]))
    return NameClaims(
        "".join(part for part in symbol.groups() if part) if symbol else None,
        interval_of(interval.group(1)) if interval else None,
        next((market for market in markets if market), None),
    )


def interval_of(text: str) -> int | None:
    """Milliseconds of an interval in Binance's notation; None for any other text."""
    name = text.strip()
    if name == "1M":  # a month has no fixed length
        return None
    name = _OTHER_NAMES.get(name.lower(), name.lower())
    return int(name[:-1]) * _UNITS[name[-1]][0] if name in _INTERVALS else None


def interval_text(interval_ms: int) -> str:
    """`5-minute`."""
    size_ms, unit = next(unit for unit in reversed(_UNITS.values()) if interval_ms % unit[0] == 0)
    return f"{interval_ms // size_ms}-{unit}"


def is_symbol(text: str, symbol: str) -> bool:
    """Whether a text such as `BTC/USDT`, `BTCUSDT-PERP.BINANCE` or `btcusdt` names the symbol."""
    letters = re.sub(r"[^A-Z0-9]", "", text.upper())
    return letters == symbol or re.fullmatch(f"{symbol}(USDT|PERP|P|SWAP|BINANCE|FUTURES)*", letters) is not None


def other_symbols(values: pa.Array, symbol: str) -> pa.Array | None:
    """The first row of each other symbol; None if there are none."""
    others = [value for value in pc.unique(values).to_pylist() if value and not is_symbol(value, symbol)]
    return _first_rows(values, others)


def other_intervals(values: pa.Array) -> pa.Array | None:
    """The first row of each interval but one minute; None if there are none. Other texts say nothing."""
    others = [
        value
        for value in pc.unique(values).to_pylist()
        if value is not None and interval_of(value) not in (None, MINUTE_MS)
    ]
    return _first_rows(values, others)


def file_finding(name: str, first_line: int, claims: NameClaims, symbol: str) -> QualityFinding | None:
    """The finding of a file whose name or folder says that it is of another series."""
    if claims.symbol and claims.symbol != symbol:
        return QualityFinding(
            "wrong_instrument", name, first_line, f"the file's name says {shown(claims.symbol, 30)}, not {symbol}"
        )
    if claims.market == "price_index":
        return QualityFinding("wrong_instrument", name, first_line, "mark or index prices, by the file's folder")
    return None


@dataclass(slots=True)
class _FileTimes:
    """Times of the candles of one file. Lengths and steps are those of known intervals; all others count as 0 ms."""

    line: int
    first_open: str
    lengths: Counter[int] = field(default_factory=Counter)
    steps: Counter[int] = field(default_factory=Counter)

    def recognized(self) -> str | None:
        """What the candles are, with the evidence; None: one-minute candles, or too few to say."""
        for counts, minimum, subject, place in (
            (self.lengths, 1, "candles close", "after the open"),
            (self.steps, _MIN_STEPS, "steps are", "long"),
        ):
            total = counts.total()
            value, count = next(iter(counts.most_common(1)), (0, 0))
            if value not in (0, MINUTE_MS) and count >= minimum and 2 * count > total:
                length = interval_text(value).replace("-", " ") + "s" * (value not in _SINGLE_MS)
                return f"these are {interval_text(value)} candles: {count:,} of {total:,} {subject} {length} {place}"
        if self.steps.total() >= _MIN_STEPS and not self.steps[MINUTE_MS]:
            return "these are not one-minute candles: none is a minute after another"
        return None

    @property
    def has_minutes(self) -> bool:
        return bool(self.steps[MINUTE_MS] or self.lengths[MINUTE_MS])


class Interval:
    """Recognizes the interval of each file's candles from their lengths and from the steps between them."""

    def __init__(self) -> None:
        self._files: dict[str, _FileTimes] = {}
        self._claims: dict[str, int] = {}

    def add_rows(self, location: tuple[str, int], first_open: str, lengths: pa.Array | None) -> None:
        """lengths: of the rows, in ms; None: unknown."""
        file, line = location
        times = self._files.setdefault(file, _FileTimes(line, first_open))
        if lengths is not None:
            times.lengths.update(_known_counts(lengths))

    def add_steps(self, file: str, steps: pa.Array) -> None:
        """steps: from the candle before, in ms."""
        self._files[file].steps.update(_known_counts(steps))

    def add_minute_steps(self, file: str, count: int) -> None:
        self._files[file].steps[MINUTE_MS] += count

    def claim(self, file: str, interval_ms: int | None) -> None:
        """By the file's name. It counts only where the times say nothing."""
        if interval_ms is not None and interval_ms != MINUTE_MS:
            self._claims[file] = interval_ms

    def settle(self, findings: QualityFindings) -> None:
        """One finding for each file of another interval; in place of those that it explains, if no file is right."""
        wrong = {file: text for file, times in self._files.items() if (text := self._wrong(file, times))}
        if wrong and len(wrong) == len(self._files):
            findings.remove("gap", "truncated", "off_grid")
        for file, text in wrong.items():
            times = self._files[file]
            findings.add(QualityFinding("wrong_interval", file, times.line, text, times.first_open))

    def _wrong(self, file: str, times: _FileTimes) -> str | None:
        text = times.recognized()
        if text is None and file in self._claims and not times.has_minutes:
            return f"these are {interval_text(self._claims[file])} candles: by the name of the file"
        return text


def level_changes(before: pa.Array, after: pa.Array, steps: pa.Array) -> pa.Array:
    """The rows whose price (float64) cannot be of the same instrument as the one before it. steps: in ms."""
    higher = pc.greater_equal(after, pc.multiply(before, _LEVEL_RATIO))
    lower = pc.less_equal(after, pc.divide(before, _LEVEL_RATIO))
    positive = pc.and_(pc.greater(before, 0), pc.greater(after, 0))
    return pc.and_(pc.and_(pc.or_(higher, lower), positive), pc.less_equal(pc.abs(steps), 7 * _DAY_MS))


_SINGLE_MS = frozenset(size_ms for size_ms, _ in _UNITS.values())
_KNOWN_MS = frozenset(ms for name in _INTERVALS if (ms := interval_of(name)) is not None)


def _first_rows(values: pa.Array, wanted: list[str]) -> pa.Array | None:
    rows = {pc.index(values, value).as_py() for value in wanted}
    return pa.array([row in rows for row in range(len(values))]) if rows else None


def _known_counts(values: pa.Array) -> dict[int, int]:
    """Number of values of each known interval, and of all other positive values as 0."""
    counts: Counter[int] = Counter()
    for entry in pc.value_counts(values).to_pylist():
        if entry["values"] > 0:
            counts[entry["values"] if entry["values"] in _KNOWN_MS else 0] += entry["counts"]
    return dict(counts)
