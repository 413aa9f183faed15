"""Findings of the quality rules, with file and line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opslab.datasets.quality.rules import RULES, Severity

MAX_LISTED_PER_RULE = 20


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """One violation of a rule. `line` counts from 1, including the header; in columnar files it is the row."""

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
    """The first findings of each rule, and the count of all."""

    listed: list[QualityFinding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, finding: QualityFinding) -> None:
        self.count(finding.rule, 1)
        if self.counts[finding.rule] <= MAX_LISTED_PER_RULE:
            self.listed.append(finding)

    def count(self, rule: str, additional: int) -> None:
        """Count findings that are not listed."""
        self.counts[rule] = self.counts.get(rule, 0) + additional

    def remove(self, *rules: str) -> None:
        """Forget the findings of rules, which another finding explains."""
        self.listed = [finding for finding in self.listed if finding.rule not in rules]
        for rule in rules:
            self.counts.pop(rule, None)

    def remaining(self, rule: str) -> int:
        """Number of further findings of a rule that would be listed."""
        return max(0, MAX_LISTED_PER_RULE - self.counts.get(rule, 0))

    def of_severity(self, severity: Severity) -> dict[str, int]:
        """Counts by rule, in the order of the rules."""
        return {
            name: self.counts[name] for name, rule in RULES.items() if rule.severity == severity and name in self.counts
        }

    def refused(self, allowed: Iterable[str]) -> dict[str, int]:
        """Errors that were not allowed."""
        accepted = set(allowed)
        return {name: count for name, count in self.of_severity("error").items() if name not in accepted}

    def in_file_order(self) -> list[QualityFinding]:
        """By file, in reading order, then by line."""
        names = dict.fromkeys(finding.file for finding in self.listed)
        ranks = {name: rank for rank, name in enumerate(names)}
        return sorted(self.listed, key=lambda finding: (ranks[finding.file], finding.line))


def summary(counts: Mapping[str, int]) -> str:
    """`2 x gap, 1 x disorder`."""
    return ", ".join(f"{count:,} x {rule}" for rule, count in counts.items())
