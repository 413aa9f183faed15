"""The candles of two runs as columns, indexed by time."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from decimal import Decimal

from opslab.model.market.candle import Candle
from opslab.model.market.instrument import Instrument
from opslab.model.primitives.instant import close_ns

FIELDS = ("open", "high", "low", "close", "volume")


class Candles:
    """In order of time. An index counts from 0. 48 bytes a candle."""

    def __init__(self, instrument: Instrument, candles: Iterable[Candle]) -> None:
        self._decimals = dict.fromkeys(FIELDS, instrument.price_decimals) | {"volume": instrument.size_decimals}
        self.tick = instrument.tick
        self._closes = array("q")
        self._columns = {name: array("q") for name in FIELDS}
        for candle in candles:
            self._closes.append(close_ns(candle.open_ms))
            for name in FIELDS:
                self._columns[name].append(getattr(candle, name))

    def __len__(self) -> int:
        return len(self._closes)

    def ts_ns(self, index: int) -> int:
        """`ts_event` of the candle's bar."""
        return self._closes[index]

    def index_at(self, ts_ns: int) -> int:
        """Index of the last candle closed at that time; -1: none."""
        return bisect_right(self._closes, ts_ns) - 1

    def index_from(self, ts_ns: int) -> int:
        """Index of the first candle that closes at that time or later."""
        return bisect_left(self._closes, ts_ns)

    def value(self, name: str, index: int) -> Decimal:
        return Decimal(self._columns[name][index]).scaleb(-self._decimals[name])
