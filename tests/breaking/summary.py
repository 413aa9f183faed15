"""Results of all trials of an experiment, counted; as a document and as text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.breaking.trial import TrialResult

_MAX_SHOWN = 20


@dataclass(slots=True)
class ExperimentSummary:
    experiment: str
    trials: int = 0
    seconds: float = 0.0
    """From the first trial to the last."""
    observations: dict[str, Counter[str]] = field(default_factory=dict)
    """Name of an observation, value to count: exit codes, statuses, time of the kill."""
    measured: dict[str, str] = field(default_factory=dict)
    """Name to figures of all trials."""
    failed_trials: list[TrialResult] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Reasons why a part was not run on this machine."""

    def add(self, result: TrialResult) -> None:
        self.trials += 1
        for name, value in result.observations:
            self.observations.setdefault(name, Counter())[value] += 1
        if result.violations:
            self.failed_trials.append(result)

    def document(self) -> dict[str, object]:
        return {
            "experiment": self.experiment,
            "trials": self.trials,
            "seconds": round(self.seconds, 1),
            "observed": {name: dict(counter.most_common()) for name, counter in self.observations.items()},
            "measured": self.measured,
            "skipped": self.skipped,
            "violations": [
                {"trial": result.label, "folder": result.folder, "messages": list(result.violations)}
                for result in self.failed_trials
            ],
        }


def summary_text(summaries: Sequence[ExperimentSummary]) -> str:
    """A table with one line for each observation, then the violations."""
    lines = [("EXPERIMENT", "TRIALS", "SECONDS", "VIOLATIONS", "OBSERVED")]
    for summary in summaries:
        cells = [f"{name}: {_counts(counter)}" for name, counter in summary.observations.items()]
        cells += [f"{name}: {figures}" for name, figures in summary.measured.items()]
        cells += [f"skipped: {reason}" for reason in summary.skipped]
        head = (summary.experiment, f"{summary.trials:,}", f"{summary.seconds:,.0f}", f"{len(summary.failed_trials):,}")
        lines.append((*head, cells[0] if cells else ""))
        lines += [("", "", "", "", more) for more in cells[1:]]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    text = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[4]]) for line in lines
    ]
    return "\n".join(line.rstrip() for line in [*text, *_violations(summaries)])


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count:,} {value}" for value, count in counter.most_common())


def _violations(summaries: Sequence[ExperimentSummary]) -> list[str]:
    failed = [result for summary in summaries for result in summary.failed_trials]
    if not failed:
        return []
    lines = ["", f"{len(failed)} trials with violations:"]
    for result in failed[:_MAX_SHOWN]:
        lines += [f"  {result.label}: {result.folder}", *(f"    {broken}" for broken in result.violations)]
    return lines + ([f"  and {len(failed) - _MAX_SHOWN} more"] if len(failed) > _MAX_SHOWN else [])
