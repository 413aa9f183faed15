"""Record a strategy in a live node: also orders in flight, bars out of order, and the reason for the end of the run.

Any thread may request the end: the gate is closed when `request_stop` or `halt` returns. All else belongs to the
engine's thread.
"""

import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opslab.model.journal.engine_events import ForcedClose, GateClosed
from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.forced_close import forced_close_kind
from opslab.model.messages.paper_messages import Flattened, OnStop
from opslab.model.pipe.messages import OrderEvent
from opslab.model.primitives.instant import iso
from opslab.model.run.metadata import Failure
from opslab.nautilus.canonical import bar_row, event_row
from opslab.nautilus.strategy.external_orders import ExternalOrders
from opslab.nautilus.strategy.guarded import Guarded, Handler, StrategyRecorder, describe_exception
from opslab.nautilus.strategy.inflight_orders import InFlightOrders
from opslab.nautilus.strategy.served_data import Check, paper_check
from opslab.ports import Clock


@dataclass(slots=True, kw_only=True)
class LiveStrategyRecorder(StrategyRecorder):
    clock: Clock
    speed: float | None
    """Market minutes per minute; None: as fast as the engine allows."""
    skips_stale_bars: bool
    """Whether the strategy does not receive a bar that is not newer than the last one. It is never counted."""
    external_orders: ExternalOrders
    """Their events are recorded; the strategy does not receive them unless it claims them."""
    stop_reason: StopReason | None = None
    """The first reason for the end of the run; a halt replaces it."""
    in_flight: InFlightOrders = field(default_factory=InFlightOrders)
    handled_bar_ns: int = 0
    """`ts_event` of the newest bar from which the strategy's handler has returned."""
    after_event: Callable[[], None] = lambda: None
    """Called after every order event."""
    is_running: bool = False
    """Whether the node runs, so that the monitor takes care of its end."""
    is_flattened_reported: bool = False
    engine_attempt: Flattened | None = None
    """A flatten by the engine that failed: it ended when the node was stopped."""
    _last_bar_ns: int = 0
    _gate_closed_ns: int = 0
    _is_gate_reported: bool = False
    _gate_lock: threading.Lock = field(default_factory=threading.Lock)

    def subscription_check(self) -> Check:
        return paper_check(self.bar_type, self.speed)

    def request_stop(self, stop_reason: StopReason) -> None:
        """From any thread."""
        self.stop_reason = self.stop_reason or stop_reason
        self.stop_requested = True
        self._gate_closed_ns = self._gate_closed_ns or self.clock.now_ns()

    def halt(self) -> str:
        """Stop by the kill switch, from any thread: as `request_stop`, and the account is flattened in any case.

        Returns the time at which the gate was closed.
        """
        self.halted = True
        self.stop_requested = True
        self._gate_closed_ns = self._gate_closed_ns or self.clock.now_ns()
        self.stop_reason = "kill_switch"
        return iso(self._gate_closed_ns)

    def must_flatten(self, on_stop: OnStop) -> bool:
        return self.halted or on_stop == "flatten"

    def report_gate(self) -> None:
        """Send once that the gate is closed. From any thread."""
        with self._gate_lock:
            is_first, self._is_gate_reported = not self._is_gate_reported, True
        if is_first:
            self.messages.send(GateClosed(reason=self.stop_reason or "failure"))

    def report_flattened(self, flattened: Flattened) -> None:
        self.is_flattened_reported = True
        self.messages.send(flattened)

    def record_lab_exception(self, error: BaseException) -> None:
        """An exception of the lab's own code on the engine's thread."""
        if self.failure is None:
            text = "".join(traceback.format_exception(error))
            message = f"the monitor raised {describe_exception(error)}"
            self.failure = Failure(kind="lab", message=self.redact(message), detail=self.redact(text))
        self.request_stop("failure")

    def record_exception(self, where: str, error: BaseException) -> None:
        self.stop_reason = self.stop_reason or "failure"
        StrategyRecorder.record_exception(self, where, error)

    def record_order_event(self, event: Any) -> None:
        """The payload is made at once: it depends on the state of the run."""
        values = event.to_dict()
        self.in_flight.apply(values, self.clock.monotonic_s())
        self.note_order_event(event)
        self.messages.send(OrderEvent("order_event", self._payload(values)))
        if values["type"] == "OrderInitialized" and values.get("reconciliation"):
            self._check_forced_close(values)

    def _check_forced_close(self, order: Mapping[str, object]) -> None:
        """The gate is closed before the strategy receives the event.

        order: the first event of an order that the engine learned of from the venue.
        """
        client_order_id = str(order["client_order_id"])
        kind = forced_close_kind(client_order_id)
        if kind:
            side, quantity = str(order["order_side"]), str(order["quantity"])
            self.messages.send(ForcedClose(kind=kind, client_order_id=client_order_id, side=side, quantity=quantity))
            self.request_stop("forced_close")

    def _payload(self, values: dict[str, Any]) -> dict[str, Any]:
        """With the last bar of the strategy for a new order: its own time is the wall clock's, not the market's."""
        payload = event_row(values, self.instrument_id)
        if values["type"] == "OrderInitialized":
            if self._last_bar_ns:
                payload["bar_ns"] = self._last_bar_ns
            if self.stop_requested:
                payload["origin"] = "on_stop"
            if values.get("reconciliation"):
                payload["reconciliation"] = True
        return payload

    def wrap_bar_handler(self, strategy: Guarded, handler: Handler) -> Handler:
        def on_bar(bar: Any) -> None:
            is_run_bar = self.subscriptions.is_own(bar)
            if not is_run_bar:
                self.subscriptions.count_other(bar)
            elif bar.ts_event <= self._last_bar_ns:
                if self.skips_stale_bars:
                    return
            else:
                self.bars += 1
            if is_run_bar:
                self._last_bar_ns = max(self._last_bar_ns, bar.ts_event)
                self.messages.send(bar_row(bar))
            try:
                handler(bar)
            except BaseException as error:  # noqa: BLE001  (any exception of a strategy is recorded)
                self.record_exception("on_bar", error)
            if is_run_bar:
                self.handled_bar_ns = max(self.handled_bar_ns, bar.ts_event)

        return on_bar

    def wrap_order_event_handler(self, handler: Handler) -> Handler:
        inner = StrategyRecorder.wrap_order_event_handler(self, self.external_orders.skip_events(handler))

        def on_order_event(event: Any) -> None:
            try:
                inner(event)
            finally:
                self.after_event()

        return on_order_event

    def wrap_handler(self, name: str, handler: Handler) -> Handler:
        if name.startswith("on_order_"):
            handler = self.external_orders.skip_events(handler)
        return StrategyRecorder.wrap_handler(self, name, handler)

    def wrap_start_handler(self, handler: Handler) -> Handler:
        """An exception would end the node at once, with the account as it is: it ends the run in the usual way."""

        def on_start() -> None:
            try:
                handler()
            except BaseException as error:  # noqa: BLE001  (any exception of a strategy is recorded)
                self.record_exception("on_start", error)

        return on_start
