"""What is seen of a strategy in a live node, beside what `Watch` sees of any: bars that came twice, orders that wait.

Whatever thread asks for the end, the gate is closed when `ask_to_end` returns. The rest is the engine thread's.
"""

import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.paper_messages import Flattened, OnStop
from opslab.model.primitives.instant import iso
from opslab.model.run.metadata import Failure
from opslab.nautilus.canonical import bar_row, event_row
from opslab.nautilus.strategy.guarded import Guarded, Handler, StrategyRecorder, described
from opslab.nautilus.strategy.inflight_orders import InFlightOrders
from opslab.ports import Clock


@dataclass(slots=True, kw_only=True)
class LiveStrategyRecorder(StrategyRecorder):
    clock: Clock
    bar_type: str
    """The bars that the run is about."""
    skips_stale_bars: bool
    """Whether a bar that is not newer than the last one is kept from the strategy. It is not counted anyway."""
    stop_reason: StopReason | None = None
    """Why the run is to end; the first reason there was."""
    in_flight: InFlightOrders = field(default_factory=InFlightOrders)
    handled_ns: int = 0
    """`ts_event` of the newest bar that the strategy's handler returned from."""
    after_event: Callable[[], None] = lambda: None
    """Called behind every order event."""
    is_running: bool = False
    """Whether the node runs, so that the monitor sees to its end."""
    is_flattened_reported: bool = False
    engine_attempt: Flattened | None = None
    """What the engine did in vain to flatten, until its node was stopped."""
    _last_ns: int = 0
    _gate_closed_ns: int = 0
    _gate_reported: bool = False
    _gate_lock: threading.Lock = field(default_factory=threading.Lock)

    def request_stop(self, stop_reason: StopReason) -> None:
        """From any thread."""
        self.stop_reason = self.stop_reason or stop_reason
        self.stop = True
        self._gate_closed_ns = self._gate_closed_ns or self.clock.now_ns()

    def halt(self) -> str:
        """Of the kill switch, from any thread: as `ask_to_end`, and the account is flattened whatever was asked for.

        Returns since when the gate is closed.
        """
        self.halted = True
        self.stop = True
        self._gate_closed_ns = self._gate_closed_ns or self.clock.now_ns()
        self.stop_reason = "kill_switch"
        return iso(self._gate_closed_ns)

    def flattens(self, on_stop: OnStop) -> bool:
        return self.halted or on_stop == "flatten"

    def report_gate(self) -> None:
        """Say once that the gate is closed. From any thread."""
        with self._gate_lock:
            first, self._gate_reported = not self._gate_reported, True
        if first:
            self.messages.send({"event": "gate_closed", "payload": {"reason": self.stop_reason}})

    def report_flattened(self, flattened: Flattened) -> None:
        self.is_flattened_reported = True
        self.messages.send({"flattened": flattened.model_dump()})

    def record_lab_exception(self, error: BaseException) -> None:
        """Of the lab's own code on the engine's thread."""
        if self.failure is None:
            text = "".join(traceback.format_exception(error))
            message = f"the monitor raised {described(error)}"
            self.failure = Failure(kind="lab", message=self.redact(message), detail=self.redact(text))
        self.request_stop("failure")

    def record_exception(self, where: str, error: BaseException) -> None:
        self.stop_reason = self.stop_reason or "failure"
        StrategyRecorder.record_exception(self, where, error)

    def record_values(self, name: str, values: dict[str, Any]) -> None:
        self.in_flight.apply(values, self.clock.monotonic_s())
        StrategyRecorder.record_values(self, name, values)

    def event_payload(self, values: dict[str, Any]) -> dict[str, Any]:
        """Of a new order also what its strategy had seen: it carries the wall clock's time, not the market's."""
        told = event_row(values)
        if values["type"] == "OrderInitialized":
            if self._last_ns:
                told["bar_ns"] = self._last_ns
            if self.stop:
                told["origin"] = "on_stop"
            if values.get("reconciliation"):
                told["reconciliation"] = True
        return told

    def wrap_bar_handler(self, strategy: Guarded, handler: Handler) -> Handler:
        def on_bar(bar: Any) -> None:
            ours = str(bar.bar_type) == self.bar_type
            if ours and bar.ts_event <= self._last_ns:
                if self.skips_stale_bars:
                    return
            else:
                self.bars += 1
            if ours:
                self._last_ns = max(self._last_ns, bar.ts_event)
                self.messages.send({"row": bar_row(bar), "file": "bars"})
            try:
                handler(bar)
            except BaseException as error:  # noqa: BLE001  (whatever a strategy raises is recorded)
                self.record_exception("on_bar", error)
            if ours:
                self.handled_ns = max(self.handled_ns, bar.ts_event)

        return on_bar

    def wrap_order_event_handler(self, handler: Handler) -> Handler:
        inner = StrategyRecorder.wrap_order_event_handler(self, handler)

        def on_order_event(event: Any) -> None:
            try:
                inner(event)
            finally:
                self.after_event()

        return on_order_event

    def wrap_start_handler(self, handler: Handler) -> Handler:
        """One that raises would end the node at once, with the account as it is: the run ends as any other instead."""

        def on_start() -> None:
            try:
                handler()
            except BaseException as error:  # noqa: BLE001
                self.record_exception("on_start", error)

        return on_start
