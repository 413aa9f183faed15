"""The halt of a backtest: its engine ends at the next callback or is killed; there is no account to flatten."""

import queue
from collections.abc import Mapping

from opslab.killswitch.state import Switch
from opslab.model.run.halt_summary import HaltFacts
from opslab.runs.processes.child_process import ChildProcess
from opslab.runs.safety.halt_controller import HaltController

KILL_SECONDS = 0.5
"""Time for the engine to end after a halt. A blocked engine is then killed; the run keeps what was received."""


class BacktestHaltController:
    def __init__(self, halt: HaltController, engine: ChildProcess) -> None:
        self._halt = halt
        self._engine = engine
        self._switches: queue.SimpleQueue[Switch] = queue.SimpleQueue()
        self._watch = halt.watch(self._on_switch)

    def start(self) -> None:
        self._watch.start()

    def close(self) -> None:
        self._watch.close()
        self._record_switches()

    @property
    def is_on(self) -> bool:
        return self._halt.is_on

    def start_halt(self, switch: Switch, gate_closed_at: str | None = None) -> None:
        """gate_closed_at: as the engine reported it."""
        self._halt.start(switch, gate_closed_at)

    def poll(self) -> None:
        """Record switches seen by the watcher. Call from the thread that writes the journal."""
        self._record_switches()

    def summary(self, denials: Mapping[str, int]) -> HaltFacts:
        self._halt.gate_closed_now("engine_ended")
        return self._halt.summary(denials.get("KILL_SWITCH", 0))

    def _on_switch(self, switch: Switch) -> None:
        """Called from the watcher's thread: stops the engine at once, even when the journal blocks."""
        self._engine.stop_within(KILL_SECONDS)
        self._switches.put(switch)

    def _record_switches(self) -> None:
        while not self._switches.empty():
            self._halt.start(self._switches.get())
