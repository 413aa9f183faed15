"""A market at full speed waits for the engine, and for nobody who cannot answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from opslab.venue.bar_pacing import BarPacing
from tests.fakes import virtual_time

SECONDS = 10.0


class Scene:
    def __init__(self, minutes: int = 0) -> None:
        self.followed = asyncio.Event()
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.pace = BarPacing(minutes, self.followed, SECONDS, lambda what, more: self.said.append((what, more)))

    async def waits(self, minutes: int) -> float:
        """For how long leave was waited for."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self.pace.before(minutes)
        return loop.time() - began


def play(scene: Callable[[Scene], Awaitable[None]], minutes: int = 0) -> None:
    async def whole() -> None:
        await asyncio.wait_for(scene(Scene(minutes)), 1e6)

    virtual_time.run(whole())


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_first_candle_needs_somebody_who_follows_and_no_word() -> None:
    async def scene(at: Scene) -> None:
        waiting = asyncio.ensure_future(at.waits(0))
        await asyncio.sleep(3600)
        assert not waiting.done()
        at.followed.set()
        assert await waiting == 3600
        assert at.said == []

    play(scene)


def test_a_candle_begins_when_as_many_are_dealt_with_as_have_closed() -> None:
    async def scene(at: Scene) -> None:
        at.followed.set()
        at.pace.closed()
        waiting = asyncio.ensure_future(at.waits(3))
        at.pace.told(2)
        await asyncio.sleep(5)
        assert not waiting.done()
        at.pace.told(3)
        assert await waiting == 5
        assert await at.waits(2) == 0
        assert at.said == []

    play(scene)


def test_word_counts_absolutely_and_what_was_before_the_start_is_told() -> None:
    async def scene(at: Scene) -> None:
        at.followed.set()
        assert await at.waits(40) == 0
        at.pace.closed()
        at.pace.told(1)  # of an engine that counts from its own begin: falls behind what is known
        waiting = asyncio.ensure_future(at.waits(41))
        await turns()
        assert not waiting.done()
        at.pace.told(41)
        await waiting

    play(scene, minutes=40)


def test_a_candle_that_was_lost_costs_its_time_and_is_said() -> None:
    async def scene(at: Scene) -> None:
        at.followed.set()
        at.pace.closed()
        assert await at.waits(1) == SECONDS
        assert at.said == [
            (
                "went on without word of a candle",
                {"minutes": 1, "told": 0, "why": "none came within 10 s"},
            )
        ]
        at.pace.closed()
        at.pace.told(2)
        assert await at.waits(2) == 0
        assert len(at.said) == 1

    play(scene)


def test_the_time_runs_from_the_candle_and_not_from_who_comes_later() -> None:
    async def scene(at: Scene) -> None:
        at.followed.set()
        at.pace.closed()
        at.followed.clear()
        waiting = asyncio.ensure_future(at.waits(1))
        await asyncio.sleep(4)
        at.followed.set()
        assert await waiting == SECONDS

    play(scene)


def test_while_nobody_follows_it_holds_however_long_and_goes_on_at_once_behind() -> None:
    async def scene(at: Scene) -> None:
        at.followed.set()
        at.pace.closed()
        at.followed.clear()
        waiting = asyncio.ensure_future(at.waits(1))
        await asyncio.sleep(3600)
        assert not waiting.done()
        assert at.said == []
        at.followed.set()
        assert await waiting == 3600
        assert [what for what, _ in at.said] == ["went on without word of a candle"]

    play(scene)


def test_word_that_came_while_nobody_followed_is_good() -> None:
    async def scene(at: Scene) -> None:
        at.followed.set()
        at.pace.closed()
        at.followed.clear()
        waiting = asyncio.ensure_future(at.waits(1))
        await turns()
        at.pace.told(1)
        await asyncio.sleep(60)
        assert not waiting.done()
        at.followed.set()
        await waiting
        assert at.said == []

    play(scene)


def test_a_candle_that_closed_before_nobody_is_not_waited_for() -> None:
    async def scene(at: Scene) -> None:
        at.pace.closed()
        at.followed.set()
        assert await at.waits(1) == 0
        assert at.said[0][1]["why"] == "nobody followed candles when it closed"

    play(scene)


def test_without_control_no_candle_begins_for_want_of_word() -> None:
    async def scene(at: Scene) -> None:
        at.followed.set()
        at.pace.closed()
        waiting = asyncio.ensure_future(at.waits(1))
        await asyncio.sleep(5)
        at.pace.wait_on()
        await asyncio.sleep(3600)
        assert not waiting.done()
        assert at.said == []
        waiting.cancel()

    play(scene)
