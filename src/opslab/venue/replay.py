"""The replay: plays the candles of a dataset to the market at a speed, tick by tick.

It holds until it is requested, with the market at the open of the first candle. Its position is stored before a tick
is published, so that a restarted venue continues with the next tick and repeats none.
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

YIELD_SECONDS = 0.005
"""At full speed, the replay yields to other tasks at least this often."""
TOLERANCE_MS = 1.0
"""A tick due within this time is played at once."""

State = Literal["holding", "replaying", "ended"]


class ReplaySink(Protocol):
    """Receiver of the replay."""

    def apply_tick(self, tick: Tick, moment: Moment) -> None: ...

    def open_minute(self, candle: Candle, index: int) -> None: ...

    def close_minute(self, moment: Moment) -> None:
        """Close the minute; `moment` is the start of the next one."""
        ...


async def _no_wait() -> None:
    pass


@dataclass(frozen=True, slots=True)
class ReplayPacing:
    """speed: market minutes per clock minute; None: as fast as `ready` allows."""

    speed: float | None
    ready: Callable[[int], Awaitable[None]]
    """Awaited before each minute, with the number of minutes closed since the start."""
    settle: Callable[[], Awaitable[None]] = _no_wait
    """Awaited before each minute closes, after its last tick."""


class Replay:
    def __init__(
        self, market: Market, sink: ReplaySink, candles: Iterator[Candle], start: Moment, max_bars: int | None
    ) -> None:
        """candles: from row `start.minute` on. max_bars: total candles to close, those before `start` included."""
        self._market = market
        self._sink = sink
        self._candles = candles
        self._start = start
        self._remaining_bars = None if max_bars is None else max(0, max_bars - start.minute)
        self.state: State = "holding"
        self.minutes = start.minute
        """Candles closed."""
        self.lag_ms = 0.0
        """Delay of the replay relative to the clock."""
        self.ended = asyncio.Event()

    async def run(self, requested: Awaitable[object], pacing: ReplayPacing) -> None:
        """Hold until `requested` completes, then play to the end of the candles, or to `max_bars`.

        A minute that was open at a restart continues after its last published tick; the market holds there.
        """
        candles = islice(self._candles, self._remaining_bars)
        first = next(candles, None)
        ticks = self._open_minute(first, self._start.tick) if first and self._start.tick else None
        await requested
        self.state = "replaying"
        clock = _Clock(asyncio.get_running_loop(), pacing.speed)
        if first:
            await pacing.ready(0)
            await self._play_minute(first, ticks or self._open_minute(first, 0), clock, pacing.settle)
        for done, candle in enumerate(candles, 1):
            await pacing.ready(done)
            await self._play_minute(candle, self._open_minute(candle, 0), clock, pacing.settle)
        self.state = "ended"
        self.ended.set()

    def _open_minute(self, candle: Candle, skip: int) -> Iterator[tuple[int, Tick]]:
        """Open the minute. Returns (number, tick) of its ticks after the first `skip`."""
        ticks = enumerate(self._market.simulate_ticks(candle), 1)
        self._sink.open_minute(candle, self.minutes)
        for _, tick in islice(ticks, skip):
            self._market.apply_past_tick(tick)
        return ticks

    async def _play_minute(
        self,
        candle: Candle,
        ticks: Iterator[tuple[int, Tick]],
        clock: "_Clock",
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        for number, tick in ticks:
            self.lag_ms = await clock.wait_until(candle.open_ms + tick.offset_ms)
            self._sink.apply_tick(tick, Moment(self.minutes, number))
        self.lag_ms = await clock.wait_until(candle.open_ms + MINUTE_MS)
        await settle()
        self.minutes += 1
        self._sink.close_minute(Moment(self.minutes, 0))


class _Clock:
    """Maps market time to the loop clock; a minute missing in the data takes no time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, speed: float | None) -> None:
        self._loop = loop
        self._speed = speed
        self._market_ms: float | None = None
        self._due_seconds = 0.0
        self._yielded_at_seconds = loop.time()

    async def wait_until(self, market_ms: int) -> float:
        """Wait until the market time. Returns the delay in ms of the clock."""
        now = self._loop.time()
        if self._speed is None:
            if now - self._yielded_at_seconds > YIELD_SECONDS:
                await asyncio.sleep(0)
                self._yielded_at_seconds = self._loop.time()
            return 0.0
        if self._market_ms is None:
            self._due_seconds = now
        else:
            self._due_seconds += min(market_ms - self._market_ms, MINUTE_MS) / 1000 / self._speed
        self._market_ms = market_ms
        wait_seconds = self._due_seconds - now
        if wait_seconds * 1000 > TOLERANCE_MS:
            await asyncio.sleep(wait_seconds)
            self._yielded_at_seconds = self._loop.time()
        elif now - self._yielded_at_seconds > YIELD_SECONDS:
            await asyncio.sleep(0)
            self._yielded_at_seconds = self._loop.time()
        return max(0.0, (self._loop.time() - self._due_seconds) * 1000)
