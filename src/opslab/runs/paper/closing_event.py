"""The closing event of a paper run, written by its control or by recovery."""

from collections.abc import Mapping
from pathlib import Path

from opslab.model.journal.run_events import RunResults
from opslab.model.messages.engine_messages import StopReason
from opslab.model.run.engine_log import LogFacts
from opslab.model.run.metadata import EngineCost, RunDataset, ScenarioCounters
from opslab.model.run.paper_summary import PaperFacts
from opslab.model.spec.run_spec import PaperLimits
from opslab.runs.paper.results import PaperCounts
from opslab.runs.record.run_journal import metrics_document
from opslab.runs.record.warnings import (
    bar_warnings,
    dataset_warnings,
    disturbance_warnings,
    forced_close_warnings,
    log_warnings,
    order_warnings,
    subscription_warnings,
    unsubmitted_order_warnings,
)
from opslab.store.runs.run_folders import METRICS, write_record


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


def closing_results(
    folder: Path,
    counters: ScenarioCounters,
    counts: PaperCounts,
    dataset: RunDataset | None,
    artifacts: Mapping[str, str],
    summary: PaperFacts,
    *,
    log: LogFacts,
    gated: Mapping[str, int] | None = None,
    elapsed_seconds: float,
    peak_memory_bytes: int,
    metrics: bool,
) -> RunResults:
    """The results for the closing event.

    gated: requests that closed gates denied: reason to number. metrics: also write `metrics.json`.
    """
    denials = {**counts.refused.denied.reasons, **(gated or {})}
    seconds = max(elapsed_seconds, 1e-6)
    cost = EngineCost(
        elapsed_seconds=round(seconds, 6),
        bars_per_second=round(counters.bars_seen / seconds, 1),
        peak_memory_bytes=peak_memory_bytes,
    )
    if metrics:
        write_record(folder, METRICS, metrics_document(counters.model_dump(), cost.model_dump(), denials))
    return RunResults(
        metrics=counters,
        engine_cost=cost,
        denial_reasons=denials,
        rejection_reasons=counts.refused.rejected.reasons,
        artifacts=dict(artifacts),
        paper=summary,
        warnings=(
            *forced_close_warnings(summary),
            *order_warnings(counts.refused),
            *unsubmitted_order_warnings(counts.never_submitted),
            *subscription_warnings(summary.subscriptions_empty, summary.subscriptions_untruthful),
            *bar_warnings(summary.bars_missed),
            *disturbance_warnings(summary),
            *log_warnings(log),
            *dataset_warnings(dataset),
        ),
        log=log,
    )
