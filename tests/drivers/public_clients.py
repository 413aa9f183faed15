"""Third-party client libraries, connected to a venue as the examples do it."""

import asyncio
import runpy
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from opslab.model.market.candle import Candle
from opslab.model.messages.venue_messages import VenueEndpoints
from tests.drivers.tc import wait_until
from tests.drivers.venue_client import SteppedVenue, VenueClient

EXAMPLES = Path(__file__).parents[2] / "examples" / "venue"
CCXT, BINANCE = EXAMPLES / "ccxt_client.py", EXAMPLES / "binance_client.py"
TIMEOUT_SECONDS = 120.0
MOVE_SECONDS = 0.2
"""Wait between two moves of the market, or of an order."""
POLL_SECONDS = 0.01

type Json = Any


class PausingVenue(SteppedVenue):
    """A venue whose market moves one minute at a time and is still in between."""

    def wait_played(self) -> None:
        """Return when every released minute has been replayed."""
        *_, newest = self.released()
        with self.client() as client:
            wait_until(lambda: self._last(client) == newest, f"minute {self._played} to be replayed")

    def released(self) -> list[list[float]]:
        """The dataset's candles released so far, in ccxt's form; the first needs no `play`."""
        return [_row(candle) for candle in islice(self.candles(), self._played + 1)]

    def connection_count(self, kind: str) -> int:
        """The number of sockets of a kind opened so far: `user stream`, `market streams`, `trading socket`."""
        events = [message["log"] for message in self.log if "log" in message]
        return sum(event["event"] == "connected" and event["kind"] == kind for event in events)

    @staticmethod
    def _last(client: VenueClient) -> list[float]:
        [row] = client.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1)
        return [row[0], *(float(text) for text in row[1:6])]


def _row(candle: Candle) -> list[float]:
    prices = [price / 100 for price in (candle.open, candle.high, candle.low, candle.close)]
    return [candle.open_ms, *prices, candle.volume / 1000]


def ccxt_of(endpoints: VenueEndpoints, kind: Any) -> Any:
    """kind: the class of an exchange. Its own rate limit is off: the venue applies its limits."""
    exchange = runpy.run_path(str(CCXT))["connect"](endpoints.model_dump(), kind)
    exchange.enableRateLimit = False
    return exchange


def binance_of(endpoints: VenueEndpoints) -> Any:
    """Binance's own SDK."""
    return runpy.run_path(str(BINANCE))["connect"](endpoints.model_dump())


async def results_while_moving(
    move: Callable[[], Awaitable[object]], awaitables: Iterable[Awaitable[Json]]
) -> list[Json]:
    """The results of the awaitables; `move` is called repeatedly until all have come."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not all(task.done() for task in tasks):
                await move()
                await asyncio.wait(tasks, timeout=MOVE_SECONDS)
        return [task.result() for task in tasks]
    except TimeoutError:
        raise AssertionError(
            f"waited {TIMEOUT_SECONDS} s in vain for {[task for task in tasks if not task.done()]}"
        ) from None
    finally:
        for task in tasks:
            task.cancel()


async def wait_until_async(condition: Callable[[], bool], description: str) -> None:
    """Let the client process its messages until the condition holds."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not condition():
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"waited {TIMEOUT_SECONDS} s in vain for {description}") from None


def minutes(venue: PausingVenue) -> Callable[[], Awaitable[None]]:
    """A function that releases one more minute."""

    async def play() -> None:
        venue.play()

    return play
