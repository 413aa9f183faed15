"""The assembled venue: market, account, endpoints, streams, replay, server and control socket."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from opslab.errors import LabError, Refused
from opslab.model.market.candle import Candle
from opslab.model.market.instrument import Instrument
from opslab.model.messages.paper_messages import AccountSnapshot
from opslab.model.messages.venue_messages import VenueEndpoints, VenuePlan, VenueProgress
from opslab.model.primitives.instant import NS_PER_MS, iso_minute
from opslab.ports import Clock, Ledger, Moment
from opslab.venue.account.account import Account
from opslab.venue.bar_pacing import BarPacing
from opslab.venue.control.account_snapshot import account_snapshot
from opslab.venue.control.control_socket import ControlSocket
from opslab.venue.control.flatten import Flattener
from opslab.venue.control.orphan_policy import (
    FINAL_UPDATE_SECONDS,
    FLATTEN_ATTEMPTS,
    FLATTEN_RETRY_SECONDS,
    ORPHAN_POLL_SECONDS,
    end_reason,
)
from opslab.venue.counters import FAILED_LEDGER_WRITES, Counters
from opslab.venue.endpoints.account import AccountEndpoints
from opslab.venue.endpoints.market import MarketEndpoints
from opslab.venue.event_log import CONTROL_LOST, MARGIN_CALL, EventLogger
from opslab.venue.exchange import Exchange
from opslab.venue.fault_hooks import FaultHooks
from opslab.venue.faults.controller import FaultController
from opslab.venue.faults.fault import FaultTarget
from opslab.venue.market.market import Market
from opslab.venue.market.payloads import MarketPayloads
from opslab.venue.market_publisher import MarketPublisher
from opslab.venue.replay import Replay, ReplayPacing
from opslab.venue.transport.market_streams import MarketStreams
from opslab.venue.transport.rate_limits import RateLimiter
from opslab.venue.transport.request_pipeline import RequestPipeline
from opslab.venue.transport.server import Server
from opslab.venue.transport.signing import listen_key
from opslab.venue.transport.user_data_stream import UserDataStream

DRAIN_SECONDS = 10.0
"""Time the replay waits at full speed for a client that does not read."""
UPKEEP_SECONDS = 1.0
ACCOUNT_UPDATE_SECONDS = 0.5
"""Time allowed for clients to receive account updates."""
PROCESSING_SECONDS = 0.005
"""Time for clients to process the account updates they have received."""
COUNTER_ROUNDS = 10
"""Upkeep rounds between two log lines of the counters."""


class Venue:
    """Serve with `run`; `bars_done`, `stop`, `control_lost` and `kill_switch_active` may be called meanwhile."""

    def __init__(
        self,
        plan: VenuePlan,
        instrument: Instrument,
        account: Account,
        ledger: Ledger,
        clock: Clock,
        position: Moment,
        log_event: EventLogger,
    ) -> None:
        """position: where the replay resumes."""
        self._plan = plan
        self._log_event = log_event
        self._clock = clock
        self.hooks = hooks = FaultHooks()
        self.counters = Counters()

        def true_ms() -> int:
            return clock.now_ns() // NS_PER_MS

        def now_ms() -> int:
            return true_ms() + hooks.skew_ms

        # Update ids of the book rise over restarts, as the clock does: no book changes a thousand times a millisecond.
        self.market = Market(instrument, plan.ticks_per_minute, first_update_id=now_ms() * 1000)
        payloads = MarketPayloads(self.market)
        self._user_stream = UserDataStream(listen_key(plan.key), true_ms)
        self._streams = MarketStreams(
            instrument.symbol, self._user_stream, "@kline_1m" if plan.start == "kline_1m" else "@kline_"
        )
        self._publisher = MarketPublisher(self.market, payloads, self._streams, now_ms)
        self.exchange = Exchange(self.market, account, ledger, self._publisher, now_ms, position, hooks, self.counters)
        limiter = RateLimiter(plan.limits, lambda: self.exchange.market_elapsed_ms(plan.ticks_per_minute))
        pipeline = RequestPipeline(plan.key, limiter, plan.latency_ms, now_ms, true_ms, log_event, hooks, self.counters)
        table = {
            **MarketEndpoints(self.market, payloads, plan.limits, now_ms, lambda: self.exchange.view.status).table(),
            **AccountEndpoints(self.exchange, self._user_stream).table(),
        }
        self._server = Server(
            table, pipeline, self._streams, self._user_stream, instrument.symbol, log_event, hooks, self.counters
        )
        self._start_position = position
        self._bar_pacing = BarPacing(position.minute, self._replay_followed(), plan.bar_done_timeout_seconds, log_event)
        self.exchange.on_bar_closed = self._bar_pacing.bar_closed
        self.exchange.on_margin_call = lambda fields: log_event(MARGIN_CALL, fields)
        self._flattener = Flattener(self.exchange, log_event)
        self._stop = asyncio.Event()
        self._ledger = ledger
        self._delivered_transactions = ledger.transactions
        """Transactions whose account updates clients had time to receive."""
        self._orphaned = asyncio.Event()
        self._orphan_stop = asyncio.Event()
        """A stop was requested after control's process had ended."""
        self._kill_switch = asyncio.Event()
        self._replay: Replay | None = None

    def stop(self) -> None:
        """End. An orphaned venue first applies its orphan policy to the account, without waiting for its clients."""
        (self._orphan_stop if self._orphaned.is_set() else self._stop).set()

    def bars_done(self, minutes: int | None) -> None:
        """minutes: the number of closed candles that the engine has processed; None: all."""
        if minutes is None:
            minutes = self._replay.minutes if self._replay else self._start_position.minute
        self._bar_pacing.bar_done(minutes)

    def control_lost(self) -> None:
        """Control's process has ended: the orphan policy applies."""
        if self._stop.is_set():
            return
        policy = self._plan.on_orphan
        self._log_event(CONTROL_LOST, {"on_orphan": policy, "seconds": self._plan.orphan_seconds})
        if policy == "end":
            self._stop.set()
            return
        self._bar_pacing.disable_timeout()
        self._orphaned.set()

    def kill_switch_active(self) -> None:
        """The kill switch of its run is active; only an orphaned venue acts on it, otherwise control does."""
        self._kill_switch.set()

    async def run(
        self, host: str, folder: Path, candles: Iterator[Candle], ready: Callable[[VenueEndpoints], None]
    ) -> None:
        """Serve until `stop`.

        folder: of the control socket; only its owner may access it. candles: from the replay's first row on; the market
        is at its open.
        """
        loop = asyncio.get_running_loop()

        def publish_user_events(events: list[dict[str, Any]]) -> None:
            loop.call_soon(self._user_stream.publish, events)  # after the answer to the client's request

        self.exchange.on_user_events = publish_user_events
        replay = self._replay = Replay(self.market, self.exchange, candles, self._start_position, self._plan.max_bars)
        faults = FaultController(FaultTarget(self.hooks, self._server, self.exchange), self._log_event)
        control = ControlSocket(faults, self._plan.token, self._status, self._account_snapshot, self._flattener)
        port = await self._server.listen(host, self._plan.port)
        await control.open(folder)
        ready(self._endpoints(host, port))
        tasks = [
            asyncio.ensure_future(self._publisher.run()),
            asyncio.ensure_future(self._upkeep()),
            asyncio.ensure_future(
                replay.run(
                    self._first_subscription(),
                    ReplayPacing(self._plan.speed, self._before_minute, self._deliver_account_updates),
                )
            ),
            asyncio.ensure_future(self._outlive_control()),
        ]
        stopping = asyncio.ensure_future(self._stopped())
        pending = {stopping, *tasks}
        try:
            while not stopping.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # raises the exception of a task that failed
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await control.close()
            await self._server.stop()
            self._log_counters()

    def _endpoints(self, host: str, port: int) -> VenueEndpoints:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return VenueEndpoints(
            rest_url=f"http://{address}",
            ws_url=f"ws://{address}/ws",
            ws_trading_url=f"ws://{address}/ws-fapi/v1",
            api_key=self._plan.key.api_key,
            api_secret=self._plan.key.api_secret,
        )

    async def _first_subscription(self) -> None:
        if self._plan.start in ("kline_1m", "kline"):
            await self._streams.candles_requested.wait()
        elif self._plan.start == "any":
            await self._streams.any_requested.wait()

    def _replay_followed(self) -> asyncio.Event:
        """An event that is set while the replay has subscribers."""
        if self._plan.start in ("kline_1m", "kline"):
            return self._streams.candles_subscribed
        always = asyncio.Event()
        always.set()
        return always

    async def _before_minute(self, done: int) -> None:
        """Wait until the next minute may begin. done: minutes replayed since the start."""
        pace = self._plan.pace
        if pace == "bar_done":
            await self._bar_pacing.wait_for_bar(self._start_position.minute + done)
        elif pace == "drained":
            await self._server.clients.wait_drained(DRAIN_SECONDS)
            await asyncio.sleep(0)

    async def _deliver_account_updates(self) -> None:
        """With bar pacing, clients receive a minute's account updates before the minute's candle.

        The two are sent over different sockets: at full speed the candle would often arrive first.
        """
        if self._plan.pace != "bar_done" or self._ledger.transactions == self._delivered_transactions:
            return
        self._delivered_transactions = self._ledger.transactions
        await asyncio.sleep(0)  # the updates of the last tick are queued now
        connections = self._user_stream.connections()
        await asyncio.gather(*(connection.wait_read(ACCOUNT_UPDATE_SECONDS) for connection in connections))
        await asyncio.sleep(PROCESSING_SECONDS)

    async def _stopped(self) -> None:
        await self._stop.wait()

    async def _outlive_control(self) -> None:
        """Serve until the clients have disconnected or the time is over; then apply the orphan policy and end.

        If the kill switch becomes active meanwhile, the account is flattened at once, whatever the policy.
        """
        await self._orphaned.wait()
        loop = asyncio.get_running_loop()
        policy, deadline = self._plan.on_orphan, loop.time() + self._plan.orphan_seconds
        reason, halted = None, False
        while reason is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(ORPHAN_POLL_SECONDS):
                    await self._orphan_stop.wait()
            if self._kill_switch.is_set() and not halted:
                halted, policy = True, "flatten"
                with suppress(LabError):  # it is repeated at the end
                    await self._flattener.flatten("kill switch, without control", hold=True)
            reason = end_reason(
                policy,
                flat=self.exchange.is_flat,
                connections=self._server.connections,
                timed_out=loop.time() >= deadline,
                stop_requested=self._orphan_stop.is_set(),
            )
        try:
            if policy == "flatten":
                await self._flatten(reason)
                await asyncio.sleep(0)  # the account updates are queued now
                await self._server.clients.wait_drained(FINAL_UPDATE_SECONDS)
        finally:
            account = self.exchange.account
            state = {"position": f"{account.holding.position:f}", "open_orders": len(account.open)}
            self._log_event(
                "ended_without_control", {"reason": reason, "connections": self._server.connections, **state}
            )
        self._stop.set()

    async def _flatten(self, reason: str) -> None:
        """A refusal is final: the fault that causes it is part of the run."""
        for remaining_attempts in reversed(range(FLATTEN_ATTEMPTS)):
            try:
                await self._flattener.flatten(f"without control: {reason}", hold=True)
                return
            except Refused:
                return
            except LabError:
                if not remaining_attempts:
                    raise
                await asyncio.sleep(FLATTEN_RETRY_SECONDS)

    async def _upkeep(self) -> None:
        for round_number in count(1):
            await asyncio.sleep(UPKEEP_SECONDS)
            self._user_stream.expire()
            self._server.reset_expired()
            if round_number % COUNTER_ROUNDS == 0:
                self._log_counters()

    def _log_counters(self) -> None:
        counts = self.counters.changed_counts()
        if counts:
            self._log_event("requests_rejected", {"counts": counts})

    def _status(self) -> dict[str, Any]:
        return {
            **self.progress().model_dump(),
            "connections": self._server.connections,
            "turned_away": self.counters.counts(),
        }

    def _account_snapshot(self) -> AccountSnapshot:
        return account_snapshot(self.exchange, self.progress(), self._clock.now_ns())

    def progress(self) -> VenueProgress:
        replay, account = self._replay, self.exchange.account
        last = self.market.klines.rows("1m", 1)
        return VenueProgress(
            state=replay.state if replay else "holding",
            minutes=replay.minutes if replay else self._start_position.minute,
            last_open=iso_minute(last[-1].open_ms) if last else None,
            messages=self._server.clients.messages,
            clients=len(self._server.clients),
            open_orders=len(account.open),
            position=f"{account.holding.position:f}",
            lag_ms=round(replay.lag_ms, 1) if replay else 0.0,
            failed_ledger_writes=self.counters.number(FAILED_LEDGER_WRITES),
        )
