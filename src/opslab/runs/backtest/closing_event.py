"""The closing event of a backtest: its results, and how it ended."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from opslab.model.journal.run_events import RunCompleted, RunFailed, RunHalted, RunInterrupted, RunResults
from opslab.model.pipe.messages import EngineResult
from opslab.model.primitives.canonical import digest
from opslab.model.run.engine_log import LogFacts
from opslab.model.run.metadata import Failure, RunDataset
from opslab.model.run.warning import RunWarning
from opslab.model.spec.run_spec import UserStrategyRef
from opslab.runs.backtest.halt import BacktestHaltController
from opslab.runs.backtest.results import BacktestResults
from opslab.runs.claim import ClaimedRun
from opslab.runs.planning.plan import BacktestPlan
from opslab.runs.record.run_journal import write_metrics
from opslab.runs.record.subscription_fold import SubscriptionFold
from opslab.runs.record.warnings import (
    dataset_warnings,
    emulated_order_warnings,
    log_warnings,
    order_warnings,
    request_warnings,
    subscription_warnings,
    unanswered_order_warnings,
    unsubmitted_order_warnings,
)


@dataclass(slots=True)
class EngineReport:
    """What the engine child has reported so far."""

    bars: int = 0
    """Number of bars that the engine has processed."""
    actions: int = 0
    """Of a scenario."""
    result: EngineResult | None = None
    failure: Failure | None = None
    log: LogFacts | None = None
    """Counted while it arrived; set after the engine's end."""
    skipped_orders: Collection[str] = ()
    """Client order ids of orders of which the log reports a skipped fill."""
    saw_all_data: bool = False
    """Whether the engine reached the end of the data."""
    subscriptions: SubscriptionFold = field(default_factory=SubscriptionFold)


def append_closing_event(
    run: ClaimedRun[BacktestPlan],
    results: BacktestResults,
    report: EngineReport,
    process_failure: Failure | None,
    stopped_by: str | None,
    halt: BacktestHaltController,
) -> None:
    """Write the results, then how the run ended.

    process_failure: of the engine's process. stopped_by: the signal or limit on which control stopped the engine.
    """
    plan, log = run.plan, run.log
    written: RunResults = {"orders": results.orders()}
    if report.result:
        written |= RunResults(
            artifacts=results.commit(),
            metrics=results.counters(report.result),
            engine_cost=report.result.cost,
            denial_reasons=results.denial_reasons(report.result),
            rejection_reasons=results.refused.rejected.reasons,
        )
        if plan.spec.observability.metrics:
            write_metrics(run.folder, written)
        report.subscriptions.engine_ended(report.result.subscriptions)
    if report.log:
        written["log"] = report.log
    written["warnings"] = tuple(_warnings(results, report, log.metadata.dataset))
    expected_bars = None if isinstance(plan.spec.strategy, UserStrategyRef) else plan.engine.rows
    is_complete = report.result is not None and report.saw_all_data  # otherwise a stop was acted on
    failure = report.failure or failure_of(report, process_failure, expected_bars, stopped_by)
    if halt.is_on and not is_complete:
        gated = report.result.gated if report.result else {}
        log.append(RunHalted(**written, ended_by="kill_switch", halt=halt.summary(gated)))
    elif failure:
        log.append(RunFailed(**written, failure=failure))
    elif not is_complete:
        log.append(RunInterrupted(**written, ended_by=stopped_by))
    else:
        digested = {"metrics": written["metrics"].model_dump(), "artifacts": written["artifacts"]}
        log.append(RunCompleted(**written, result_digest=digest(digested)))


def _warnings(results: BacktestResults, report: EngineReport, dataset: RunDataset | None) -> Iterator[RunWarning]:
    yield from order_warnings(results.refused)
    yield from request_warnings(results.refused.requests)
    if report.saw_all_data:
        unanswered = results.unanswered.items()
        yield from unanswered_order_warnings(
            {order_id: status for order_id, status in unanswered if order_id not in report.skipped_orders}
        )
    yield from unsubmitted_order_warnings(results.unsent.never_submitted)
    yield from emulated_order_warnings(results.unsent)
    yield from subscription_warnings(**report.subscriptions.names())
    yield from log_warnings(report.log) if report.log else ()
    yield from dataset_warnings(dataset)


def failure_of(
    report: EngineReport, process_failure: Failure | None, expected_bars: int | None, stopped_by: str | None
) -> Failure | None:
    """The failure of a run whose engine reported none; None when it did not fail.

    expected_bars: number of bars the strategy must have seen; None for a user strategy, which may subscribe to none.
    """
    if stopped_by:
        return None
    if process_failure:
        return process_failure
    if report.result is None:
        return Failure(kind="engine", message="the engine ended without a result")
    if expected_bars is not None and report.result.bars != expected_bars:
        seen = report.result.bars
        return Failure(kind="engine", message=f"the strategy saw {seen} bars of the dataset's {expected_bars}")
    if not report.saw_all_data:
        return Failure(kind="engine", message="the engine was stopped before the end of the data, and not by tc")
    return None
