"""What was found wrong with candles, and where."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opslab.datasets.quality.rules import RULES, Severity

MAX_LISTED_PER_RULE = 20


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """One thing wrong. `line` counts from 1 as an editor shows it, header included; rows in columnar files."""

    rule: str
    file: str
    line: int
    detail: str
    open_time: str | None = None

    @property
    def severity(self) -> Severity:
        return RULES[self.rule].severity

    def text(self) -> str:
        when = f" {self.open_time}" if self.open_time else ""
        return f"{self.file}:{self.line}:{when} {self.rule}: {self.detail}"

    def as_dict(self) -> dict[str, object]:
        names = ("rule", "severity", "file", "line", "open_time", "detail")
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class QualityFindings:
    """The first of each rule, and how many there were."""

    kept: list[QualityFinding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, finding: QualityFinding) -> None:
        self.count(finding.rule, 1)
        if self.counts[finding.rule] <= MAX_LISTED_PER_RULE:
            self.kept.append(finding)

    def count(self, rule: str, more: int) -> None:
        """Count findings that are not kept."""
        self.counts[rule] = self.counts.get(rule, 0) + more

    def room(self, rule: str) -> int:
        """How many more of a rule would be kept."""
        return max(0, MAX_LISTED_PER_RULE - self.counts.get(rule, 0))

    def of_severity(self, severity: Severity) -> dict[str, int]:
        """Counts by rule, in the order of the rules."""
        return {
            name: self.counts[name] for name, rule in RULES.items() if rule.severity == severity and name in self.counts
        }

    def refused(self, allowed: Iterable[str]) -> dict[str, int]:
        """Errors that were not allowed."""
        let_pass = set(allowed)
        return {name: count for name, count in self.of_severity("error").items() if name not in let_pass}

    def in_order(self) -> list[QualityFinding]:
        """By file, in the order they were met, then by line."""
        files = {name: place for place, name in enumerate(dict.fromkeys(found.file for found in self.kept))}
        return sorted(self.kept, key=lambda found: (files[found.file], found.line))


def summary(counts: Mapping[str, int]) -> str:
    """`2 x gap, 1 x disorder`."""
    return ", ".join(f"{count:,} x {rule}" for rule, count in counts.items())
