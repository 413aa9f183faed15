"""The actor that connects the monitor to the engine: subscribes, runs a timer, passes events on."""

from collections.abc import Callable
from typing import Any

from nautilus_trader.common import Cache, DataActor, SocketState
from nautilus_trader.model import Bar, BarType, QuoteTick, TradeTick

from opslab.model.primitives.instant import NS_PER_SECOND
from opslab.nautilus.live.monitor import Monitor
from opslab.nautilus.strategy.live_recorder import LiveStrategyRecorder

TICK_NS = 10_000_000


class MonitorActor(DataActor):
    """Runs beside the strategy. An exception here fails the run as a failure of the lab, and stops the node at once."""

    recorder: LiveStrategyRecorder
    bar_type: BarType
    make_monitor: Callable[[Cache], Monitor]
    stop_node: Callable[[], None]

    @staticmethod
    def build(
        recorder: LiveStrategyRecorder, make_monitor: Callable[[Cache], Monitor], stop_node: Callable[[], None]
    ) -> "MonitorActor":
        """make_monitor: called when the node runs."""
        actor = MonitorActor()
        actor.recorder, actor.make_monitor, actor.stop_node = recorder, make_monitor, stop_node
        actor.bar_type = BarType.from_str(recorder.bar_type)
        return actor

    def on_start(self) -> None:
        self._monitor = self.make_monitor(self.cache)
        self._now_ns = self.clock.timestamp_ns
        instrument_id = self.bar_type.instrument_id
        self.subscribe_socket_state()
        self.subscribe_queue_state()
        self.subscribe_quotes(instrument_id)
        self.subscribe_trades(instrument_id)
        self.subscribe_bars(self.bar_type)
        self.clock.set_timer_ns("opslab-monitor", TICK_NS, callback=self._on_tick)
        self.recorder.is_running = True

    def on_bar(self, bar: Bar) -> None:
        self._call(self._monitor.bar, bar.ts_event, self._now_ns() - bar.ts_init)

    def on_quote(self, quote: QuoteTick) -> None:
        self._call(self._monitor.quote, self._now_ns() - quote.ts_init)

    def on_trade(self, trade: TradeTick) -> None:
        self._call(self._monitor.trade, self._now_ns() - trade.ts_init)

    def on_socket_state(self, event: Any) -> None:
        is_up = event.state == SocketState.CONNECTED
        self._call(self._monitor.socket, event.endpoint, is_up, self._now_ns() - event.ts_event)

    def on_queue_state(self, event: Any) -> None:
        self._call(self._monitor.queue, event)

    def _on_tick(self, event: Any) -> None:
        self._call(self._monitor.tick, (self._now_ns() - event.ts_event) / NS_PER_SECOND)

    def _call(self, method: Callable[..., None], *values: Any) -> None:
        """Call a method of the monitor; record an exception before the engine swallows it."""
        try:
            method(*values)
        except BaseException as error:
            self.recorder.record_lab_exception(error)
            self.stop_node()
            raise
