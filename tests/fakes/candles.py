"""Candles for the tests of the venue: random ones of every kind, and a real week if it is available."""

import csv
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import strategies as st

from opslab.model.market.candle import MINUTE_MS, Candle
from opslab.model.market.instrument import Instrument, instrument_of
from opslab.resources import exchange_info_symbol
from opslab.venue.market.candle_path import corners
from opslab.venue.market.fixed_point import Units

SHARED = Path(__file__).parents[3] / "shared" / "data"
REAL = SHARED / "btcusdt" / "btcusdt-usdm-1m-2025-05.csv"
OPEN_MS = 1_704_067_200_000
WEEK_MINUTES = 7 * 1440


def btcusdt() -> Instrument:
    return instrument_of(exchange_info_symbol("BTCUSDT"))


@st.composite
def candles(draw: st.DrawFn) -> Candle:
    """Flat and wide, on and off the grid, near zero, without volume or with more than a float can represent."""
    step = draw(st.sampled_from([1, 1, 10, 100]))
    span = draw(st.sampled_from([0, 1, 5, 300, 10**6, 10**12]))
    base = draw(st.integers(1, 10) | st.integers(1, 10**7))
    prices = [base + draw(st.integers(0, span)) for _ in range(4)]
    low, *inner, high = sorted(price * step for price in prices)
    open_, close = draw(st.sampled_from([(inner[0], inner[1]), (inner[1], inner[0])]))
    corner = draw(st.sampled_from(["none", "open", "close", "both"]))
    if corner in ("open", "both"):
        open_ = draw(st.sampled_from([low, high]))
    if corner in ("close", "both"):
        close = draw(st.sampled_from([low, high]))
    volume = draw(st.integers(0, 6) | st.integers(0, 300) | st.integers(0, 10**8) | st.integers(0, 10**20))
    return Candle(OPEN_MS + MINUTE_MS * draw(st.integers(0, 10**6)), open_, high, low, close, volume)


@st.composite
def minutes(draw: st.DrawFn) -> list[Candle]:
    """Consecutive minutes with gaps."""
    drawn = draw(st.lists(candles(), min_size=1, max_size=12))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 7, 200]), min_size=len(drawn), max_size=len(drawn)))
    open_ms, row = OPEN_MS, []
    for candle, step in zip(drawn, steps, strict=True):
        open_ms += step * MINUTE_MS
        row.append(Candle(open_ms, candle.open, candle.high, candle.low, candle.close, candle.volume))
    return row


def real_week() -> Iterator[Candle]:
    """The first seven days of a real month; skips the test if it is not available."""
    if not REAL.exists():
        pytest.skip("no real candles: ../shared/data is absent")
    units = Units(btcusdt())
    with REAL.open() as file:
        for row in islice(csv.DictReader(file), WEEK_MINUTES):
            prices = [Decimal(row[name]) for name in ("open", "high", "low", "close", "volume")]
            yield units.candle(int(row["open_time"]), *prices)


def reproducible(candle: Candle) -> bool:
    """Whether trades alone can reproduce this candle: the volume has one unit for each price that the path must visit.

    A flat candle without volume is reproducible: it has no trades.
    """
    visited = corners(candle)
    return candle.volume >= len(visited) or (candle.volume == 0 and len(visited) == 1)
