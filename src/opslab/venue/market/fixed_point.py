"""Prices and sizes as whole units, as Decimal and as the venue's text."""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache, partial

from opslab.model.market.candle import Candle
from opslab.model.market.instrument import Instrument


def exact_units(value: Decimal, decimals: int) -> int:
    """How many units of 10**-decimals. Raises ValueError for a value between two units."""
    numerator, denominator = value.as_integer_ratio()
    scaled: int = numerator * 10**decimals
    units, rest = divmod(scaled, denominator)
    if rest:
        raise ValueError(f"{value} has more than {decimals} decimals")
    return units


def exact_decimal(units: int, decimals: int) -> Decimal:
    """Units of 10**-decimals, all decimals written: no context rounds it."""
    return Decimal(f"{units}E-{decimals}")


def rounded(numerator: int, denominator: int) -> int:
    """The nearest whole quotient, halves away from zero. The denominator is above zero."""
    size = (2 * abs(numerator) + denominator) // (2 * denominator)
    return size if numerator >= 0 else -size


def decimal_writer(decimals: int) -> Callable[[int], str]:
    """A function that writes units of 10**-decimals with exactly that many decimals."""
    if not decimals:
        return str
    scale = 10**decimals

    def write(units: int) -> str:
        if units >= scale:
            digits = str(units)
            return f"{digits[:-decimals]}.{digits[-decimals:]}"
        whole, part = divmod(abs(units), scale)
        return f"{'-' if units < 0 else ''}{whole}.{part:0{decimals}}"

    return write


class Units:
    """The units of one instrument."""

    def __init__(self, instrument: Instrument) -> None:
        """Raises ValueError for a step that is not the last decimal: sizes are counted in steps."""
        self.price_decimals = instrument.price_decimals
        self.size_decimals = instrument.size_decimals
        self.tick = exact_units(instrument.tick, instrument.price_decimals)
        if exact_units(instrument.step, instrument.size_decimals) != 1:
            raise ValueError(f"{instrument.symbol}: step {instrument.step} is not one unit of its last decimal")
        # The same few prices and sizes are written again and again.
        self.price_text = lru_cache(maxsize=4096)(decimal_writer(instrument.price_decimals))
        self.size_text = lru_cache(maxsize=4096)(decimal_writer(instrument.size_decimals))
        self.price = lru_cache(maxsize=4096)(partial(exact_decimal, decimals=instrument.price_decimals))
        self.size = lru_cache(maxsize=4096)(partial(exact_decimal, decimals=instrument.size_decimals))
        self.volume_text = decimal_writer(instrument.size_decimals)
        """Sizes that hardly ever come again: not kept."""
        self.quote_text = decimal_writer(instrument.price_decimals + instrument.size_decimals)
        """Price times size."""

    def price_units(self, price: Decimal) -> int:
        return exact_units(price, self.price_decimals)

    def size_units(self, size: Decimal) -> int:
        return exact_units(size, self.size_decimals)

    def candle(
        self, open_ms: int, open_: Decimal, high: Decimal, low: Decimal, close: Decimal, volume: Decimal
    ) -> Candle:
        """A dataset's row. Raises ValueError for one that is no candle, or has more decimals than the instrument."""
        price = self.price_units
        return Candle(open_ms, price(open_), price(high), price(low), price(close), self.size_units(volume))
