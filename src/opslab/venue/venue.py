"""One venue put together: market, account, endpoints, streams, replay, server."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from opslab.model.candle import Candle
from opslab.model.instant import NS_PER_MS, iso_minute
from opslab.model.instrument import Instrument
from opslab.model.venue import VenueEndpoints, VenuePlan, VenueProgress
from opslab.ports import Clock, Ledger, Moment
from opslab.venue.account import Account
from opslab.venue.account_endpoints import AccountEndpoints
from opslab.venue.broadcast import Broadcast
from opslab.venue.door import Door
from opslab.venue.exchange import Exchange
from opslab.venue.faults.fault import Stage
from opslab.venue.faults.faults import Faults
from opslab.venue.gate import Gate
from opslab.venue.limits import Limiter
from opslab.venue.market import Market
from opslab.venue.market_endpoints import MarketEndpoints
from opslab.venue.market_payloads import MarketPayloads
from opslab.venue.replay import Replay, Tempo
from opslab.venue.say import Say
from opslab.venue.seams import Seams
from opslab.venue.server import Server
from opslab.venue.signing import listen_key
from opslab.venue.streams import Streams
from opslab.venue.tally import Tally
from opslab.venue.user_stream import UserStream

UNREAD_SECONDS = 10.0
"""At full speed: how long everybody waits for one who does not read."""
UPKEEP_SECONDS = 1.0
TALLY_TURNS = 10


class Venue:
    """Serve with `run`; `handled` and `stop` may be called while it does."""

    def __init__(
        self,
        plan: VenuePlan,
        instrument: Instrument,
        account: Account,
        ledger: Ledger,
        clock: Clock,
        begin: Moment,
        say: Say,
    ) -> None:
        """begin: where the replay goes on."""
        self._plan = plan
        self._say = say
        self.seams = seams = Seams()
        self.tally = Tally()

        def true_ms() -> int:
            return clock.now_ns() // NS_PER_MS

        def now_ms() -> int:
            return true_ms() + seams.skew_ms

        # Ids of the book rise over restarts, as the clock does: nothing changes a book a thousand times a millisecond.
        self.market = Market(instrument, plan.ticks_per_minute, first_update_id=now_ms() * 1000)
        payloads = MarketPayloads(self.market)
        self._users = UserStream(listen_key(plan.key), true_ms)
        self._streams = Streams(instrument.symbol, self._users)
        self._broadcast = Broadcast(self.market, payloads, self._streams, now_ms)
        self.exchange = Exchange(self.market, account, ledger, self._broadcast, now_ms, begin, seams)
        self._gate = Gate(plan.key, Limiter(plan.limits), plan.latency_ms, now_ms, true_ms, say, seams, self.tally)
        table = {
            **MarketEndpoints(self.market, payloads, plan.limits, now_ms, lambda: self.exchange.view.status).table(),
            **AccountEndpoints(self.exchange, self._users).table(),
        }
        self._server = Server(table, self._gate, self._streams, self._users, instrument.symbol, say, seams, self.tally)
        self._begin = begin
        self._handled = 0
        self._word = asyncio.Event()
        self._stop = asyncio.Event()
        self._replay: Replay | None = None

    def stop(self) -> None:
        self._stop.set()

    def handled(self, bars: int) -> None:
        """The engine is through with so many bars."""
        self._handled = max(self._handled, bars)
        self._word.set()

    async def run(
        self, host: str, folder: Path, candles: Iterator[Candle], ready: Callable[[VenueEndpoints], None]
    ) -> None:
        """Serve until `stop`.

        folder: where the control door opens; nobody else may enter it. candles: from the row that the replay begins
        with; the market stands at its open.
        """
        loop = asyncio.get_running_loop()

        def tell(events: list[dict[str, Any]]) -> None:
            loop.call_soon(self._users.tell, events)  # behind the answer to the one who asked

        self.exchange.tell = tell
        replay = self._replay = Replay(self.market, self.exchange, candles, self._begin, self._plan.max_bars)
        door = Door(Faults(Stage(self.seams, self._server, self.exchange), self._say), self._plan.token, self._look)
        port = await self._server.listen(host, self._plan.port)
        await door.open(folder)
        ready(self._endpoints(host, port))
        tasks = [
            asyncio.ensure_future(self._broadcast.by_clock()),
            asyncio.ensure_future(self._upkeep()),
            asyncio.ensure_future(replay.run(self._wanted(), Tempo(self._plan.speed, self._ready))),
        ]
        stopping = asyncio.ensure_future(self._stopped())
        pending = {stopping, *tasks}
        try:
            while not stopping.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # what broke in one of them is raised here
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await door.close()
            await self._server.stop()
            self._tell_tally()

    def _endpoints(self, host: str, port: int) -> VenueEndpoints:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return VenueEndpoints(
            rest_url=f"http://{place}",
            ws_url=f"ws://{place}/ws",
            ws_trading_url=f"ws://{place}/ws-fapi/v1",
            api_key=self._plan.key.api_key,
            api_secret=self._plan.key.api_secret,
        )

    async def _wanted(self) -> None:
        if self._plan.start == "kline":
            await self._streams.candles_wanted.wait()
        elif self._plan.start == "any":
            await self._streams.anything_wanted.wait()

    async def _ready(self, done: int) -> None:
        """Before the minute that follows `done` others."""
        pace = self._plan.pace
        if pace == "handled":
            while self._handled < done:
                self._word.clear()
                await self._word.wait()
        elif pace == "drained":
            await self._server.clients.drained(UNREAD_SECONDS)
            await asyncio.sleep(0)

    async def _stopped(self) -> None:
        await self._stop.wait()

    async def _upkeep(self) -> None:
        for turn in count(1):
            await asyncio.sleep(UPKEEP_SECONDS)
            self._users.expire()
            self._server.cut_late()
            if turn % TALLY_TURNS == 0:
                self._tell_tally()

    def _tell_tally(self) -> None:
        news = self.tally.news()
        if news:
            self._say("turned away", {"counts": news})

    def _look(self) -> dict[str, Any]:
        return {
            **self.progress().model_dump(),
            "connections": self._server.connections,
            "turned_away": self.tally.counts(),
        }

    def progress(self) -> VenueProgress:
        replay, account = self._replay, self.exchange.account
        last = self.market.klines.rows("1m", 1)
        return VenueProgress(
            state=replay.state if replay else "holding",
            minutes=replay.minutes if replay else self._begin.minute,
            last_open=iso_minute(last[-1].open_ms) if last else None,
            messages=self._server.clients.messages,
            clients=len(self._server.clients),
            open_orders=len(account.open),
            position=f"{account.holding.position:f}",
            lag_ms=round(replay.lag_ms, 1) if replay else 0.0,
        )
