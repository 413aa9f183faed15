"""Client libraries that nobody here wrote, pointed at a venue as the examples do it."""

import asyncio
import runpy
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from opslab.model.market.candle import Candle
from opslab.model.messages.venue_messages import VenueEndpoints
from tests.drivers.tc import wait_until
from tests.drivers.venue_client import VenueChild, VenueClient

EXAMPLES = Path(__file__).parents[2] / "examples" / "venue"
CCXT, BINANCE = EXAMPLES / "ccxt_client.py", EXAMPLES / "binance_client.py"
SECONDS = 20.0
"""How long anything may take."""
TURN_SECONDS = 0.2
"""How long is waited before the market, or an order, moves on once more."""
LOOK_SECONDS = 0.01

type Json = Any


class Standing(VenueChild):
    """A venue whose market moves a minute at a time, and stands in between."""

    def stand(self) -> None:
        """Come back when every minute that may be played has been."""
        *_, newest = self.known()
        with self.client() as client:
            wait_until(lambda: self._last(client) == newest, f"minute {self._played} to be over")

    def known(self) -> list[list[float]]:
        """The dataset's candles that may be played so far, as ccxt writes one; the first needs no leave."""
        return [_row(candle) for candle in islice(self.candles(), self._played + 1)]

    def connected(self, kind: str) -> int:
        """How many sockets of a kind were opened so far: `user stream`, `market streams`, `trading socket`."""
        logged = [frame["log"] for frame in self.log if "log" in frame]
        return sum(found["what"] == "connected" and found["kind"] == kind for found in logged)

    @staticmethod
    def _last(client: VenueClient) -> list[float]:
        [row] = client.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1)
        return [row[0], *(float(text) for text in row[1:6])]


def _row(candle: Candle) -> list[float]:
    prices = [price / 100 for price in (candle.open, candle.high, candle.low, candle.close)]
    return [candle.open_ms, *prices, candle.volume / 1000]


def ccxt_of(endpoints: VenueEndpoints, kind: Any) -> Any:
    """kind: the class of an exchange. It does not hold itself back: the venue's limits are the venue's to keep."""
    exchange = runpy.run_path(str(CCXT))["connect"](endpoints.model_dump(), kind)
    exchange.enableRateLimit = False
    return exchange


def binance_of(endpoints: VenueEndpoints) -> Any:
    """Binance's own SDK."""
    return runpy.run_path(str(BINANCE))["connect"](endpoints.model_dump())


async def while_it_moves(move: Callable[[], Awaitable[object]], wanted: Iterable[Awaitable[Json]]) -> list[Json]:
    """What is awaited, of an account or a market that moves on until all of it has come."""
    tasks = [asyncio.ensure_future(found) for found in wanted]
    try:
        async with asyncio.timeout(SECONDS):
            while not all(task.done() for task in tasks):
                await move()
                await asyncio.wait(tasks, timeout=TURN_SECONDS)
        return [task.result() for task in tasks]
    except TimeoutError:
        raise AssertionError(f"waited {SECONDS} s in vain for {[task for task in tasks if not task.done()]}") from None
    finally:
        for task in tasks:
            task.cancel()


async def until(wanted: Callable[[], bool], what: str) -> None:
    """Let the client take what comes until what is wanted is there."""
    try:
        async with asyncio.timeout(SECONDS):
            while not wanted():
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(f"waited {SECONDS} s in vain for {what}") from None


def minutes(venue: Standing) -> Callable[[], Awaitable[None]]:
    """Let one minute more be played."""

    async def play() -> None:
        venue.play()

    return play
