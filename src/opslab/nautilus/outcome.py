"""Start and end of an engine run, in a backtest and in a live node: announce it, finish its results, count them."""

from dataclasses import dataclass
from importlib.metadata import version

from opslab.model.messages.engine_messages import EnginePlan, LivePlan, ScenarioPlan
from opslab.model.pipe.messages import Ended, LifecycleEvent
from opslab.model.run.metadata import ScenarioCounters
from opslab.nautilus.strategy.guarded import StrategyRecorder


@dataclass(frozen=True, slots=True)
class EngineOutcome:
    """Result of an engine run."""

    counters: ScenarioCounters
    denial_reasons: dict[str, int]
    """Reason to number of orders."""
    seconds: float
    """Duration of the engine's run alone."""
    bars: int


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
    """Send `ended` and the rows of open orders and positions; return the counts.

    early: the run ended before its data. seconds: duration of the engine's run alone.
    """
    recorder.messages.send(Ended(bars=recorder.bars, early=early))
    results = recorder.results
    results.finish()
    reasons = dict(results.denials)
    if recorder.gated:
        reasons["KILL_SWITCH" if recorder.halted else "RUN_IS_ENDING"] = recorder.gated
    counters = ScenarioCounters(
        strategy_registered=1,
        bars_seen=recorder.bars,
        deterministic_action_triggered=recorder.actions,
        orders_submitted=recorder.event_counts.get("OrderSubmitted", 0),
        fills_count=results.fills,
        orders_denied=results.statuses.get("DENIED", 0),
        orders_rejected=results.statuses.get("REJECTED", 0),
        orders_canceled=results.statuses.get("CANCELED", 0),
    )
    return EngineOutcome(counters=counters, denial_reasons=reasons, seconds=seconds, bars=recorder.bars)
