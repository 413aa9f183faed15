"""The replay: every tick once, in order, at its time; from where it was left."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from opslab.model.market.candle import MINUTE_MS, Candle
from opslab.ports import Moment
from opslab.venue.market.candle_path import Tick
from opslab.venue.market.market import Market
from opslab.venue.replay import Replay, Tempo
from tests.fakes import virtual_time
from tests.fakes.candles import OPEN_MS, btcusdt

TICKS = 12
BEGIN = Moment(0, 0)


def candle(minute: int) -> Candle:
    base = 4_200_000 + 100 * minute
    return Candle(OPEN_MS + minute * MINUTE_MS, base, base + 500, base - 500, base + 100, 5_000)


def market() -> Market:
    found = Market(btcusdt(), TICKS)
    found.start_at_open(candle(0), 0)
    return found


async def at_once(_done: int) -> None:
    return None


async def now() -> None:
    return None


@dataclass
class Stage:
    """Implements `replay.Stage`; notes what is played to it and when."""

    market: Market
    told: list[tuple[float, str, Moment]] = field(default_factory=list)
    trades: list[int] = field(default_factory=list)

    def _note(self, what: str, at: Moment) -> None:
        self.told.append((asyncio.get_running_loop().time(), what, at))

    def begin(self, candle: Candle, index: int) -> None:
        self._note("begin", Moment(index, 0))
        self.market.open_minute(candle, index)

    def tick(self, tick: Tick, at: Moment) -> None:
        self._note("tick", at)
        trade = self.market.apply_tick(tick, 0)
        if trade:
            self.trades.append(trade.trade_id)

    def close(self, at: Moment) -> None:
        self._note("close", at)
        self.market.close_minute()

    def moments(self, what: str) -> list[Moment]:
        return [at for _, kind, at in self.told if kind == what]


def play(
    rows: Sequence[Candle],
    begin: Moment = BEGIN,
    max_bars: int | None = None,
    speed: float | None = None,
) -> tuple[Replay, Stage]:
    """Play rows from `begin.minute` on, to their end."""
    stage = Stage(market())
    replay = Replay(stage.market, stage, iter(rows), begin, max_bars)
    virtual_time.run(replay.run(now(), Tempo(speed, at_once)))
    return replay, stage


def test_every_tick_of_every_minute_is_played_once_and_numbered() -> None:
    replay, stage = play([candle(minute) for minute in range(3)])
    assert stage.moments("tick") == [Moment(minute, tick) for minute in range(3) for tick in range(1, TICKS + 1)]
    assert stage.moments("close") == [Moment(1, 0), Moment(2, 0), Moment(3, 0)]
    assert stage.trades == list(range(1, 3 * TICKS + 1))
    assert (replay.state, replay.minutes) == ("ended", 3)
    assert replay.ended.is_set()


def test_it_goes_on_behind_any_tick_as_if_it_had_never_stopped() -> None:
    rows = [candle(minute) for minute in range(3)]
    _, whole = play(rows)
    moments = [BEGIN, *(at for _, what, at in whole.told if what != "begin")]
    for begin in moments:
        _, rest = play(rows[begin.minute :], begin)
        assert rest.moments("tick") == [at for at in whole.moments("tick") if at > begin]
        assert rest.moments("close") == [at for at in whole.moments("close") if at > begin]
        assert rest.trades == whole.trades[len(whole.trades) - len(rest.trades) :]
        closed = rest.market.klines.rows("1m", 3)
        assert closed == whole.market.klines.rows("1m", 3)[len(rows) - len(closed) :]
        if rest.trades:
            assert rest.market.book.levels("bids", 5) == whole.market.book.levels("bids", 5)


@pytest.mark.parametrize(("begin", "played"), [(BEGIN, 2), (Moment(1, 0), 1), (Moment(1, 5), 1), (Moment(2, 0), 0)])
def test_it_closes_so_many_candles_in_all_those_of_before_included(begin: Moment, played: int) -> None:
    rows = [candle(minute) for minute in range(5)]
    replay, stage = play(rows[begin.minute :], begin, max_bars=2)
    assert len(stage.moments("close")) == played
    assert (replay.state, replay.minutes) == ("ended", 2)


def test_without_candles_it_is_over_at_once() -> None:
    replay, stage = play([], Moment(7, 0))
    assert (replay.state, replay.minutes, stage.told) == ("ended", 7, [])


def test_it_holds_until_somebody_wants_it_with_a_minute_that_was_begun_at_hand() -> None:
    async def scene() -> None:
        stage = Stage(market())
        replay = Replay(stage.market, stage, iter([candle(0)]), Moment(0, 5), None)
        wanted = asyncio.Event()
        playing = asyncio.ensure_future(replay.run(wanted.wait(), Tempo(60.0, at_once)))
        await asyncio.sleep(3600)
        assert replay.state == "holding"
        assert [what for _, what, _ in stage.told] == ["begin"]
        fifth = stage.market.simulate_ticks(candle(0))[4]
        assert stage.market.book.best()[::2] == (fifth.bid, fifth.ask)
        wanted.set()
        await playing
        assert stage.moments("tick") == [Moment(0, tick) for tick in range(6, TICKS + 1)]

    virtual_time.run(scene())


def test_a_minute_waits_for_leave_which_is_asked_for_with_what_is_done() -> None:
    async def scene() -> None:
        stage = Stage(market())
        replay = Replay(stage.market, stage, iter([candle(minute) for minute in range(3)]), BEGIN, None)
        asked: list[int] = []
        leave = asyncio.Event()

        async def ready(done: int) -> None:
            asked.append(done)
            await leave.wait()
            leave.clear()

        playing = asyncio.ensure_future(replay.run(now(), Tempo(None, ready)))
        for minutes in range(3):
            await asyncio.sleep(1)
            assert (asked, replay.minutes) == (list(range(minutes + 1)), minutes)
            leave.set()
        await playing

    virtual_time.run(scene())


@pytest.mark.parametrize("speed", [1.0, 60.0, 1000.0])
def test_ticks_come_at_their_time_on_the_wall_clock(speed: float) -> None:
    replay, stage = play([candle(minute) for minute in range(3)], speed=speed)
    drawn = stage.market.simulate_ticks(candle(0))
    first = next(at for at, what, _ in stage.told if what == "tick")
    for (at, _, _), tick in zip([told for told in stage.told if told[1] == "tick"], drawn, strict=False):
        assert abs(at - first - (tick.offset_ms - drawn[0].offset_ms) / 1000 / speed) < 0.003
    closes = [at for at, what, _ in stage.told if what == "close"]
    for before, after in pairwise(closes):
        assert abs(after - before - 60 / speed) < 0.003
    assert replay.lag_ms < 3


def test_a_hole_in_the_data_takes_a_minute_and_no_more() -> None:
    _, stage = play([candle(0), candle(1), candle(5000)], speed=60.0)
    closes = [at for at, what, _ in stage.told if what == "close"]
    assert abs(closes[1] - closes[0] - 1.0) < 0.01
    assert closes[2] - closes[1] < 2.1


def test_who_is_late_catches_up_and_says_by_how_much() -> None:
    async def scene() -> None:
        stage = Stage(market())
        loop = asyncio.get_running_loop()
        replay = Replay(stage.market, stage, _rows(loop), BEGIN, None)
        await replay.run(now(), Tempo(60.0, at_once))
        closes = [at for at, what, _ in stage.told if what == "close"]
        assert closes[-1] - closes[0] < 9.5  # ten minutes, one of which began two seconds late

    def _rows(loop: asyncio.AbstractEventLoop) -> Iterator[Candle]:
        for minute in range(10):
            if minute == 3:
                assert isinstance(loop, virtual_time.TimeLapse)
                loop.pass_by(2.0)
            yield candle(minute)

    virtual_time.run(scene())


def test_at_full_speed_others_have_their_turn() -> None:
    async def scene() -> None:
        stage = Stage(market())
        replay = Replay(stage.market, stage, iter([candle(minute) for minute in range(2000)]), BEGIN, None)
        turns = 0

        async def another() -> None:
            nonlocal turns
            while replay.state != "ended":
                turns += 1
                await asyncio.sleep(0)

        await asyncio.gather(replay.run(now(), Tempo(None, at_once)), another())
        assert turns > 3

    asyncio.run(scene())
