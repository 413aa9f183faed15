"""A market at full speed waits for acknowledgements of the engine, but not for ones that cannot arrive."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from opslab.venue.bar_pacing import BarPacing
from tests.fakes import virtual_time

TIMEOUT_SECONDS = 10.0


class PacingCase:
    def __init__(self, minutes: int = 0) -> None:
        self.subscribed = asyncio.Event()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.pacing = BarPacing(
            minutes, self.subscribed, TIMEOUT_SECONDS, lambda event, details: self.events.append((event, details))
        )

    async def wait_seconds(self, minutes: int) -> float:
        """The time until the candle after `minutes` others may start."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        await self.pacing.wait_for_bar(minutes)
        return loop.time() - start


def play(scene: Callable[[PacingCase], Awaitable[None]], minutes: int = 0) -> None:
    async def run() -> None:
        await asyncio.wait_for(scene(PacingCase(minutes)), 1e6)

    virtual_time.run(run())


async def yield_to_tasks() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_first_candle_needs_a_subscription_and_no_acknowledgement() -> None:
    async def scene(case: PacingCase) -> None:
        waiting = asyncio.ensure_future(case.wait_seconds(0))
        await asyncio.sleep(3600)
        assert not waiting.done()
        case.subscribed.set()
        assert await waiting == 3600
        assert case.events == []

    play(scene)


def test_a_candle_starts_when_all_closed_candles_are_acknowledged() -> None:
    async def scene(case: PacingCase) -> None:
        case.subscribed.set()
        case.pacing.bar_closed()
        waiting = asyncio.ensure_future(case.wait_seconds(3))
        case.pacing.bar_done(2)
        await asyncio.sleep(5)
        assert not waiting.done()
        case.pacing.bar_done(3)
        assert await waiting == 5
        assert await case.wait_seconds(2) == 0
        assert case.events == []

    play(scene)


def test_acknowledgements_count_all_candles_those_before_the_start_included() -> None:
    async def scene(case: PacingCase) -> None:
        case.subscribed.set()
        assert await case.wait_seconds(40) == 0
        case.pacing.bar_closed()
        case.pacing.bar_done(1)  # of an engine that counts from its own start: below the known count, ignored
        waiting = asyncio.ensure_future(case.wait_seconds(41))
        await yield_to_tasks()
        assert not waiting.done()
        case.pacing.bar_done(41)
        await waiting

    play(scene, minutes=40)


def test_a_lost_candle_costs_the_timeout_and_is_logged() -> None:
    async def scene(case: PacingCase) -> None:
        case.subscribed.set()
        case.pacing.bar_closed()
        assert await case.wait_seconds(1) == TIMEOUT_SECONDS
        assert case.events == [
            (
                "candle_not_acknowledged",
                {"minutes": 1, "acknowledged": 0, "reason": "none arrived within 10 s"},
            )
        ]
        case.pacing.bar_closed()
        case.pacing.bar_done(2)
        assert await case.wait_seconds(2) == 0
        assert len(case.events) == 1

    play(scene)


def test_the_timeout_runs_from_the_candle_and_not_from_a_later_subscription() -> None:
    async def scene(case: PacingCase) -> None:
        case.subscribed.set()
        case.pacing.bar_closed()
        case.subscribed.clear()
        waiting = asyncio.ensure_future(case.wait_seconds(1))
        await asyncio.sleep(4)
        case.subscribed.set()
        assert await waiting == TIMEOUT_SECONDS

    play(scene)


def test_without_a_subscription_the_market_holds_and_continues_at_once_after_it() -> None:
    async def scene(case: PacingCase) -> None:
        case.subscribed.set()
        case.pacing.bar_closed()
        case.subscribed.clear()
        waiting = asyncio.ensure_future(case.wait_seconds(1))
        await asyncio.sleep(3600)
        assert not waiting.done()
        assert case.events == []
        case.subscribed.set()
        assert await waiting == 3600
        assert [event for event, _ in case.events] == ["candle_not_acknowledged"]

    play(scene)


def test_an_acknowledgement_without_a_subscription_counts() -> None:
    async def scene(case: PacingCase) -> None:
        case.subscribed.set()
        case.pacing.bar_closed()
        case.subscribed.clear()
        waiting = asyncio.ensure_future(case.wait_seconds(1))
        await yield_to_tasks()
        case.pacing.bar_done(1)
        await asyncio.sleep(60)
        assert not waiting.done()
        case.subscribed.set()
        await waiting
        assert case.events == []

    play(scene)


def test_a_candle_that_closed_without_a_subscriber_needs_no_acknowledgement() -> None:
    async def scene(case: PacingCase) -> None:
        case.pacing.bar_closed()
        case.subscribed.set()
        assert await case.wait_seconds(1) == 0
        assert case.events[0][1]["reason"] == "no client subscribed to candles when it closed"

    play(scene)


def test_without_control_no_candle_starts_by_timeout() -> None:
    async def scene(case: PacingCase) -> None:
        case.subscribed.set()
        case.pacing.bar_closed()
        waiting = asyncio.ensure_future(case.wait_seconds(1))
        await asyncio.sleep(5)
        case.pacing.disable_timeout()
        await asyncio.sleep(3600)
        assert not waiting.done()
        assert case.events == []
        waiting.cancel()

    play(scene)
