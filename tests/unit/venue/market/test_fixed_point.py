"""Units, Decimals and the venue's text are the same numbers."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslab.venue.market.fixed_point import Units, decimal_writer, exact_decimal, exact_units, rounded
from tests.fakes.candles import OPEN_MS, btcusdt


@given(st.integers(-(10**30), 10**30) | st.integers(-2000, 2000), st.integers(0, 8))
def test_a_text_is_the_number_with_all_its_decimals(units: int, decimals: int) -> None:
    text = decimal_writer(decimals)(units)
    assert Decimal(text) == exact_decimal(units, decimals)
    assert exact_units(Decimal(text), decimals) == units
    assert len(text.partition(".")[2]) == decimals
    assert not text.lstrip("-").startswith(".")


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**9))
def test_rounding_is_to_the_nearest(numerator: int, denominator: int) -> None:
    assert 2 * abs(rounded(numerator, denominator) * denominator - numerator) <= denominator
    assert rounded(-numerator, denominator) == -rounded(numerator, denominator)


def test_units_of_the_instrument() -> None:
    units = Units(btcusdt())
    assert units.tick == 10
    assert units.price_units(Decimal("95505.4")) == 9_550_540
    assert units.price(9_550_540) == Decimal("95505.40")
    assert units.size_units(Decimal("0.001")) == 1
    assert str(units.size(1500)) == "1.500"
    assert (units.price_text(9_550_540), units.size_text(1), units.quote_text(1)) == ("95505.40", "0.001", "0.00001")
    candle = units.candle(OPEN_MS, *(Decimal(text) for text in ("2", "4", "1.01", "3", "0.5")))
    assert (candle.open, candle.high, candle.low, candle.close, candle.volume) == (200, 400, 101, 300, 500)


def test_a_value_between_two_units_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 2 decimals"):
        Units(btcusdt()).price_units(Decimal("1.005"))
    with pytest.raises(ValueError, match="step"):
        Units(replace(btcusdt(), step=Decimal("0.005")))
