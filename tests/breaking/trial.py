"""One trial: inject one failure, then check every claim about the result."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Trial:
    """State and observations of one trial. Violated claims are collected, not raised."""

    label: str
    folder: Path
    """Folder of this trial; kept after a violation."""
    rng: random.Random
    observations: list[tuple[str, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def observe(self, name: str, value: object) -> None:
        """Count `value` under `name` in the summary."""
        self.observations.append((name, str(value)))

    def claim(self, is_true: bool, violation: str) -> bool:
        if not is_true:
            self.violations.append(violation)
        return is_true


@dataclass(frozen=True, slots=True)
class Attempt:
    """A planned trial. `label` names it, and with the seed determines every random choice in it."""

    label: str
    run: Callable[[Trial], None]
    limit_seconds: float = 900.0
    """Time limit; a longer trial counts as hung."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """Result of an ended trial; sent from a worker to the program."""

    label: str
    folder: str
    seconds: float
    observations: tuple[tuple[str, str], ...]
    violations: tuple[str, ...]
