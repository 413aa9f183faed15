"""Klines of every interval are sums of the simulated trades, and a closed minute equals its candle."""

from collections import defaultdict

import pytest
from hypothesis import given, settings

from opslab.model.market.candle import MINUTE_MS, Candle
from opslab.venue.market.candle_path import Tick, simulate_ticks
from opslab.venue.market.klines import INTERVALS, MAX_CLOSED_KLINES, MINUTE, Kline, Klines
from tests.fakes.candles import OPEN_MS, minutes

TICKS = 8


def ids(index: int) -> int:
    return index * TICKS


def play(klines: Klines, candle: Candle, index: int = 0, reference_price: int = 1) -> tuple[tuple[Kline, ...], ...]:
    overdue = klines.open_minute(candle, reference_price)
    trades = [tick for tick in simulate_ticks(candle, 10, TICKS) if tick.size]
    for number, tick in enumerate(trades, ids(index) + 1):
        klines.add_trade(number, tick.price, tick.size, tick.buyer)
    return overdue, klines.close_minute()


def summed(interval: str, rows: list[tuple[int, Candle]]) -> Kline:
    """The kline of these minutes, computed directly."""
    length_ms = INTERVALS[interval]
    candles = [candle for _, candle in rows]
    trades: list[tuple[int, Tick]] = []
    for index, candle in rows:
        trades += enumerate((tick for tick in simulate_ticks(candle, 10, TICKS) if tick.size), ids(index) + 1)
    bought = [tick for _, tick in trades if tick.buyer]
    open_ms = candles[0].open_ms // length_ms * length_ms
    return Kline(
        interval,
        open_ms,
        open_ms + length_ms - 1,
        candles[0].open,
        max(candle.high for candle in candles),
        min(candle.low for candle in candles),
        candles[-1].close,
        sum(candle.volume for candle in candles),
        sum(tick.price * tick.size for _, tick in trades),
        len(trades),
        sum(tick.size for tick in bought),
        sum(tick.price * tick.size for tick in bought),
        trades[0][0] if trades else -1,
        trades[-1][0] if trades else -1,
        closed=True,
    )


@settings(max_examples=100)
@given(minutes())
def test_every_interval_is_the_sum_of_its_minutes(row: list[Candle]) -> None:
    klines, published = Klines(), []
    for index, candle in enumerate(row):
        overdue, closed = play(klines, candle, index)
        published += [*overdue, *closed]
    for interval, length_ms in INTERVALS.items():
        groups: dict[int, list[tuple[int, Candle]]] = defaultdict(list)
        for index, candle in enumerate(row):
            groups[candle.open_ms // length_ms].append((index, candle))
        expected = [summed(interval, group) for group in groups.values()]
        if row[-1].close_ms != expected[-1].close_ms:
            expected[-1] = expected[-1]._replace(closed=False)
        assert list(klines.rows(interval, MAX_CLOSED_KLINES)) == expected
        assert klines.current(interval) == expected[-1]
        assert [kline for kline in published if kline.interval == interval] == [k for k in expected if k.closed]


def test_the_open_minute_follows_its_trades() -> None:
    klines = Klines()
    klines.open_minute(Candle(OPEN_MS, 20, 40, 10, 30, 100), 15)
    empty = klines.current(MINUTE)
    assert empty is not None
    assert empty[3:] == (15, 15, 15, 15, 0, 0, 0, 0, 0, -1, -1, False)
    klines.add_trade(7, 20, 2, True)
    klines.add_trade(8, 40, 3, True)
    klines.add_trade(9, 10, 5, False)
    expected = Kline(MINUTE, OPEN_MS, OPEN_MS + 59_999, 20, 40, 10, 10, 10, 210, 3, 5, 160, 7, 9, False)
    assert klines.current(MINUTE) == expected
    assert klines.current("5m") == expected._replace(interval="5m", close_ms=OPEN_MS + 5 * MINUTE_MS - 1)


def test_an_open_longer_kline_sums_its_closed_minutes_and_the_open_one() -> None:
    klines = Klines()
    play(klines, Candle(OPEN_MS, 20, 40, 10, 30, 100))
    klines.open_minute(Candle(OPEN_MS + MINUTE_MS, 30, 90, 30, 90, 50), 30)
    klines.add_trade(99, 90, 1, True)
    current = klines.current("3m")
    assert current is not None
    assert (current.open, current.high, current.low, current.close, current.volume, current.last_id) == (
        20,
        90,
        10,
        90,
        101,
        99,
    )
    assert klines.rows("3m", 10) == [current]


def test_a_closed_minute_equals_its_candle_even_without_trades() -> None:
    klines = Klines()
    candle = Candle(OPEN_MS, 20, 40, 10, 30, 100)
    klines.open_minute(candle, 20)
    minute = klines.close_minute()[0]
    assert (minute.open, minute.high, minute.low, minute.close, minute.volume) == (20, 40, 10, 30, 100)
    assert (minute.closed, minute.trades, minute.first_id) == (True, 0, -1)


def test_klines_that_end_together_close_together() -> None:
    klines = Klines()
    for k in range(1440):
        _, closed = play(klines, Candle(OPEN_MS + k * MINUTE_MS, 20, 40, 10, 30, 4), k)
        assert [kline.interval for kline in closed] == [
            name for name, length_ms in INTERVALS.items() if (k + 1) * MINUTE_MS % length_ms == 0
        ]


def test_a_gap_closes_the_longer_klines_it_cuts() -> None:
    klines = Klines()
    play(klines, Candle(OPEN_MS, 20, 40, 10, 30, 4))
    overdue, _ = play(klines, Candle(OPEN_MS + 6 * MINUTE_MS, 20, 40, 10, 30, 4), 1)
    assert [kline.interval for kline in overdue] == ["3m", "5m"]
    assert all(kline.closed and kline.open_ms == OPEN_MS for kline in overdue)


def test_history_is_bounded() -> None:
    klines = Klines()
    for k in range(MAX_CLOSED_KLINES + 10):
        klines.open_minute(Candle(OPEN_MS + k * MINUTE_MS, 20, 40, 10, 30, 4), 20)
        klines.close_minute()
    rows = klines.rows(MINUTE, 10_000)
    assert len(rows) == MAX_CLOSED_KLINES
    assert rows[0].open_ms == OPEN_MS + 10 * MINUTE_MS


def test_rows_are_the_first_after_a_start_and_otherwise_the_last() -> None:
    klines = Klines()
    for k in range(10):
        play(klines, Candle(OPEN_MS + k * MINUTE_MS, 20, 40, 10, 30, 4), k)
    klines.open_minute(Candle(OPEN_MS + 10 * MINUTE_MS, 20, 40, 10, 30, 4), 30)

    def minutes_of(limit: int, start: int | None = None, end: int | None = None) -> list[int]:
        bounds = [None if k is None else OPEN_MS + k * MINUTE_MS for k in (start, end)]
        return [(kline.open_ms - OPEN_MS) // MINUTE_MS for kline in klines.rows(MINUTE, limit, *bounds)]

    assert minutes_of(3) == [8, 9, 10]
    assert minutes_of(1) == [10]
    assert minutes_of(100) == list(range(11))
    assert minutes_of(3, start=2) == [2, 3, 4]
    assert minutes_of(3, start=9) == [9, 10]
    assert minutes_of(3, end=5) == [3, 4, 5]
    assert minutes_of(9, start=2, end=4) == [2, 3, 4]
    assert minutes_of(9, start=11) == []


def test_a_minute_opens_once_and_in_order() -> None:
    klines = Klines()
    candle = Candle(OPEN_MS, 20, 40, 10, 30, 4)
    assert klines.current(MINUTE) is None
    with pytest.raises(ValueError, match="no minute is open"):
        klines.close_minute()
    klines.open_minute(candle, 20)
    with pytest.raises(ValueError, match="cannot start"):
        klines.open_minute(Candle(OPEN_MS + MINUTE_MS, 20, 40, 10, 30, 4), 20)
    klines.close_minute()
    with pytest.raises(ValueError, match="cannot start"):
        klines.open_minute(candle, 20)
    with pytest.raises(KeyError):
        klines.current("7m")
