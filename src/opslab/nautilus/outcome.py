"""Start and end of an engine run, in a backtest and in a live node: announce it, and count what control cannot."""

from dataclasses import dataclass
from importlib.metadata import version

from opslab.model.journal.engine_events import EngineStarted, ScenarioRegistered
from opslab.model.messages.engine_messages import EnginePlan, LivePlan, ScenarioPlan
from opslab.model.pipe.messages import Ended
from opslab.nautilus.strategy.guarded import StrategyRecorder


@dataclass(frozen=True, slots=True)
class EngineOutcome:
    """Result of an engine run."""

    bars: int
    """Bars of the run's own type that the strategy received."""
    actions: int
    """Of a scenario."""
    gated: dict[str, int]
    """Requests that the closed gate denied: reason to number."""
    seconds: float
    """Duration of the engine's run alone."""


def report_start(plan: EnginePlan | LivePlan, recorder: StrategyRecorder) -> None:
    """Send `engine_started` and `scenario_registered`."""
    recorder.messages.send(EngineStarted(engine="nautilus", version=version("nautilus-trader")))
    recorder.messages.send(_registered(plan))


def _registered(plan: EnginePlan | LivePlan) -> ScenarioRegistered:
    """With the strategy as the spec names it."""
    strategy, bar_type = plan.strategy, plan.bar_type
    if isinstance(strategy, ScenarioPlan):
        return ScenarioRegistered(name=strategy.name, version=strategy.version, bar_type=bar_type)
    if strategy.config_path:
        return ScenarioRegistered(path=strategy.path, config_path=strategy.config_path, bar_type=bar_type)
    return ScenarioRegistered(path=strategy.path, bar_type=bar_type)


def finish(recorder: StrategyRecorder, *, early: bool, seconds: float) -> EngineOutcome:
    """Send `ended`; return the counts.

    early: the run ended before its data, or its gate was closed before. seconds: duration of the engine's run alone.
    """
    recorder.messages.send(Ended(bars=recorder.bars, received=recorder.received_bars, early=early))
    reason = "KILL_SWITCH" if recorder.halted else "RUN_IS_ENDING"
    gated = {reason: recorder.gated} if recorder.gated else {}
    return EngineOutcome(bars=recorder.bars, actions=recorder.actions, gated=gated, seconds=seconds)
