"""One trial: something is broken once, and every claim about what is left is looked at."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Trial:
    """What one trial works with and what it notes. Claims that do not hold are collected, not raised."""

    label: str
    folder: Path
    """Its own; kept when a claim did not hold."""
    rng: random.Random
    observations: list[tuple[str, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def observe(self, name: str, value: object) -> None:
        """Count `value` under `what` in the table."""
        self.observations.append((name, str(value)))

    def claim(self, is_true: bool, violation: str) -> bool:
        if not is_true:
            self.violations.append(violation)
        return is_true


@dataclass(frozen=True, slots=True)
class Attempt:
    """A trial to come. `label` names it, and with the seed decides every random choice in it."""

    label: str
    run: Callable[[Trial], None]
    limit_seconds: float = 300.0
    """After that long something hangs."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A trial that is over; crosses from a worker to the program."""

    label: str
    folder: str
    seconds: float
    observations: tuple[tuple[str, str], ...]
    violations: tuple[str, ...]
