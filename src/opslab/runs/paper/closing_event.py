"""The closing event of a paper run, written by its control or by recovery."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from opslab.model.journal.run_events import RunResults
from opslab.model.messages.engine_messages import StopReason
from opslab.model.run.engine_log import LogFacts
from opslab.model.run.metadata import EngineCost, RunDataset, ScenarioCounters
from opslab.model.run.paper_summary import PaperFacts
from opslab.model.spec.run_spec import PaperLimits
from opslab.runs.paper.counts.paper_counts import PaperCounts
from opslab.runs.record.warnings import (
    account_warnings,
    bar_warnings,
    dataset_warnings,
    disturbance_warnings,
    log_warnings,
    order_warnings,
    request_warnings,
    subscription_warnings,
    unsubmitted_order_warnings,
)


def bound_reached(limits: PaperLimits, rows: int) -> StopReason:
    """The bound that ended a run which saw all its bars."""
    return "max_bars" if limits.max_bars == rows else "end_of_data"


def recorded_reason(reason: StopReason, limits: PaperLimits, rows: int) -> StopReason:
    """The stop reason to record for the reason that an engine gave: `last_bar` becomes the bound reached."""
    return bound_reached(limits, rows) if reason == "last_bar" else reason


def action_count(reported: int, counts: PaperCounts, strategy: Mapping[str, str]) -> int:
    """How often a scenario performed its action, as engines reported it; a killed engine may not have.

    strategy: by name. A scenario that trades has acted when it created an order; a user strategy has no such action.
    """
    if "path" in strategy:
        return 0
    return reported or int(counts.orders_submitted + counts.orders_denied > 0)


@dataclass(frozen=True, slots=True)
class PaperResults:
    """The results of a paper run, without its facts and costs; the defaults are those of a run without a ledger."""

    counters: ScenarioCounters
    counts: PaperCounts = field(default_factory=PaperCounts)
    artifacts: dict[str, str] = field(default_factory=dict)
    """File to digest."""
    gated: Mapping[str, int] = field(default_factory=dict)
    """Requests that closed gates denied: reason to number."""


def engine_cost(elapsed_seconds: float, bars_seen: int, peak_memory_bytes: int) -> EngineCost:
    """The cost of all engines of a run. elapsed_seconds: of the run."""
    seconds = max(elapsed_seconds, 1e-6)  # 0 when the journal has no start
    return EngineCost(
        elapsed_seconds=round(seconds, 6),
        bars_per_second=round(bars_seen / seconds, 1),
        peak_memory_bytes=peak_memory_bytes,
    )


def closing_results(
    results: PaperResults, summary: PaperFacts, cost: EngineCost, log: LogFacts, dataset: RunDataset | None
) -> RunResults:
    """The results for the closing event, with the warnings that follow from them."""
    counts = results.counts
    return RunResults(
        metrics=results.counters,
        orders=counts.orders(),
        engine_cost=cost,
        denial_reasons={**counts.refused.denied.reasons, **results.gated},
        rejection_reasons=counts.refused.rejected.reasons,
        artifacts=results.artifacts,
        paper=summary,
        warnings=(
            *account_warnings(summary),
            *order_warnings(counts.refused),
            *request_warnings(counts.refused.requests),
            *unsubmitted_order_warnings(counts.never_submitted),
            *subscription_warnings(summary.subscriptions_empty, summary.subscriptions_untruthful),
            *bar_warnings(summary.bars_missed),
            *disturbance_warnings(summary),
            *log_warnings(log),
            *dataset_warnings(dataset),
        ),
        log=log,
    )
