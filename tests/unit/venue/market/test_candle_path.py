"""A simulated minute aggregates to its candle, and each of its ticks is a possible one."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.model.market.candle import MINUTE_MS, Candle
from opslab.venue.market.candle_path import MAX_TICKS, MIN_TICKS, Tick, corners, quotes, simulate_ticks
from tests.fakes.candles import OPEN_MS, WEEK_MINUTES, candles, real_week, reproducible

TICK = 10
any_tick = st.sampled_from([1, 5, 10, 1000])
any_count = st.integers(MIN_TICKS, 80)


def candle_of(path: tuple[Tick, ...], open_ms: int) -> Candle:
    """The candle that the trades of a path aggregate to."""
    trades = [tick for tick in path if tick.size]
    prices = [tick.price for tick in trades]
    return Candle(open_ms, prices[0], max(prices), min(prices), prices[-1], sum(tick.size for tick in trades))


@settings(max_examples=400)
@given(candles(), any_tick, any_count, st.integers(0, 2**63))
def test_the_trades_add_up_to_the_candle(candle: Candle, tick: int, ticks: int, seed: int) -> None:
    path = simulate_ticks(candle, tick, ticks, seed)
    assert len(path) == ticks
    assert sum(1 for step in path if step.size) == min(ticks, candle.volume)
    if reproducible(candle) and candle.volume:
        assert candle_of(path, candle.open_ms) == candle


@settings(max_examples=400)
@given(candles(), any_tick, any_count)
def test_prices_that_trades_cannot_reach_are_shown_in_quotes(candle: Candle, tick: int, ticks: int) -> None:
    path = simulate_ticks(candle, tick, ticks)
    prices = [step.price for step in path]
    assert (prices[0], max(prices), min(prices), prices[-1]) == (candle.open, candle.high, candle.low, candle.close)
    assert sum(step.size for step in path) == candle.volume
    if candle.volume:
        assert path[-1].size or len(corners(candle)) == 1


@settings(max_examples=400)
@given(candles(), any_tick, any_count, st.integers(0, 9))
def test_every_tick_is_a_possible_one(candle: Candle, tick: int, ticks: int, seed: int) -> None:
    visited = set(corners(candle))
    path = simulate_ticks(candle, tick, ticks, seed)
    for step in path:
        assert 0 <= step.offset_ms < MINUTE_MS
        assert candle.low <= step.price <= candle.high
        assert step.size >= 0
        assert 0 < step.bid < step.ask
        assert step.price % tick == 0 or step.price in visited
        assert step.price == (step.ask if step.buyer else step.bid)
        assert (step.bid, step.ask) == quotes(step.price, tick, step.buyer)
        assert all(price % tick == 0 or price == step.price for price in (step.bid, step.ask))
        assert step.ask - step.bid <= tick
    assert all(first.offset_ms < second.offset_ms for first, second in pairwise(path))


@given(candles(), st.integers(0, 9))
def test_a_path_depends_on_candle_and_seed_alone(candle: Candle, seed: int) -> None:
    assert simulate_ticks(candle, TICK, 40, seed) == simulate_ticks(candle, TICK, 40, seed)


def test_another_seed_or_minute_is_another_path() -> None:
    candle = Candle(OPEN_MS, 1000, 2000, 500, 1500, 10_000)
    later = Candle(OPEN_MS + MINUTE_MS, 1000, 2000, 500, 1500, 10_000)
    assert (
        len(
            {
                simulate_ticks(candle, TICK, 40),
                simulate_ticks(candle, TICK, 40, seed=1),
                simulate_ticks(later, TICK, 40),
            }
        )
        == 3
    )


def test_a_rising_minute_visits_low_first_and_a_falling_one_high() -> None:
    assert corners(Candle(OPEN_MS, 20, 40, 10, 30, 9)) == [20, 10, 40, 30]
    assert corners(Candle(OPEN_MS, 30, 40, 10, 20, 9)) == [30, 40, 10, 20]
    assert corners(Candle(OPEN_MS, 20, 20, 10, 20, 9)) == [20, 10, 20]
    assert corners(Candle(OPEN_MS, 10, 40, 10, 40, 9)) == [10, 40]
    assert corners(Candle(OPEN_MS, 10, 10, 10, 10, 9)) == [10]


@pytest.mark.parametrize(
    ("volume", "shown"), [(0, []), (1, [30]), (2, [20, 30]), (3, [20, 10, 30]), (4, [20, 10, 40, 30])]
)
def test_open_and_close_trade_before_high_and_low(volume: int, shown: list[int]) -> None:
    path = simulate_ticks(Candle(OPEN_MS, 20, 40, 10, 30, volume), 10, 4)
    assert [tick.price for tick in path] == [20, 10, 40, 30]
    assert [tick.price for tick in path if tick.size] == shown


def test_a_candle_needs_a_trade_for_each_price_it_visits() -> None:
    assert not reproducible(Candle(OPEN_MS, 20, 40, 10, 30, 3))
    assert reproducible(Candle(OPEN_MS, 20, 40, 10, 30, 4))
    assert reproducible(Candle(OPEN_MS, 10, 10, 10, 10, 0))
    assert not reproducible(Candle(OPEN_MS, 10, 20, 10, 20, 0))


def test_takers_buy_and_sell_and_sizes_differ() -> None:
    path = simulate_ticks(Candle(OPEN_MS, 100_000, 101_000, 99_000, 100_000, 10**6), TICK, 200)
    buyers = sum(tick.buyer for tick in path)
    assert 50 < buyers < 150
    assert len({tick.size for tick in path}) > 50


def test_a_price_of_one_tick_keeps_its_bid_above_zero() -> None:
    for tick in simulate_ticks(Candle(OPEN_MS, 5, 10, 1, 10, 50), 10, 40):
        assert 0 < tick.bid < tick.ask


@pytest.mark.parametrize("ticks", [MIN_TICKS - 1, MAX_TICKS + 1])
def test_too_few_or_too_many_ticks_are_refused(ticks: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        simulate_ticks(Candle(OPEN_MS, 1, 1, 1, 1, 1), 1, ticks)


def test_one_tick_per_millisecond_is_possible() -> None:
    path = simulate_ticks(Candle(OPEN_MS, 20, 40, 10, 30, 10**6), 1, MAX_TICKS)
    assert [tick.offset_ms for tick in path] == list(range(MINUTE_MS))


@pytest.mark.parametrize(
    "values",
    [(20, 40, 10, 41, 1), (20, 19, 10, 15, 1), (0, 1, 0, 1, 1), (20, 40, 21, 30, 1), (20, 40, 10, 30, -1)],
)
def test_invalid_candle_prices_are_refused(values: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="inconsistent candle"):
        Candle(OPEN_MS, *values)


def test_every_candle_of_a_real_week_is_reproduced_exactly() -> None:
    count = 0
    for candle in real_week():
        assert reproducible(candle)
        assert candle_of(simulate_ticks(candle, TICK, 12), candle.open_ms) == candle
        count += 1
    assert count == WEEK_MINUTES
