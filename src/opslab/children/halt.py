"""The kill switch in the engine child: watched by a thread of its own, whatever control and the engine's thread do."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from opslab.killswitch.watcher import SwitchWatch
from opslab.model.messages.engine_messages import EnginePlan, Halted, LivePlan
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.nautilus.live.rest_flatten import RestFlattener
from opslab.nautilus.strategy.guarded import StrategyRecorder
from opslab.nautilus.strategy.live_recorder import LiveStrategyRecorder
from opslab.store.layout import Layout
from opslab.system import SystemClock

Halt = Callable[[Mapping[str, Any]], None]
"""Stops the run; takes the fields of the switch. Called from any thread, more than once is as once."""


def watch_switch(plan: EnginePlan | LivePlan, halt: Halt, *, polls: bool) -> None:
    if plan.home is not None:
        layout = Layout(Path(plan.home))
        SwitchWatch(layout, RunId(plan.run_id), lambda switch: halt(asdict(switch)), polls=polls).start()


def live_halt(recorder: LiveStrategyRecorder, rest_flattener: RestFlattener) -> Halt:
    """Gate first, then the venue; what is told of it comes last: control may have stopped to listen."""
    one = threading.Lock()

    def halt(switch: Mapping[str, Any]) -> None:
        if not one.acquire(blocking=False):
            return
        closed_at = recorder.halt()
        rest_flattener.start()
        recorder.messages.send({"halted": Halted(switch=dict(switch), gate_closed_at=closed_at).model_dump()})
        recorder.report_gate()

    return halt


def backtest_halt(recorder: StrategyRecorder) -> Halt:
    """The run ends from its next callback; a handler that does not return is control's to end."""

    def halt(switch: Mapping[str, Any]) -> None:
        recorder.halted = recorder.stop = True
        closed_at = iso(SystemClock().now_ns())
        recorder.messages.send({"halted": Halted(switch=dict(switch), gate_closed_at=closed_at).model_dump()})

    return halt
