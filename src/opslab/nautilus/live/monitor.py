"""What stands beside the strategy: it watches what comes in, beats, answers control's words, and sees to the end.

All of it is done on the engine's thread, driven by one timer and by what comes in. Other threads leave plain values
for it to find: they must not touch the node.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from opslab.model.messages.engine_messages import LivePlan
from opslab.model.messages.paper_messages import FEEDS, EngineHeartbeat, FeedName
from opslab.model.primitives.instant import NS_PER_SECOND, iso
from opslab.nautilus.live.bar_tracker import BarTracker
from opslab.nautilus.live.feed_state import Feed, FeedChange
from opslab.nautilus.live.heartbeat import EngineVitals, HeartbeatTimer, memory_bytes
from opslab.nautilus.live.node_state import NodeState
from opslab.nautilus.live.shutdown import ShutdownSequence
from opslab.nautilus.strategy.live_recorder import LiveStrategyRecorder
from opslab.ports import Clock

STALL_SECONDS = 0.25
"""A tick so late means that the engine was held up: what it has not handled yet says nothing of the feeds."""
CATCH_UP_SECONDS = 0.5
"""Behind a stall, until feeds are judged again."""
CARRIES: dict[str, tuple[FeedName, ...]] = {
    "binance-futures-market-streams": ("bars", "trades"),
    "binance-futures-public-streams": ("quotes",),
}
"""Which feeds come over which of the adapter's sockets (measured: it subscribes to them there)."""

USER_STREAM = "binance-futures-user-streams"


@dataclass(slots=True)
class ControlCommands:
    """What control said: filled by the thread that reads, emptied by the monitor."""

    snapshots: deque[int] = field(default_factory=deque)
    backlogged: Callable[[], bool] = lambda: False
    """Whether control has stopped to read what it is told."""


class Monitor:
    def __init__(
        self,
        plan: LivePlan,
        recorder: LiveStrategyRecorder,
        commands: ControlCommands,
        state: NodeState,
        shutdown: ShutdownSequence,
        ask_again: Callable[[], None],
    ) -> None:
        """Made when the node runs. ask_again: has the engine ask the venue for its balances and orders."""
        self._plan, self._recorder, self._commands = plan, recorder, commands
        self._state, self._shutdown, self._ask_again = state, shutdown, ask_again
        self._clock: Clock = recorder.clock
        now = self._clock.monotonic_s()
        self._feeds = {name: Feed(plan.silent_after_seconds.get(name, float("inf")), now) for name in FEEDS}
        self._quotes, self._trades = self._feeds["quotes"], self._feeds["trades"]
        self._bars = BarTracker(plan.last_close_ns, self._none_in_flight, self._send_handled)
        self._pulse = HeartbeatTimer(now)
        self._vitals = EngineVitals()
        self._changes = 0
        self._judges_from = now
        recorder.after_event = self._settle_bars

    # What comes in. `lag_ns`: from its receipt to here.

    def bar(self, ts_event: int, lag_ns: int) -> None:
        now = self._clock.monotonic_s()
        self._feeds["bars"].message(now)
        self._vitals.record_lag(lag_ns)
        late = self._bars.saw(ts_event, now)
        if late is not None:
            payload = {**asdict(late), "skipped": self._recorder.skips_stale_bars}
            self._recorder.messages.send({"event": "bar_out_of_order", "payload": payload})
            return
        if self._recorder.handled_ns >= ts_event:  # the strategy has had it already
            self._bars.returned()
            self._bars.settle(now)

    def quote(self, lag_ns: int) -> None:
        self._quotes.message(self._clock.monotonic_s())
        self._vitals.record_lag(lag_ns)

    def trade(self, lag_ns: int) -> None:
        self._trades.message(self._clock.monotonic_s())
        self._vitals.record_lag(lag_ns)

    def socket(self, endpoint: str, is_up: bool, ago_ns: int) -> None:
        """At once, so that one which is back before anybody looks is seen all the same."""
        before, state = self._vitals.sockets.get(endpoint), "connected" if is_up else "disconnected"
        self._vitals.sockets[endpoint] = state
        if before is not None:
            noticed = round(ago_ns / NS_PER_SECOND, 6)
            payload = {"socket": endpoint, "from": before, "to": state, "noticed_after_seconds": noticed}
            self._recorder.messages.send({"event": "socket_state_changed", "payload": payload})
            if is_up and endpoint == USER_STREAM:  # also when the adapter exchanges it, as it does behind each loss
                self._ask_again()  # what it was to be told meanwhile is lost
        now = self._clock.monotonic_s()
        at = now - ago_ns / NS_PER_SECOND
        for name in CARRIES.get(endpoint, ()):
            feed = self._feeds[name]
            if is_up:
                feed.connected(at)
            else:
                feed.disconnected(at)
            self._send_feed_change(name, feed.look(now))

    def queue(self, event: Any) -> None:
        self._vitals.record_queue(event)

    # What it does.

    def tick(self, late_seconds: float) -> None:
        if self.is_finished:
            return
        now = self._clock.monotonic_s()
        self._bars.returned()  # what the engine gave out a bar for is done before a timer fires
        self._bars.settle(now)
        self._judge_feeds(now, late_seconds)
        while self._commands.snapshots:
            self.send_snapshot(self._commands.snapshots.popleft())
        late = self._pulse.late_seconds(now)
        if late is not None:
            self._recorder.messages.offer({"heartbeat": self._beat(now, late).model_dump()})
        if self._commands.backlogged():
            self._recorder.request_stop("control_backlog")
        if self._bars.all_done(now):
            self._recorder.request_stop("last_bar")
        if self._recorder.stop and self._shutdown.step(now):
            self._recorder.messages.send({"heartbeat": self._beat(now, self._pulse.last(now)).model_dump()})

    @property
    def is_finished(self) -> bool:
        """Whether it has told all, and let the node stop."""
        return self._shutdown.is_finished

    @property
    def saw_last_bar(self) -> bool:
        return self._bars.newest_ns is not None and self._bars.newest_ns >= self._plan.last_close_ns

    def send_snapshot(self, ask: int) -> None:
        now = self._clock.monotonic_s()
        waiting = self._recorder.in_flight.waiting(now)
        snapshot = self._state.snapshot(ask, self._clock.now_ns(), waiting)
        self._recorder.messages.send({"snapshot": snapshot.model_dump()})

    def _judge_feeds(self, now: float, late_seconds: float) -> None:
        if late_seconds > STALL_SECONDS:
            self._judges_from = now + CATCH_UP_SECONDS
        if now < self._judges_from or self.saw_last_bar:  # behind the last bar there is no market any more
            return
        for name, feed in self._feeds.items():
            self._send_feed_change(name, feed.look(now))

    def _send_feed_change(self, name: FeedName, change: FeedChange | None) -> None:
        if change is None:
            return
        self._changes += 1
        age = change.age_seconds
        payload = {
            "number": self._changes,
            "feed": name,
            "from": change.before,
            "to": change.after,
            "noticed_after_seconds": round(change.noticed_after_seconds, 6),
            "age_seconds": None if age is None else round(age, 6),
        }
        self._recorder.messages.send({"event": "feed_state_changed", "payload": payload})

    def _beat(self, now: float, late: float) -> EngineHeartbeat:
        feeds, recorder = self._feeds, self._recorder
        ages = {name: feed.age_seconds(now) for name, feed in feeds.items()}
        now_ns = self._clock.now_ns()
        return EngineHeartbeat(
            number=self._pulse.number,
            sent_at=iso(now_ns),
            bars=self._bars.count,
            quotes=self._quotes.count,
            trades=self._trades.count,
            last_bar_ns=self._bars.newest_ns,
            ages_seconds={name: None if age is None else round(age, 6) for name, age in ages.items()},
            feeds={name: feed.state for name, feed in feeds.items()},
            sockets=dict(self._vitals.sockets),
            queue=self._vitals.queue(),
            gate_closed=recorder.stop,
            orders_gated=recorder.gated,
            memory_bytes=memory_bytes(),
            event_lag_ms=self._vitals.take_max_lag_ms(),
            timer_lag_ms=round(late * 1000, 3),
            order_round_trips_ms=tuple(round(trip * 1000, 3) for trip in recorder.in_flight.take_round_trips()),
            node=self._state.snapshot(0, now_ns, recorder.in_flight.waiting(now)),
        )

    def _settle_bars(self) -> None:
        self._bars.settle(self._clock.monotonic_s())

    def _none_in_flight(self) -> bool:
        return self._recorder.in_flight.is_empty()

    def _send_handled(self, bars: int) -> None:
        if self._plan.acknowledges_bars:
            self._recorder.messages.send({"bars_done": bars})
