"""The replay: a dataset's candles played to the market at a speed, tick by tick.

It holds until somebody wants it, with the market standing at the first candle's open. Where it is, is noted before
anybody is told of a tick, so that a venue that comes back goes on with the next one and repeats none.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol

from opslab.model.market.candle import MINUTE_MS, Candle
from opslab.ports import Moment
from opslab.venue.market.candle_path import Tick
from opslab.venue.market.market import Market

TURN_SECONDS = 0.005
"""At full speed, others get their turn at least this often."""
SLACK_MS = 1.0
"""What is due within this is due."""

State = Literal["holding", "replaying", "ended"]


class ReplaySink(Protocol):
    """What the replay plays to."""

    def tick(self, tick: Tick, at: Moment) -> None: ...

    def begin(self, candle: Candle, index: int) -> None: ...

    def close(self, at: Moment) -> None:
        """The minute is over; `at` is where the next one begins."""
        ...


async def _at_once() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Tempo:
    """speed: minutes of the market in a minute of the clock; None: as fast as `ready` lets it."""

    speed: float | None
    ready: Callable[[int], Awaitable[None]]
    """Awaited before each minute, with the number of those closed since the start."""
    settle: Callable[[], Awaitable[None]] = _at_once
    """Awaited before each minute closes, behind its last tick."""


class Replay:
    def __init__(
        self, market: Market, stage: ReplaySink, candles: Iterator[Candle], begin: Moment, max_bars: int | None
    ) -> None:
        """candles: from row `begin.minute` on. max_bars: candles to close in all, those before `begin` included."""
        self._market = market
        self._stage = stage
        self._candles = candles
        self._begin = begin
        self._left = None if max_bars is None else max(0, max_bars - begin.minute)
        self.state: State = "holding"
        self.minutes = begin.minute
        """Candles closed."""
        self.lag_ms = 0.0
        """How far it is behind the clock."""
        self.ended = asyncio.Event()

    async def run(self, start: Awaitable[object], tempo: Tempo) -> None:
        """Hold until `start`, then play to the end of the candles, or to `max_bars`.

        A minute that was begun before a restart is taken up where it was left, and the market holds there.
        """
        candles = islice(self._candles, self._left)
        first = next(candles, None)
        ticks = self._begin_minute(first, self._begin.tick) if first and self._begin.tick else None
        await start
        self.state = "replaying"
        clock = _Clock(asyncio.get_running_loop(), tempo.speed)
        if first:
            await tempo.ready(0)
            await self._play(first, ticks or self._begin_minute(first, 0), clock, tempo.settle)
        for done, candle in enumerate(candles, 1):
            await tempo.ready(done)
            await self._play(candle, self._begin_minute(candle, 0), clock, tempo.settle)
        self.state = "ended"
        self.ended.set()

    def _begin_minute(self, candle: Candle, skip: int) -> Iterator[tuple[int, Tick]]:
        """(number, tick) of those that are left of the minute behind the first `skip`."""
        ticks = enumerate(self._market.simulate_ticks(candle), 1)
        self._stage.begin(candle, self.minutes)
        for _, tick in islice(ticks, skip):
            self._market.apply_past_tick(tick)
        return ticks

    async def _play(
        self,
        candle: Candle,
        ticks: Iterator[tuple[int, Tick]],
        clock: "_Clock",
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        for number, tick in ticks:
            self.lag_ms = await clock.reach(candle.open_ms + tick.offset_ms)
            self._stage.tick(tick, Moment(self.minutes, number))
        self.lag_ms = await clock.reach(candle.open_ms + MINUTE_MS)
        await settle()
        self.minutes += 1
        self._stage.close(Moment(self.minutes, 0))


class _Clock:
    """The market's time on the wall clock's: minutes that are missing in the data are passed over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, speed: float | None) -> None:
        self._loop = loop
        self._speed = speed
        self._market_ms: float | None = None
        self._due = 0.0
        self._turn = loop.time()

    async def reach(self, market_ms: int) -> float:
        """Wait until it is that time in the market; by how many ms of the wall clock that is too late."""
        now = self._loop.time()
        if self._speed is None:
            if now - self._turn > TURN_SECONDS:
                await asyncio.sleep(0)
                self._turn = self._loop.time()
            return 0.0
        if self._market_ms is None:
            self._due = now
        else:
            self._due += min(market_ms - self._market_ms, MINUTE_MS) / 1000 / self._speed
        self._market_ms = market_ms
        wait = self._due - now
        if wait * 1000 > SLACK_MS:
            await asyncio.sleep(wait)
            self._turn = self._loop.time()
        elif now - self._turn > TURN_SECONDS:
            await asyncio.sleep(0)
            self._turn = self._loop.time()
        return max(0.0, (self._loop.time() - self._due) * 1000)
