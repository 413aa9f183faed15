"""Start and end of an engine run, in a backtest and in a live node: announce it, and count what control cannot."""

from dataclasses import dataclass
from importlib.metadata import version

from opslab.model.messages.engine_messages import EnginePlan, LivePlan, ScenarioPlan
from opslab.model.pipe.messages import Ended, LifecycleEvent
from opslab.nautilus.strategy.guarded import StrategyRecorder


@dataclass(frozen=True, slots=True)
class EngineOutcome:
    """Result of an engine run."""

    bars: int
    """Bars that the strategy received."""
    actions: int
    """Of a scenario."""
    gated: dict[str, int]
    """Requests that the closed gate denied: reason to number."""
    seconds: float
    """Duration of the engine's run alone."""


def report_start(plan: EnginePlan | LivePlan, recorder: StrategyRecorder) -> None:
    """Send `engine_started` and `scenario_registered`."""
    engine = {"engine": "nautilus", "version": version("nautilus-trader")}
    recorder.messages.send(LifecycleEvent(name="engine_started", payload=engine))
    registered = {**_strategy_reference(plan), "bar_type": plan.bar_type}
    recorder.messages.send(LifecycleEvent(name="scenario_registered", payload=registered))


def _strategy_reference(plan: EnginePlan | LivePlan) -> dict[str, str]:
    """The strategy as the spec names it."""
    strategy = plan.strategy
    if isinstance(strategy, ScenarioPlan):
        return {"name": strategy.name, "version": strategy.version}
    return {"path": strategy.path, **({"config_path": strategy.config_path} if strategy.config_path else {})}


def finish(recorder: StrategyRecorder, *, early: bool, seconds: float) -> EngineOutcome:
    """Send `ended`; return the counts.

    early: the run ended before its data, or its gate was closed before. seconds: duration of the engine's run alone.
    """
    recorder.messages.send(Ended(bars=recorder.bars, early=early))
    reason = "KILL_SWITCH" if recorder.halted else "RUN_IS_ENDING"
    gated = {reason: recorder.gated} if recorder.gated else {}
    return EngineOutcome(bars=recorder.bars, actions=recorder.actions, gated=gated, seconds=seconds)
