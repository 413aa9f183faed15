"""Convert prices and sizes between whole units, Decimal and the venue's text."""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache, partial

from opslab.model.market.candle import Candle
from opslab.model.market.instrument import Instrument


def exact_units(value: Decimal, decimals: int) -> int:
    """Convert to units of 10**-decimals. Raises ValueError for a value between two units."""
    numerator, denominator = value.as_integer_ratio()
    scaled: int = numerator * 10**decimals
    units, remainder = divmod(scaled, denominator)
    if remainder:
        raise ValueError(f"{value} has more than {decimals} decimals")
    return units


def exact_decimal(units: int, decimals: int) -> Decimal:
    """Convert units of 10**-decimals, with all decimals: no decimal context rounds it."""
    return Decimal(f"{units}E-{decimals}")


def rounded(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest integer, halves away from zero. The denominator must be positive."""
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return magnitude if numerator >= 0 else -magnitude


def decimal_writer(decimals: int) -> Callable[[int], str]:
    """Return a function that formats units of 10**-decimals with exactly `decimals` decimals."""
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
    """Conversions for one instrument."""

    def __init__(self, instrument: Instrument) -> None:
        """Raises ValueError if the step is not one unit of the last decimal: sizes are counted in steps."""
        self.price_decimals = instrument.price_decimals
        self.size_decimals = instrument.size_decimals
        self.tick = exact_units(instrument.tick, instrument.price_decimals)
        if exact_units(instrument.step, instrument.size_decimals) != 1:
            raise ValueError(f"{instrument.symbol}: step {instrument.step} is not one unit of its last decimal")
        # Cached: the same few prices and sizes occur again and again.
        self.price_text = lru_cache(maxsize=4096)(decimal_writer(instrument.price_decimals))
        self.size_text = lru_cache(maxsize=4096)(decimal_writer(instrument.size_decimals))
        self.price = lru_cache(maxsize=4096)(partial(exact_decimal, decimals=instrument.price_decimals))
        self.size = lru_cache(maxsize=4096)(partial(exact_decimal, decimals=instrument.size_decimals))
        self.volume_text = decimal_writer(instrument.size_decimals)
        """Not cached: these sizes rarely repeat."""
        self.quote_text = decimal_writer(instrument.price_decimals + instrument.size_decimals)
        """Price times size."""

    def price_units(self, price: Decimal) -> int:
        return exact_units(price, self.price_decimals)

    def size_units(self, size: Decimal) -> int:
        return exact_units(size, self.size_decimals)

    def candle(
        self, open_ms: int, open_: Decimal, high: Decimal, low: Decimal, close: Decimal, volume: Decimal
    ) -> Candle:
        """Convert a dataset row. Raises ValueError if it is no candle, or has more decimals than the instrument."""
        price = self.price_units
        return Candle(open_ms, price(open_), price(high), price(low), price(close), self.size_units(volume))
