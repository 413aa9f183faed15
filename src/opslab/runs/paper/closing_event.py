"""What the closing event of a paper run says, whoever writes it: its control, or who settles it later."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opslab.model.messages.engine_messages import StopReason
from opslab.model.run.metadata import EngineCost, ScenarioCounters
from opslab.model.run.paper_summary import PaperFacts
from opslab.model.spec.run_spec import PaperLimits
from opslab.runs.paper.results import PaperCounts
from opslab.runs.record.run_journal import metrics_document
from opslab.store.runs.run_folders import METRICS, write_record


def bound_reached(limits: PaperLimits, rows: int) -> StopReason:
    """What a run that saw all its bars was ended by."""
    return "max_bars" if limits.max_bars == rows else "end_of_data"


def action_count(reported: int, counts: PaperCounts, strategy: Mapping[str, str]) -> int:
    """How often a scenario did what it is to do: as engines told, which one that was killed did not always.

    strategy: by name. One that acts by orders has acted when it made one; a user's own has no such action.
    """
    if "path" in strategy:
        return 0
    return reported or int(counts.orders_submitted + counts.orders_denied > 0)


def closing_payload(
    folder: Path,
    counters: ScenarioCounters,
    denials: Mapping[str, int],
    artifacts: Mapping[str, str],
    summary: PaperFacts,
    *,
    elapsed_seconds: float,
    peak_memory_bytes: int,
    metrics: bool,
) -> dict[str, Any]:
    """The payload, without how it ended. metrics: `metrics.json` is written, too."""
    seconds = max(elapsed_seconds, 1e-6)
    cost = EngineCost(
        elapsed_seconds=round(seconds, 6),
        bars_per_second=round(counters.bars_seen / seconds, 1),
        peak_memory_bytes=peak_memory_bytes,
    )
    payload: dict[str, Any] = {
        "metrics": counters.model_dump(),
        "engine_cost": cost.model_dump(),
        "denial_reasons": dict(denials),
        "artifacts": dict(artifacts),
        "paper": summary.model_dump(mode="json"),
    }
    if metrics:
        write_record(folder, METRICS, metrics_document(payload["metrics"], payload["engine_cost"], denials))
    return payload
