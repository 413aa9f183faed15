"""The kill switch in the engine child: its own thread watches it, independent of control and of the engine's thread."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from opslab.killswitch.watcher import SwitchWatch
from opslab.model.messages.engine_messages import EnginePlan, LivePlan
from opslab.model.pipe.messages import Halted
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.nautilus.live.rest_flatten import RestFlattener
from opslab.nautilus.strategy.guarded import StrategyRecorder
from opslab.nautilus.strategy.live_recorder import LiveStrategyRecorder
from opslab.store.layout import Layout
from opslab.system import SystemClock

Halt = Callable[[Mapping[str, Any]], None]
"""Stops the run; its argument has the fields of the switch. From any thread; idempotent."""


def watch_switch(plan: EnginePlan | LivePlan, halt: Halt, *, polls: bool) -> None:
    if plan.home is not None:
        layout = Layout(Path(plan.home))
        SwitchWatch(layout, RunId(plan.run_id), lambda switch: halt(asdict(switch)), polls=polls).start()


def live_halt(recorder: LiveStrategyRecorder, rest_flattener: RestFlattener) -> Halt:
    """Close the gate, then flatten at the venue, then send messages: control may have stopped reading them."""
    first_call = threading.Lock()

    def halt(switch: Mapping[str, Any]) -> None:
        if not first_call.acquire(blocking=False):
            return
        closed_at = recorder.halt()
        rest_flattener.start()
        recorder.messages.send(Halted(switch=dict(switch), gate_closed_at=closed_at))
        recorder.report_gate()

    return halt


def backtest_halt(recorder: StrategyRecorder) -> Halt:
    """The run ends at its next callback; control ends a run whose handler does not return."""

    def halt(switch: Mapping[str, Any]) -> None:
        recorder.halted = recorder.stop_requested = True
        closed_at = iso(SystemClock().now_ns())
        recorder.messages.send(Halted(switch=dict(switch), gate_closed_at=closed_at))

    return halt
