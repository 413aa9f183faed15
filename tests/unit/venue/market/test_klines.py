"""Klines of every interval are sums of what was drawn, and a closed minute is its candle."""

from collections import defaultdict

import pytest
from hypothesis import given, settings

from opslab.model.market.candle import MINUTE_MS, Candle
from opslab.venue.market.candle_path import Tick, draw
from opslab.venue.market.klines import HISTORY, INTERVALS, MINUTE, Kline, Klines
from tests.fakes.candles import OPEN_MS, minutes

TICKS = 8


def ids(index: int) -> int:
    return index * TICKS


def play(klines: Klines, candle: Candle, index: int = 0, standing: int = 1) -> tuple[tuple[Kline, ...], ...]:
    late = klines.begin(candle, standing)
    trades = [tick for tick in draw(candle, 10, TICKS) if tick.size]
    for number, tick in enumerate(trades, ids(index) + 1):
        klines.trade(number, tick.price, tick.size, tick.buyer)
    return late, klines.close()


def summed(interval: str, rows: list[tuple[int, Candle]]) -> Kline:
    """The kline of these minutes, the plain way."""
    length_ms = INTERVALS[interval]
    candles = [candle for _, candle in rows]
    drawn: list[tuple[int, Tick]] = []
    for index, candle in rows:
        drawn += enumerate((tick for tick in draw(candle, 10, TICKS) if tick.size), ids(index) + 1)
    bought = [tick for _, tick in drawn if tick.buyer]
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
        sum(tick.price * tick.size for _, tick in drawn),
        len(drawn),
        sum(tick.size for tick in bought),
        sum(tick.price * tick.size for tick in bought),
        drawn[0][0] if drawn else -1,
        drawn[-1][0] if drawn else -1,
        closed=True,
    )


@settings(max_examples=200)
@given(minutes())
def test_every_interval_is_the_sum_of_its_minutes(row: list[Candle]) -> None:
    klines, told = Klines(), []
    for index, candle in enumerate(row):
        late, done = play(klines, candle, index)
        told += [*late, *done]
    for interval, length_ms in INTERVALS.items():
        groups: dict[int, list[tuple[int, Candle]]] = defaultdict(list)
        for index, candle in enumerate(row):
            groups[candle.open_ms // length_ms].append((index, candle))
        expected = [summed(interval, group) for group in groups.values()]
        if row[-1].close_ms != expected[-1].close_ms:
            expected[-1] = expected[-1]._replace(closed=False)
        assert list(klines.rows(interval, HISTORY)) == expected
        assert klines.current(interval) == expected[-1]
        assert [kline for kline in told if kline.interval == interval] == [k for k in expected if k.closed]


def test_the_open_minute_follows_its_trades() -> None:
    klines = Klines()
    klines.begin(Candle(OPEN_MS, 20, 40, 10, 30, 100), 15)
    empty = klines.current(MINUTE)
    assert empty is not None
    assert empty[3:] == (15, 15, 15, 15, 0, 0, 0, 0, 0, -1, -1, False)
    klines.trade(7, 20, 2, True)
    klines.trade(8, 40, 3, True)
    klines.trade(9, 10, 5, False)
    now = Kline(MINUTE, OPEN_MS, OPEN_MS + 59_999, 20, 40, 10, 10, 10, 210, 3, 5, 160, 7, 9, False)
    assert klines.current(MINUTE) == now
    assert klines.current("5m") == now._replace(interval="5m", close_ms=OPEN_MS + 5 * MINUTE_MS - 1)


def test_an_open_long_kline_holds_its_closed_minutes_and_the_open_one() -> None:
    klines = Klines()
    play(klines, Candle(OPEN_MS, 20, 40, 10, 30, 100))
    klines.begin(Candle(OPEN_MS + MINUTE_MS, 30, 90, 30, 90, 50), 30)
    klines.trade(99, 90, 1, True)
    now = klines.current("3m")
    assert now is not None
    assert (now.open, now.high, now.low, now.close, now.volume, now.last_id) == (20, 90, 10, 90, 101, 99)
    assert klines.rows("3m", 10) == [now]


def test_a_closed_minute_is_its_candle_even_if_less_was_told() -> None:
    klines = Klines()
    candle = Candle(OPEN_MS, 20, 40, 10, 30, 100)
    klines.begin(candle, 20)
    minute = klines.close()[0]
    assert (minute.open, minute.high, minute.low, minute.close, minute.volume) == (20, 40, 10, 30, 100)
    assert (minute.closed, minute.trades, minute.first_id) == (True, 0, -1)


def test_what_ends_together_closes_together() -> None:
    klines = Klines()
    for k in range(1440):
        _, done = play(klines, Candle(OPEN_MS + k * MINUTE_MS, 20, 40, 10, 30, 4), k)
        assert [kline.interval for kline in done] == [
            name for name, length_ms in INTERVALS.items() if (k + 1) * MINUTE_MS % length_ms == 0
        ]


def test_a_hole_closes_the_longer_klines_it_cuts() -> None:
    klines = Klines()
    play(klines, Candle(OPEN_MS, 20, 40, 10, 30, 4))
    late, _ = play(klines, Candle(OPEN_MS + 6 * MINUTE_MS, 20, 40, 10, 30, 4), 1)
    assert [kline.interval for kline in late] == ["3m", "5m"]
    assert all(kline.closed and kline.open_ms == OPEN_MS for kline in late)


def test_history_is_bounded() -> None:
    klines = Klines()
    for k in range(HISTORY + 10):
        klines.begin(Candle(OPEN_MS + k * MINUTE_MS, 20, 40, 10, 30, 4), 20)
        klines.close()
    rows = klines.rows(MINUTE, 10_000)
    assert len(rows) == HISTORY
    assert rows[0].open_ms == OPEN_MS + 10 * MINUTE_MS


def test_rows_are_the_first_after_a_start_and_otherwise_the_last() -> None:
    klines = Klines()
    for k in range(10):
        play(klines, Candle(OPEN_MS + k * MINUTE_MS, 20, 40, 10, 30, 4), k)
    klines.begin(Candle(OPEN_MS + 10 * MINUTE_MS, 20, 40, 10, 30, 4), 30)

    def at(limit: int, start: int | None = None, end: int | None = None) -> list[int]:
        bounds = [None if k is None else OPEN_MS + k * MINUTE_MS for k in (start, end)]
        return [(kline.open_ms - OPEN_MS) // MINUTE_MS for kline in klines.rows(MINUTE, limit, *bounds)]

    assert at(3) == [8, 9, 10]
    assert at(1) == [10]
    assert at(100) == list(range(11))
    assert at(3, start=2) == [2, 3, 4]
    assert at(3, start=9) == [9, 10]
    assert at(3, end=5) == [3, 4, 5]
    assert at(9, start=2, end=4) == [2, 3, 4]
    assert at(9, start=11) == []


def test_a_minute_begins_once_and_in_order() -> None:
    klines = Klines()
    candle = Candle(OPEN_MS, 20, 40, 10, 30, 4)
    assert klines.current(MINUTE) is None
    with pytest.raises(ValueError, match="no minute is open"):
        klines.close()
    klines.begin(candle, 20)
    with pytest.raises(ValueError, match="cannot begin"):
        klines.begin(Candle(OPEN_MS + MINUTE_MS, 20, 40, 10, 30, 4), 20)
    klines.close()
    with pytest.raises(ValueError, match="cannot begin"):
        klines.begin(candle, 20)
    with pytest.raises(KeyError):
        klines.current("7m")
