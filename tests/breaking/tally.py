"""What came of all trials of an experiment, counted; as a document and as text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.breaking.trial import Outcome

_SHOWN = 20


@dataclass(slots=True)
class Tally:
    experiment: str
    trials: int = 0
    seconds: float = 0.0
    """From the first trial to the last."""
    facts: dict[str, Counter[str]] = field(default_factory=dict)
    """What was seen, and how often: exit codes, statuses, when the kill came."""
    violations: list[Outcome] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """What this machine does not allow."""

    def add(self, outcome: Outcome) -> None:
        self.trials += 1
        for what, value in outcome.facts:
            self.facts.setdefault(what, Counter())[value] += 1
        if outcome.broken:
            self.violations.append(outcome)

    def document(self) -> dict[str, object]:
        return {
            "experiment": self.experiment,
            "trials": self.trials,
            "seconds": round(self.seconds, 1),
            "seen": {what: dict(counter.most_common()) for what, counter in self.facts.items()},
            "skipped": self.skipped,
            "violations": [
                {"trial": outcome.label, "folder": outcome.folder, "broken": list(outcome.broken)}
                for outcome in self.violations
            ],
        }


def text_of(tallies: Sequence[Tally]) -> str:
    """A table with one line for each thing that was seen, then the violations."""
    lines = [("EXPERIMENT", "TRIALS", "SECONDS", "VIOLATIONS", "SEEN")]
    for tally in tallies:
        seen = [f"{what}: {_counts(counter)}" for what, counter in tally.facts.items()]
        seen += [f"skipped: {why}" for why in tally.skipped]
        head = (tally.experiment, f"{tally.trials:,}", f"{tally.seconds:,.0f}", f"{len(tally.violations):,}")
        lines.append((*head, seen[0] if seen else ""))
        lines += [("", "", "", "", more) for more in seen[1:]]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    text = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[4]]) for line in lines
    ]
    return "\n".join(line.rstrip() for line in [*text, *_violations(tallies)])


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count:,} {value}" for value, count in counter.most_common())


def _violations(tallies: Sequence[Tally]) -> list[str]:
    found = [outcome for tally in tallies for outcome in tally.violations]
    if not found:
        return []
    lines = ["", f"{len(found)} trials with violations:"]
    for outcome in found[:_SHOWN]:
        lines += [f"  {outcome.label}: {outcome.folder}", *(f"    {broken}" for broken in outcome.broken)]
    return lines + ([f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else [])
