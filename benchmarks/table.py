"""Measured pairs, what they amount to, and how that is shown."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from benchmarks.process import Sample

Unit = Literal["s", "ms", "MB", "MB/h", "bars/s", "msg/s", "of 1"]


@dataclass(frozen=True, slots=True)
class AtMost:
    """Holds when the value, or with `of_ratio` the ratio to the yardstick, is not above `limit`."""

    limit: float
    of_ratio: bool = True


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Holds when the ratio to the yardstick, or without `of_ratio` the value, is not below `limit`."""

    limit: float
    of_ratio: bool = True


Goal = AtMost | AtLeast


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Figures are medians; `ours_samples` and `yardstick_samples` what they were taken from.

    `goals` that are all met make it `ok`, one that is missed makes it `over`; without goals it is only reported.
    """

    benchmark: str
    what: str
    unit: Unit
    ours_samples: tuple[float, ...]
    yardstick_samples: tuple[float, ...]
    goals: tuple[Goal, ...] = ()

    @property
    def ours(self) -> float:
        return statistics.median(self.ours_samples)

    @property
    def yardstick(self) -> float | None:
        return statistics.median(self.yardstick_samples) if self.yardstick_samples else None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.yardstick if self.yardstick else None

    @property
    def verdict(self) -> Literal["ok", "over"] | None:
        if not self.goals:
            return None
        return "ok" if all(self._meets(goal) for goal in self.goals) else "over"

    def _meets(self, goal: Goal) -> bool:
        value = self.ratio if goal.of_ratio else self.ours
        if value is None:
            return False
        return value >= goal.limit if isinstance(goal, AtLeast) else value <= goal.limit

    def document(self) -> dict[str, object]:
        derived = {"ours": self.ours, "yardstick": self.yardstick, "ratio": self.ratio, "verdict": self.verdict}
        return {**asdict(self), **derived, "goals": [goal_text(goal, self.unit) for goal in self.goals]}


@dataclass(frozen=True, slots=True)
class Pairs:
    """Samples taken in turn."""

    ours: tuple[Sample, ...]
    yardstick: tuple[Sample, ...]

    def wall(self, benchmark: str, what: str, *goals: Goal) -> Row:
        return self._row(benchmark, f"{what}: wall", "s", lambda sample: sample.wall_seconds, goals)

    def cpu(self, benchmark: str, what: str) -> Row:
        """Quieter than the wall time on a machine that others use too."""
        return self._row(benchmark, f"{what}: cpu", "s", lambda sample: sample.cpu_seconds, ())

    def peak(self, benchmark: str, what: str, *goals: Goal) -> Row:
        return self._row(benchmark, f"{what}: peak", "MB", lambda sample: sample.peak_bytes / 1e6, goals)

    def _row(
        self, benchmark: str, what: str, unit: Unit, figure: Callable[[Sample], float], goals: tuple[Goal, ...]
    ) -> Row:
        ours = tuple(figure(sample) for sample in self.ours)
        return Row(benchmark, what, unit, ours, tuple(figure(sample) for sample in self.yardstick), goals)


def in_turn(repeat: int, ours: Callable[[], Sample], yardstick: Callable[[], Sample]) -> Pairs:
    """Measure both `repeat` times, alternating, so that a busy moment of the machine meets both."""
    taken = [(ours(), yardstick()) for _ in range(repeat)]
    return Pairs(tuple(pair[0] for pair in taken), tuple(pair[1] for pair in taken))


def goal_text(goal: Goal, unit: Unit) -> str:
    sign = ">=" if isinstance(goal, AtLeast) else "<="
    return f"{sign} {goal.limit:.2f} x" if goal.of_ratio else f"{sign} {goal.limit:,.0f} {unit}"


def table_text(rows: Sequence[Row]) -> str:
    cells: list[tuple[str, ...]] = [("BENCHMARK", "WHAT", "OURS", "YARDSTICK", "RATIO", "GOAL", "")]
    cells += [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = []
    for line in cells:
        padded = [
            cell.rjust(width) if column in (2, 3, 4) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
    goals = ", ".join(goal_text(goal, row.unit) for goal in row.goals)
    yardstick = _figure(row.yardstick, row.unit) if row.yardstick is not None else ""
    return (row.benchmark, row.what, _figure(row.ours, row.unit), yardstick, ratio, goals, row.verdict or "")


def _figure(value: float, unit: Unit) -> str:
    digits = {"s": 3, "ms": 2, "MB": 1, "MB/h": 3, "bars/s": 0, "msg/s": 0, "of 1": 2}[unit]
    return f"{value:,.{digits}f} {unit}"
