"""One venue put together: market, account, endpoints, streams, replay, server."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from opslab.errors import LabError
from opslab.model.market.candle import Candle
from opslab.model.market.instrument import Instrument
from opslab.model.messages.paper_messages import AccountSnapshot
from opslab.model.messages.venue_messages import VenueEndpoints, VenuePlan, VenueProgress
from opslab.model.primitives.instant import NS_PER_MS, iso_minute
from opslab.ports import Clock, Ledger, Moment
from opslab.venue.account.account import Account
from opslab.venue.bar_pacing import BarPacing
from opslab.venue.control.account_snapshot import statement
from opslab.venue.control.control_socket import ControlSocket
from opslab.venue.control.flatten import Flattener
from opslab.venue.control.orphan_policy import LOOK_SECONDS, TELL_SECONDS, TRIES, TRY_SECONDS, over
from opslab.venue.counters import Counters
from opslab.venue.endpoints.account import AccountEndpoints
from opslab.venue.endpoints.market import MarketEndpoints
from opslab.venue.event_log import EventLogger
from opslab.venue.exchange import Exchange
from opslab.venue.fault_hooks import FaultHooks
from opslab.venue.faults.controller import FaultController
from opslab.venue.faults.fault import FaultTarget
from opslab.venue.market.market import Market
from opslab.venue.market.payloads import MarketPayloads
from opslab.venue.market_publisher import MarketPublisher
from opslab.venue.replay import Replay, Tempo
from opslab.venue.transport.market_streams import MarketStreams
from opslab.venue.transport.rate_limits import RateLimiter
from opslab.venue.transport.request_pipeline import RequestPipeline
from opslab.venue.transport.server import Server
from opslab.venue.transport.signing import listen_key
from opslab.venue.transport.user_data_stream import UserDataStream

UNREAD_SECONDS = 10.0
"""At full speed: how long everybody waits for one who does not read."""
UPKEEP_SECONDS = 1.0
SETTLE_SECONDS = 0.5
"""How long a client may take to have read what befell its account."""
TAKE_IN_SECONDS = 0.005
"""And what it then gets to take it in."""
TALLY_TURNS = 10


class Venue:
    """Serve with `run`; `handled`, `stop` and `orphaned` may be called while it does."""

    def __init__(
        self,
        plan: VenuePlan,
        instrument: Instrument,
        account: Account,
        ledger: Ledger,
        clock: Clock,
        begin: Moment,
        log_event: EventLogger,
    ) -> None:
        """begin: where the replay goes on."""
        self._plan = plan
        self._log_event = log_event
        self._clock = clock
        self.hooks = hooks = FaultHooks()
        self.counters = Counters()

        def true_ms() -> int:
            return clock.now_ns() // NS_PER_MS

        def now_ms() -> int:
            return true_ms() + hooks.skew_ms

        # Ids of the book rise over restarts, as the clock does: nothing changes a book a thousand times a millisecond.
        self.market = Market(instrument, plan.ticks_per_minute, first_update_id=now_ms() * 1000)
        payloads = MarketPayloads(self.market)
        self._users = UserDataStream(listen_key(plan.key), true_ms)
        self._streams = MarketStreams(instrument.symbol, self._users)
        self._broadcast = MarketPublisher(self.market, payloads, self._streams, now_ms)
        self.exchange = Exchange(self.market, account, ledger, self._broadcast, now_ms, begin, hooks)
        self._pipeline = RequestPipeline(plan.key, RateLimiter(plan.limits), plan.latency_ms, now_ms, true_ms, log_event, hooks, self.counters)
        table = {
            **MarketEndpoints(self.market, payloads, plan.limits, now_ms, lambda: self.exchange.view.status).table(),
            **AccountEndpoints(self.exchange, self._users).table(),
        }
        self._server = Server(table, self._pipeline, self._streams, self._users, instrument.symbol, log_event, hooks, self.counters)
        self._begin = begin
        self._handled = BarPacing(begin.minute, self._followed(), plan.word_seconds, log_event)
        self.exchange.closed = self._handled.closed
        self._flattener = Flattener(self.exchange, log_event)
        self._stop = asyncio.Event()
        self._ledger = ledger
        self._settled = ledger.transactions
        self._alone = asyncio.Event()
        self._asked = asyncio.Event()
        """Told to end since control is gone."""
        self._halted = asyncio.Event()
        self._replay: Replay | None = None

    def stop(self) -> None:
        """End. A venue whose control is gone first does what it has outlived control for, without waiting for more."""
        (self._asked if self._alone.is_set() else self._stop).set()

    def handled(self, minutes: int | None) -> None:
        """Of the candles closed so far, so many are dealt with; None: all."""
        if minutes is None:
            minutes = self._replay.minutes if self._replay else self._begin.minute
        self._handled.told(minutes)

    def orphaned(self) -> None:
        """Control is gone."""
        if self._stop.is_set():
            return
        rule = self._plan.on_orphan
        self._log_event("control is gone", {"on_orphan": rule, "seconds": self._plan.orphan_seconds})
        if rule == "end":
            self._stop.set()
            return
        self._handled.wait_on()
        self._alone.set()

    def halted(self) -> None:
        """The kill switch of its run is active. While there is control, that sees to it."""
        self._halted.set()

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
        faults = FaultController(FaultTarget(self.hooks, self._server, self.exchange), self._log_event)
        door = ControlSocket(faults, self._plan.token, self._look, self._state, self._flattener)
        port = await self._server.listen(host, self._plan.port)
        await door.open(folder)
        ready(self._endpoints(host, port))
        tasks = [
            asyncio.ensure_future(self._broadcast.by_clock()),
            asyncio.ensure_future(self._upkeep()),
            asyncio.ensure_future(replay.run(self._wanted(), Tempo(self._plan.speed, self._ready, self._settle))),
            asyncio.ensure_future(self._outlive_control()),
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
            await self._streams.candles_requested.wait()
        elif self._plan.start == "any":
            await self._streams.any_requested.wait()

    def _followed(self) -> asyncio.Event:
        """Set while there is somebody to play to."""
        if self._plan.start == "kline":
            return self._streams.candles_subscribed
        always = asyncio.Event()
        always.set()
        return always

    async def _ready(self, done: int) -> None:
        """Before the minute that follows `done` others."""
        pace = self._plan.pace
        if pace == "handled":
            await self._handled.before(self._begin.minute + done)
        elif pace == "drained":
            await self._server.clients.drained(UNREAD_SECONDS)
            await asyncio.sleep(0)

    async def _settle(self) -> None:
        """Paced by word of the engine, what befell the account in a minute is known before the minute's candle is.

        The two come over different sockets: at full speed the candle would often be first.
        """
        if self._plan.pace != "handled" or self._ledger.transactions == self._settled:
            return
        self._settled = self._ledger.transactions
        await asyncio.sleep(0)  # what the last tick did is told then
        await asyncio.gather(*(connection.read(SETTLE_SECONDS) for connection in self._users.listeners()))
        await asyncio.sleep(TAKE_IN_SECONDS)

    async def _stopped(self) -> None:
        await self._stop.wait()

    async def _outlive_control(self) -> None:
        """Serve on until clients are through, or their time is over; leave the account as the plan says, and end.

        A kill switch that is active then has it flattened at once, whatever the plan says.
        """
        await self._alone.wait()
        loop = asyncio.get_running_loop()
        rule, deadline = self._plan.on_orphan, loop.time() + self._plan.orphan_seconds
        why, halted = None, False
        while why is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._asked.wait()
            if self._halted.is_set() and not halted:
                halted, rule = True, "flatten"
                with suppress(LabError):  # it is done once more at the end
                    await self._flattener.flatten("kill switch, and control is gone", hold=True)
            why = over(
                rule,
                flat=self.exchange.is_flat,
                connections=self._server.connections,
                late=loop.time() >= deadline,
                asked=self._asked.is_set(),
            )
        try:
            if rule == "flatten":
                await self._flatten(why)
                await asyncio.sleep(0)  # what was done is queued to be told behind this
                await self._server.clients.drained(TELL_SECONDS)
        finally:
            account = self.exchange.account
            left = {"position": f"{account.holding.position:f}", "open_orders": len(account.open)}
            self._log_event("ended without control", {"reason": why, "connections": self._server.connections, **left})
        self._stop.set()

    async def _flatten(self, why: str) -> None:
        for left in reversed(range(TRIES)):
            try:
                await self._flattener.flatten(f"control is gone: {why}", hold=True)
                return
            except LabError:
                if not left:
                    raise
                await asyncio.sleep(TRY_SECONDS)

    async def _upkeep(self) -> None:
        for turn in count(1):
            await asyncio.sleep(UPKEEP_SECONDS)
            self._users.expire()
            self._server.reset_expired()
            if turn % TALLY_TURNS == 0:
                self._tell_tally()

    def _tell_tally(self) -> None:
        changed_counts = self.counters.changed_counts()
        if changed_counts:
            self._log_event("turned away", {"counts": changed_counts})

    def _look(self) -> dict[str, Any]:
        return {
            **self.progress().model_dump(),
            "connections": self._server.connections,
            "turned_away": self.counters.counts(),
        }

    def _state(self) -> AccountSnapshot:
        return statement(self.exchange, self.progress(), self._clock.now_ns())

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
