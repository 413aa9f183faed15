"""Monitor a live node: feeds and sockets, heartbeats, control's commands, and the end of the run.

Everything runs on the engine's thread, driven by one timer and by incoming events. Other threads leave plain values
for the monitor: they must not touch the node.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opslab.model.journal.engine_events import BarOutOfOrder, FeedStateChanged, SocketStateChanged
from opslab.model.messages.engine_messages import LivePlan
from opslab.model.messages.paper_messages import FEEDS, EngineHeartbeat, FeedName
from opslab.model.pipe.messages import BarsDone
from opslab.model.primitives.instant import NS_PER_SECOND, iso
from opslab.nautilus.live.bar_tracker import BarTracker
from opslab.nautilus.live.feed_state import Feed, FeedChange
from opslab.nautilus.live.heartbeat import EngineVitals, HeartbeatTimer
from opslab.nautilus.live.node_state import NodeState
from opslab.nautilus.live.shutdown import ShutdownSequence
from opslab.nautilus.strategy.live_recorder import LiveStrategyRecorder
from opslab.ports import Clock

STALL_SECONDS = 0.25
"""A delay of the timer that means a stall of the engine: it has not handled all messages, so feeds are not judged."""
CATCH_UP_SECONDS = 0.5
"""Time after a stall until feeds are judged again."""
FEEDS_BY_SOCKET: dict[str, tuple[FeedName, ...]] = {
    "binance-futures-market-streams": ("bars", "trades"),
    "binance-futures-public-streams": ("quotes",),
}
"""The adapter's sockets, and the feeds that it subscribes to on each (measured)."""

USER_STREAM = "binance-futures-user-streams"


@dataclass(slots=True)
class ControlCommands:
    """Commands of control: filled by the thread that reads them, emptied by the monitor."""

    snapshots: deque[int] = field(default_factory=deque)
    """Request numbers."""
    backlogged: Callable[[], bool] = lambda: False
    """Whether control has stopped reading the engine's messages."""


class Monitor:
    def __init__(
        self,
        plan: LivePlan,
        recorder: LiveStrategyRecorder,
        commands: ControlCommands,
        state: NodeState,
        shutdown: ShutdownSequence,
        query_venue: Callable[[], None],
        memory_bytes: Callable[[], int],
    ) -> None:
        """Created when the node runs. query_venue: has the engine query its balances and orders at the venue.

        memory_bytes: resident memory of this process.
        """
        self._plan, self._recorder, self._commands = plan, recorder, commands
        self._state, self._shutdown = state, shutdown
        self._query_venue, self._memory_bytes = query_venue, memory_bytes
        self._clock: Clock = recorder.clock
        now = self._clock.monotonic_s()
        self._feeds = {name: Feed(plan.silent_after_seconds.get(name, float("inf")), now) for name in FEEDS}
        self._quotes, self._trades = self._feeds["quotes"], self._feeds["trades"]
        self._bars = BarTracker(plan.last_close_ns, recorder.in_flight.is_empty, self._send_bars_done)
        self._timer = HeartbeatTimer(now)
        self._vitals = EngineVitals()
        self._changes = 0
        self._judge_from = now
        recorder.after_event = self._report_processed_bars

    # Incoming events. `lag_ns`: time from the receipt of an event to its handler.

    def bar(self, ts_event: int, lag_ns: int) -> None:
        now = self._clock.monotonic_s()
        self._feeds["bars"].message(now)
        self._vitals.record_lag(lag_ns)
        out_of_order = self._bars.record(ts_event, now)
        self._recorder.received_bars = self._bars.count
        if out_of_order is not None:
            skipped, bar = self._recorder.skips_stale_bars, out_of_order
            self._recorder.messages.send(BarOutOfOrder(ts_event=bar.ts_event, newest=bar.newest, skipped=skipped))
            return
        if self._recorder.handled_bar_ns >= ts_event:  # the strategy has already handled it
            self._bars.handler_returned()
            self._bars.report_processed(now)

    def quote(self, lag_ns: int) -> None:
        self._quotes.message(self._clock.monotonic_s())
        self._vitals.record_lag(lag_ns)

    def trade(self, lag_ns: int) -> None:
        self._trades.message(self._clock.monotonic_s())
        self._vitals.record_lag(lag_ns)

    def socket(self, endpoint: str, is_up: bool, ago_ns: int) -> None:
        """Updates the feeds at once, so that a socket which reconnects before the next tick is recorded all the same.

        ago_ns: age of the socket's event.
        """
        before, state = self._vitals.sockets.get(endpoint), "connected" if is_up else "disconnected"
        self._vitals.sockets[endpoint] = state
        if before is not None:
            noticed = round(ago_ns / NS_PER_SECOND, 6)
            change = SocketStateChanged(socket=endpoint, from_state=before, to=state, noticed_after_seconds=noticed)
            self._recorder.messages.send(change)
            if is_up and endpoint == USER_STREAM:  # also when the adapter replaces it, as it does after each loss
                self._query_venue()  # the user stream's messages of the meantime are lost
        now = self._clock.monotonic_s()
        at = now - ago_ns / NS_PER_SECOND
        for name in FEEDS_BY_SOCKET.get(endpoint, ()):
            feed = self._feeds[name]
            if is_up:
                feed.connected(at)
            else:
                feed.disconnected(at)
            self._send_feed_change(name, feed.update(now))

    def queue(self, event: Any) -> None:
        self._vitals.record_queue(event)

    # The timer.

    def tick(self, late_seconds: float) -> None:
        if self.is_finished:
            return
        now = self._clock.monotonic_s()
        self._bars.handler_returned()  # the engine delivers a bar to all handlers before a timer fires
        self._bars.report_processed(now)
        self._judge_feeds(now, late_seconds)
        while self._commands.snapshots:
            self.send_snapshot(self._commands.snapshots.popleft())
        delay = self._timer.beat(now)
        if delay is not None:
            self._recorder.messages.offer(self._heartbeat(now, delay))
        if self._commands.backlogged():
            self._recorder.request_stop("control_backlog")
        if self._bars.is_finished(now):
            self._recorder.request_stop("last_bar")
        if self._recorder.stop_requested and self._shutdown.step(now, self.send_snapshot):
            self._recorder.messages.send(self._heartbeat(now, self._timer.final_beat(now)))

    @property
    def is_finished(self) -> bool:
        """Whether all messages are sent, and the node is stopped."""
        return self._shutdown.is_finished

    @property
    def has_last_bar(self) -> bool:
        return self._bars.newest_ns is not None and self._bars.newest_ns >= self._plan.last_close_ns

    def send_snapshot(self, request_number: int) -> None:
        now = self._clock.monotonic_s()
        in_flight = self._recorder.in_flight.updates(now)
        snapshot = self._state.snapshot(request_number, self._clock.now_ns(), in_flight)
        self._recorder.messages.send(snapshot)

    def _judge_feeds(self, now: float, late_seconds: float) -> None:
        if late_seconds > STALL_SECONDS:
            self._judge_from = now + CATCH_UP_SECONDS
        if now < self._judge_from or self.has_last_bar:  # after the last bar the market has ended
            return
        for name, feed in self._feeds.items():
            self._send_feed_change(name, feed.update(now))

    def _send_feed_change(self, name: FeedName, change: FeedChange | None) -> None:
        if change is None:
            return
        self._changes += 1
        age = change.age_seconds
        event = FeedStateChanged(
            number=self._changes,
            feed=name,
            from_state=change.before,
            to=change.after,
            noticed_after_seconds=round(change.noticed_after_seconds, 6),
            age_seconds=None if age is None else round(age, 6),
        )
        self._recorder.messages.send(event)

    def _heartbeat(self, now: float, delay: float) -> EngineHeartbeat:
        feeds, recorder = self._feeds, self._recorder
        ages = {name: feed.age_seconds(now) for name, feed in feeds.items()}
        now_ns = self._clock.now_ns()
        return EngineHeartbeat(
            number=self._timer.number,
            sent_at=iso(now_ns),
            bars=self._bars.count,
            quotes=self._quotes.count,
            trades=self._trades.count,
            last_bar_ns=self._bars.newest_ns,
            ages_seconds={name: None if age is None else round(age, 6) for name, age in ages.items()},
            feeds={name: feed.state for name, feed in feeds.items()},
            sockets=dict(self._vitals.sockets),
            queue=self._vitals.queue(),
            gate_closed=recorder.stop_requested,
            orders_gated=recorder.gated,
            memory_bytes=self._memory_bytes(),
            event_lag_ms=self._vitals.take_max_lag_ms(),
            timer_lag_ms=round(delay * 1000, 3),
            order_round_trips_ms=tuple(round(trip * 1000, 3) for trip in recorder.in_flight.take_round_trips()),
            dropped_messages=recorder.messages.dropped,
            node=self._state.snapshot(0, now_ns, recorder.in_flight.updates(now)),
        )

    def _report_processed_bars(self) -> None:
        self._bars.report_processed(self._clock.monotonic_s())

    def _send_bars_done(self, bars: int) -> None:
        if self._plan.acknowledges_bars:
            self._recorder.messages.send(BarsDone(bars=bars))
