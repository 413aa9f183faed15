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
    facts: list[tuple[str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def saw(self, what: str, value: object) -> None:
        """Count `value` under `what` in the table."""
        self.facts.append((what, str(value)))

    def claim(self, holds: bool, otherwise: str) -> bool:
        if not holds:
            self.broken.append(otherwise)
        return holds


@dataclass(frozen=True, slots=True)
class Attempt:
    """A trial to come. `label` names it, and with the seed decides every random choice in it."""

    label: str
    run: Callable[[Trial], None]
    limit_seconds: float = 300.0
    """After that long something hangs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trial that is over; crosses from a worker to the program."""

    label: str
    folder: str
    seconds: float
    facts: tuple[tuple[str, str], ...]
    broken: tuple[str, ...]
