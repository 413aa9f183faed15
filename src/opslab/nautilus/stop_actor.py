"""Stop a backtest on request, independent of the strategy's subscriptions and timers."""

from typing import Any

from nautilus_trader.common import DataActor

from opslab.nautilus.strategy.guarded import StrategyRecorder

INTERVAL_NS = 3_600_000_000_000
"""Simulated time between two checks: an hour of bars is a fraction of a millisecond."""


class StopActor(DataActor):
    """Runs beside a user strategy, which may receive no bar, or cancel every timer it has."""

    _recorder: StrategyRecorder

    def __new__(cls, recorder: StrategyRecorder) -> "StopActor":
        actor: StopActor = super().__new__(cls)
        actor._recorder = recorder
        return actor

    def on_start(self) -> None:
        self.clock.set_timer_ns("opslab-stop", INTERVAL_NS, callback=self._stop_if_requested)

    def _stop_if_requested(self, _event: Any) -> None:
        if self._recorder.stop_requested:
            self.shutdown_system("stop")
