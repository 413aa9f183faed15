"""A market that replays candles shows the same values in every view."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.model.market.candle import MINUTE_MS, Candle
from opslab.venue.market.klines import INTERVALS, MINUTE
from opslab.venue.market.market import MAX_RECENT_TRADES, Market, MarketTrade
from tests.fakes.candles import OPEN_MS, btcusdt, candles, minutes, real_week, reproducible

NOW_MS = 1_800_000_000_000


def market(ticks: int = 10, seed: int = 0) -> Market:
    return Market(btcusdt(), ticks, seed)


def play(venue: Market, candle: Candle, index: int, now_ms: int = NOW_MS) -> list[MarketTrade]:
    venue.open_minute(candle, index)
    trades = [venue.apply_tick(tick, now_ms + tick.offset_ms) for tick in venue.simulate_ticks(candle)]
    venue.close_minute()
    return [trade for trade in trades if trade]


def rising(count: int, volume: int = 100) -> list[Candle]:
    return [Candle(OPEN_MS + k * MINUTE_MS, 1000 + k, 1040 + k, 990 + k, 1020 + k, volume) for k in range(count)]


@settings(max_examples=100)
@given(minutes(), st.integers(4, 20), st.integers(0, 5))
def test_a_replayed_minute_equals_its_candle_in_every_view(row: list[Candle], ticks: int, seed: int) -> None:
    venue = market(ticks, seed)
    venue.start_at_open(row[0], NOW_MS)
    trades: list[MarketTrade] = []
    for index, candle in enumerate(row):
        venue.open_minute(candle, index)
        for tick in venue.simulate_ticks(candle):
            trade = venue.apply_tick(tick, NOW_MS)
            bid, bid_size, ask, ask_size = venue.book.best()
            assert bid < ask
            assert bid_size > 0 < ask_size
            assert (bid, ask) == (tick.bid, tick.ask)
            assert [(bid, bid_size)] == venue.book.levels("bids", 1)
            assert [(ask, ask_size)] == venue.book.levels("asks", 1)
            if trade:
                assert trade.price == (ask if trade.buyer else bid)
                assert trade.size > 0
                assert venue.last_trade == trade
                assert venue.last_price == trade.price
                trades.append(trade)
        minute = venue.close_minute()[0]
        assert (minute.open_ms, minute.open, minute.high, minute.low, minute.close, minute.volume) == (
            candle.open_ms, candle.open, candle.high, candle.low, candle.close, candle.volume,
        )  # fmt: skip
        in_minute = [trade for trade in trades if trade.trade_id > index * ticks]
        assert minute.quote == sum(trade.price * trade.size for trade in in_minute)
        assert minute.buyer_volume == sum(trade.size for trade in in_minute if trade.buyer)
        assert minute.trades == len(in_minute) == min(ticks, candle.volume)
        if in_minute:
            assert (minute.first_id, minute.last_id) == (in_minute[0].trade_id, in_minute[-1].trade_id)
            assert minute.last_id - minute.first_id + 1 == minute.trades
        assert venue.last_price == venue.mark_price == candle.close
    ids = [trade.trade_id for trade in trades]
    assert ids == sorted(set(ids))
    assert venue.trades(MAX_RECENT_TRADES) == trades[-MAX_RECENT_TRADES:]


@settings(max_examples=60)
@given(candles().filter(reproducible).filter(lambda candle: candle.volume > 0), st.integers(4, 20))
def test_the_open_minute_has_the_final_values_before_it_closes(candle: Candle, ticks: int) -> None:
    venue = market(ticks)
    venue.open_minute(candle, 0)
    for tick in venue.simulate_ticks(candle):
        venue.apply_tick(tick, NOW_MS)
    open_minute = venue.klines.current(MINUTE)
    closed = venue.close_minute()[0]
    assert open_minute is not None
    assert open_minute._replace(closed=True) == closed


@settings(max_examples=60)
@given(minutes(), st.data())
def test_a_market_with_past_minutes_continues_as_one_that_replayed_them(row: list[Candle], data: st.DataObject) -> None:
    replayed, restarted = market(), market()
    for index, candle in enumerate(row[:-1]):
        play(replayed, candle, index)
        restarted.apply_past_minute(candle, index)
    published = data.draw(st.integers(0, 10))
    last = row[-1]
    restarted.start_at_open(last, NOW_MS)
    for venue in (replayed, restarted):
        venue.open_minute(last, len(row) - 1)
    for number, tick in enumerate(replayed.simulate_ticks(last)):
        trade = replayed.apply_tick(tick, NOW_MS)
        if number < published:
            restarted.apply_past_tick(tick)
        else:
            assert restarted.apply_tick(tick, NOW_MS) == trade
        assert restarted.book.best() == replayed.book.best()
    assert restarted.close_minute() == replayed.close_minute()
    assert (restarted.statistics_24h(), restarted.last_price, restarted.last_size) == (
        replayed.statistics_24h(),
        replayed.last_price,
        replayed.last_size,
    )
    for interval in INTERVALS:
        assert restarted.klines.rows(interval, 99) == replayed.klines.rows(interval, 99)
    assert all(trade.time_ms == NOW_MS for trade in restarted.trades(99))


def test_before_the_first_minute_the_market_is_at_the_first_open() -> None:
    venue = market()
    assert venue.book.best() == (0, 0, 0, 0)
    venue.start_at_open(Candle(OPEN_MS, 1000, 1040, 990, 1020, 50), NOW_MS)
    assert venue.book.best()[::2] == (1000, 1010)
    assert len(venue.book.levels("asks")) >= 100
    assert (venue.last_price, venue.mark_price, venue.last_trade) == (1000, 1000, None)
    assert venue.statistics_24h()[:6] == (1000, 1000, 1000, 0, 0, 0)
    assert venue.klines.rows(MINUTE, 9) == []


def test_trade_ids_are_those_of_the_row_wherever_the_replay_starts() -> None:
    venue, later = market(ticks=8), market(ticks=8)
    row = rising(5)
    for index, candle in enumerate(row):
        all_trades = play(venue, candle, index)
    assert play(later, row[4], 4) == all_trades
    assert [trade.trade_id for trade in all_trades] == list(range(33, 41))


def test_trade_ids_cannot_repeat() -> None:
    venue = market(ticks=4)
    row = rising(3)
    play(venue, row[0], 5)
    with pytest.raises(ValueError, match="after minute 5"):
        venue.open_minute(row[1], 5)
    venue.open_minute(row[1], 6)
    path = venue.simulate_ticks(row[1])
    for tick in path:
        venue.apply_tick(tick, NOW_MS)
    with pytest.raises(ValueError, match="more than 4 trades"):
        venue.apply_tick(path[0], NOW_MS)


def test_update_ids_of_a_later_start_are_higher() -> None:
    first = market()
    play(first, rising(1)[0], 0)
    second = Market(btcusdt(), 10, first_update_id=first.book.update_id)
    second.start_at_open(rising(2)[1], NOW_MS)
    assert second.book.update_id > first.book.update_id


def test_a_fill_of_the_account_shows_in_the_depth_only() -> None:
    venue = market()
    venue.start_at_open(rising(1)[0], NOW_MS)
    _, _, price, size = venue.book.best()
    venue.consume_depth("asks", price, size, NOW_MS + 5)
    assert venue.book.best()[2] > price
    assert venue.changed_ms == NOW_MS + 5
    assert venue.last_trade is None
    assert venue.trades(10) == []


def test_recent_trades_are_bounded_and_selected_by_id_and_time() -> None:
    venue = market(ticks=100)
    for index, candle in enumerate(rising(12, volume=500)):
        play(venue, candle, index, NOW_MS + index * MINUTE_MS)
    trades = venue.trades(10_000)
    assert len(trades) == MAX_RECENT_TRADES
    assert [trade.trade_id for trade in venue.trades(3)] == [1198, 1199, 1200]
    assert [trade.trade_id for trade in venue.trades(3, from_id=500)] == [500, 501, 502]
    assert [trade.trade_id for trade in venue.trades(2, from_id=1)] == [201, 202]
    start = NOW_MS + 5 * MINUTE_MS
    assert [trade.trade_id for trade in venue.trades(2, start_ms=start)] == [501, 502]
    assert [trade.trade_id for trade in venue.trades(2, end_ms=start - 1)] == [499, 500]
    assert len(venue.trades(999, start_ms=start, end_ms=start + MINUTE_MS - 1)) == 100


def test_a_step_that_is_not_one_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="step"):
        Market(replace(btcusdt(), size_decimals=4), 10)


def test_klines_of_a_real_week_equal_its_candles() -> None:
    venue = market(ticks=6)
    row = list(real_week())
    for index, candle in enumerate(row):
        venue.open_minute(candle, index)
        for tick in venue.simulate_ticks(candle):
            venue.apply_tick(tick, NOW_MS)
        venue.close_minute()
    kept = venue.klines.rows(MINUTE, 1500)
    assert [(k.open_ms, k.open, k.high, k.low, k.close, k.volume) for k in kept] == [
        (c.open_ms, c.open, c.high, c.low, c.close, c.volume) for c in row[-1500:]
    ]
    last_day = row[-1440:]
    day = venue.statistics_24h()
    assert (day.open, day.high, day.low) == (
        last_day[0].open,
        max(candle.high for candle in last_day),
        min(candle.low for candle in last_day),
    )
    assert day.volume == sum(candle.volume for candle in last_day)
    whole_days = [k for k in venue.klines.rows("1d", 99) if k.closed]
    assert len(whole_days) == 7
    by_day = [candle for candle in row if candle.open_ms // 86_400_000 == whole_days[-1].open_ms // 86_400_000]
    assert whole_days[-1].volume == sum(candle.volume for candle in by_day)
