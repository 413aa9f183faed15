"""The replay plays every tick once, in order, at its time, and resumes at its position."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from opslab.model.market.candle import MINUTE_MS, Candle
from opslab.ports import Moment
from opslab.venue.market.candle_path import Tick
from opslab.venue.market.market import Market
from opslab.venue.replay import Replay, ReplayPacing
from tests.fakes import virtual_time
from tests.fakes.candles import OPEN_MS, btcusdt

TICKS = 12
START = Moment(0, 0)


def candle(minute: int) -> Candle:
    base = 4_200_000 + 100 * minute
    return Candle(OPEN_MS + minute * MINUTE_MS, base, base + 500, base - 500, base + 100, 5_000)


def market() -> Market:
    market = Market(btcusdt(), TICKS)
    market.start_at_open(candle(0), 0)
    return market


async def no_wait(_done: int) -> None:
    return None


async def now() -> None:
    return None


@dataclass
class RecordingSink:
    """Implements `replay.ReplaySink`; records each call with its time."""

    market: Market
    calls: list[tuple[float, str, Moment]] = field(default_factory=list)
    trades: list[int] = field(default_factory=list)

    def _record(self, kind: str, moment: Moment) -> None:
        self.calls.append((asyncio.get_running_loop().time(), kind, moment))

    def open_minute(self, candle: Candle, index: int) -> None:
        self._record("open", Moment(index, 0))
        self.market.open_minute(candle, index)

    def apply_tick(self, tick: Tick, moment: Moment) -> None:
        self._record("tick", moment)
        trade = self.market.apply_tick(tick, 0)
        if trade:
            self.trades.append(trade.trade_id)

    def close_minute(self, moment: Moment) -> None:
        self._record("close", moment)
        self.market.close_minute()

    def moments(self, kind: str) -> list[Moment]:
        return [moment for _, call, moment in self.calls if call == kind]


def play(
    rows: Sequence[Candle],
    start: Moment = START,
    max_bars: int | None = None,
    speed: float | None = None,
) -> tuple[Replay, RecordingSink]:
    """Play rows from `start.minute` on, to their end."""
    sink = RecordingSink(market())
    replay = Replay(sink.market, sink, iter(rows), start, max_bars)
    virtual_time.run(replay.run(now(), ReplayPacing(speed, no_wait)))
    return replay, sink


def test_every_tick_of_every_minute_is_played_once_and_numbered() -> None:
    replay, sink = play([candle(minute) for minute in range(3)])
    assert sink.moments("tick") == [Moment(minute, tick) for minute in range(3) for tick in range(1, TICKS + 1)]
    assert sink.moments("close") == [Moment(1, 0), Moment(2, 0), Moment(3, 0)]
    assert sink.trades == list(range(1, 3 * TICKS + 1))
    assert (replay.state, replay.minutes) == ("ended", 3)
    assert replay.ended.is_set()


def test_it_resumes_after_any_tick_as_if_it_had_never_stopped() -> None:
    rows = [candle(minute) for minute in range(3)]
    _, whole = play(rows)
    moments = [START, *(moment for _, call, moment in whole.calls if call != "open")]
    for start in moments:
        _, rest = play(rows[start.minute :], start)
        assert rest.moments("tick") == [moment for moment in whole.moments("tick") if moment > start]
        assert rest.moments("close") == [moment for moment in whole.moments("close") if moment > start]
        assert rest.trades == whole.trades[len(whole.trades) - len(rest.trades) :]
        closed = rest.market.klines.rows("1m", 3)
        assert closed == whole.market.klines.rows("1m", 3)[len(rows) - len(closed) :]
        if rest.trades:
            assert rest.market.book.levels("bids", 5) == whole.market.book.levels("bids", 5)


@pytest.mark.parametrize(("start", "closed"), [(START, 2), (Moment(1, 0), 1), (Moment(1, 5), 1), (Moment(2, 0), 0)])
def test_it_closes_max_bars_candles_those_before_the_start_included(start: Moment, closed: int) -> None:
    rows = [candle(minute) for minute in range(5)]
    replay, sink = play(rows[start.minute :], start, max_bars=2)
    assert len(sink.moments("close")) == closed
    assert (replay.state, replay.minutes) == ("ended", 2)


def test_without_candles_it_ends_at_once() -> None:
    replay, sink = play([], Moment(7, 0))
    assert (replay.state, replay.minutes, sink.calls) == ("ended", 7, [])


def test_it_holds_until_requested_with_an_open_minute_applied() -> None:
    async def scene() -> None:
        sink = RecordingSink(market())
        replay = Replay(sink.market, sink, iter([candle(0)]), Moment(0, 5), None)
        requested = asyncio.Event()
        playing = asyncio.ensure_future(replay.run(requested.wait(), ReplayPacing(60.0, no_wait)))
        await asyncio.sleep(3600)
        assert replay.state == "holding"
        assert [call for _, call, _ in sink.calls] == ["open"]
        fifth = sink.market.simulate_ticks(candle(0))[4]
        assert sink.market.book.best()[::2] == (fifth.bid, fifth.ask)
        requested.set()
        await playing
        assert sink.moments("tick") == [Moment(0, tick) for tick in range(6, TICKS + 1)]

    virtual_time.run(scene())


def test_each_minute_waits_for_ready_which_gets_the_closed_count() -> None:
    async def scene() -> None:
        sink = RecordingSink(market())
        replay = Replay(sink.market, sink, iter([candle(minute) for minute in range(3)]), START, None)
        counts: list[int] = []
        allowed = asyncio.Event()

        async def ready(done: int) -> None:
            counts.append(done)
            await allowed.wait()
            allowed.clear()

        playing = asyncio.ensure_future(replay.run(now(), ReplayPacing(None, ready)))
        for minutes in range(3):
            await asyncio.sleep(1)
            assert (counts, replay.minutes) == (list(range(minutes + 1)), minutes)
            allowed.set()
        await playing

    virtual_time.run(scene())


@pytest.mark.parametrize("speed", [1.0, 60.0, 1000.0])
def test_ticks_are_played_at_their_wall_clock_time(speed: float) -> None:
    replay, sink = play([candle(minute) for minute in range(3)], speed=speed)
    ticks = sink.market.simulate_ticks(candle(0))
    first = next(time for time, call, _ in sink.calls if call == "tick")
    for (time, _, _), tick in zip([call for call in sink.calls if call[1] == "tick"], ticks, strict=False):
        assert abs(time - first - (tick.offset_ms - ticks[0].offset_ms) / 1000 / speed) < 0.003
    closes = [time for time, call, _ in sink.calls if call == "close"]
    for earlier, later in pairwise(closes):
        assert abs(later - earlier - 60 / speed) < 0.003
    assert replay.lag_ms < 3


def test_a_gap_in_the_data_takes_one_minute() -> None:
    _, sink = play([candle(0), candle(1), candle(5000)], speed=60.0)
    closes = [time for time, call, _ in sink.calls if call == "close"]
    assert abs(closes[1] - closes[0] - 1.0) < 0.01
    assert closes[2] - closes[1] < 2.1


def test_a_late_replay_catches_up() -> None:
    async def scene() -> None:
        sink = RecordingSink(market())
        loop = asyncio.get_running_loop()
        replay = Replay(sink.market, sink, _rows(loop), START, None)
        await replay.run(now(), ReplayPacing(60.0, no_wait))
        closes = [time for time, call, _ in sink.calls if call == "close"]
        assert closes[-1] - closes[0] < 9.5  # ten minutes, one of which started two seconds late

    def _rows(loop: asyncio.AbstractEventLoop) -> Iterator[Candle]:
        for minute in range(10):
            if minute == 3:
                assert isinstance(loop, virtual_time.TimeLapse)
                loop.pass_by(2.0)
            yield candle(minute)

    virtual_time.run(scene())


def test_at_full_speed_other_tasks_run() -> None:
    async def scene() -> None:
        sink = RecordingSink(market())
        replay = Replay(sink.market, sink, iter([candle(minute) for minute in range(2000)]), START, None)
        turns = 0

        async def other_task() -> None:
            nonlocal turns
            while replay.state != "ended":
                turns += 1
                await asyncio.sleep(0)

        await asyncio.gather(replay.run(now(), ReplayPacing(None, no_wait)), other_task())
        assert turns > 3

    asyncio.run(scene())
