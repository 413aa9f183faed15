"""Ends a run that was asked to stop, whatever its strategy looks at."""

from typing import Any

from nautilus_trader.common import DataActor

from opslab.nautilus.strategy.guarded import StrategyRecorder

EVERY_NS = 3_600_000_000_000
"""Simulated time between two looks: an hour of bars is a fraction of a millisecond."""


class StopActor(DataActor):
    """Beside a user's strategy, which may see no bar, or cancel every timer it has."""

    _recorder: StrategyRecorder

    def __new__(cls, recorder: StrategyRecorder) -> "StopActor":
        made: StopActor = super().__new__(cls)
        made._recorder = recorder
        return made

    def on_start(self) -> None:
        self.clock.set_timer_ns("opslab-stopper", EVERY_NS, callback=self._look)

    def _look(self, _event: Any) -> None:
        if self._recorder.stop:
            self._recorder.stopped = True
            self.shutdown_system("stop")
