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
    why: StopReason | None = None
    """Why the run is to end; the first reason there was."""
    answers: InFlightOrders = field(default_factory=InFlightOrders)
    handled_ns: int = 0
    """`ts_event` of the newest bar that the strategy's handler returned from."""
    after_event: Callable[[], None] = lambda: None
    """Called behind every order event."""
    began: bool = False
    """Whether the node runs, so that the monitor sees to its end."""
    flattened_told: bool = False
    tried: Flattened | None = None
    """What the engine did in vain to flatten, until its node was stopped."""
    _last_ns: int = 0
    _gate_closed_ns: int = 0
    _gate_told: bool = False
    _telling_gate: threading.Lock = field(default_factory=threading.Lock)

    def ask_to_end(self, why: StopReason) -> None:
        """From any thread."""
        self.why = self.why or why
        self.stop = True
        self._gate_closed_ns = self._gate_closed_ns or self.clock.now_ns()

    def halt(self) -> str:
        """Of the kill switch, from any thread: as `ask_to_end`, and the account is flattened whatever was asked for.

        Returns since when the gate is closed.
        """
        self.halted = True
        self.stop = True
        self._gate_closed_ns = self._gate_closed_ns or self.clock.now_ns()
        self.why = "kill_switch"
        return iso(self._gate_closed_ns)

    def flattens(self, on_stop: OnStop) -> bool:
        return self.halted or on_stop == "flatten"

    def tell_gate(self) -> None:
        """Say once that the gate is closed. From any thread."""
        with self._telling_gate:
            first, self._gate_told = not self._gate_told, True
        if first:
            self.frames.send({"event": "gate_closed", "payload": {"reason": self.why}})

    def tell_flattened(self, flattened: Flattened) -> None:
        self.flattened_told = True
        self.frames.send({"flattened": flattened.model_dump()})

    def saw_own_mistake(self, error: BaseException) -> None:
        """Of the lab's own code on the engine's thread."""
        if self.failure is None:
            text = "".join(traceback.format_exception(error))
            message = f"the monitor raised {described(error)}"
            self.failure = Failure(kind="lab", message=self.clean(message), detail=self.clean(text))
        self.ask_to_end("failure")

    def saw_exception(self, where: str, error: BaseException) -> None:
        self.why = self.why or "failure"
        StrategyRecorder.saw_exception(self, where, error)

    def saw_values(self, name: str, values: dict[str, Any]) -> None:
        self.answers.saw(values, self.clock.monotonic_s())
        StrategyRecorder.saw_values(self, name, values)

    def told_event(self, values: dict[str, Any]) -> dict[str, Any]:
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

    def around_bar(self, strategy: Guarded, handler: Handler) -> Handler:
        def on_bar(bar: Any) -> None:
            ours = str(bar.bar_type) == self.bar_type
            if ours and bar.ts_event <= self._last_ns:
                if self.skips_stale_bars:
                    return
            else:
                self.bars += 1
            if ours:
                self._last_ns = max(self._last_ns, bar.ts_event)
                self.frames.send({"row": bar_row(bar), "file": "bars"})
            try:
                handler(bar)
            except BaseException as error:  # noqa: BLE001  (whatever a strategy raises is recorded)
                self.saw_exception("on_bar", error)
            if ours:
                self.handled_ns = max(self.handled_ns, bar.ts_event)

        return on_bar

    def around_order_event(self, handler: Handler) -> Handler:
        inner = StrategyRecorder.around_order_event(self, handler)

        def on_order_event(event: Any) -> None:
            try:
                inner(event)
            finally:
                self.after_event()

        return on_order_event

    def around_start(self, handler: Handler) -> Handler:
        """One that raises would end the node at once, with the account as it is: the run ends as any other instead."""

        def on_start() -> None:
            try:
                handler()
            except BaseException as error:  # noqa: BLE001
                self.saw_exception("on_start", error)

        return on_start
