"""Measured pairs, their rows and goals, and the table."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from benchmarks.process import Sample

Unit = Literal["s", "ms", "MB", "MB/h", "bars/s", "msg/s", "of 1"]


@dataclass(frozen=True, slots=True)
class AtMost:
    """Met if the value, or with `of_ratio` the ratio to the yardstick, is not above `limit`."""

    limit: float
    of_ratio: bool = True


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Met if the ratio to the yardstick, or without `of_ratio` the value, is not below `limit`."""

    limit: float
    of_ratio: bool = True


Goal = AtMost | AtLeast


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Figures are medians of `lab_samples` and `yardstick_samples`.

    `ok` if all `goals` are met, `over` if one is missed; without goals there is no verdict.
    """

    benchmark: str
    label: str
    unit: Unit
    lab_samples: tuple[float, ...]
    yardstick_samples: tuple[float, ...]
    goals: tuple[Goal, ...] = ()

    @property
    def lab(self) -> float:
        return statistics.median(self.lab_samples)

    @property
    def yardstick(self) -> float | None:
        return statistics.median(self.yardstick_samples) if self.yardstick_samples else None

    @property
    def ratio(self) -> float | None:
        return self.lab / self.yardstick if self.yardstick else None

    @property
    def verdict(self) -> Literal["ok", "over"] | None:
        if not self.goals:
            return None
        return "ok" if all(self._meets(goal) for goal in self.goals) else "over"

    def _meets(self, goal: Goal) -> bool:
        value = self.ratio if goal.of_ratio else self.lab
        if value is None:
            return False
        return value >= goal.limit if isinstance(goal, AtLeast) else value <= goal.limit

    def document(self) -> dict[str, object]:
        derived = {"lab": self.lab, "yardstick": self.yardstick, "ratio": self.ratio, "verdict": self.verdict}
        return {**asdict(self), **derived, "goals": [goal_text(goal, self.unit) for goal in self.goals]}


@dataclass(frozen=True, slots=True)
class Pairs:
    """Samples of lab and yardstick, taken alternately."""

    lab: tuple[Sample, ...]
    yardstick: tuple[Sample, ...]

    def wall(self, benchmark: str, label: str, *goals: Goal) -> Row:
        return self._row(benchmark, f"{label}: wall", "s", lambda sample: sample.wall_seconds, goals)

    def cpu(self, benchmark: str, label: str) -> Row:
        """CPU time; less noise than wall time on a shared machine."""
        return self._row(benchmark, f"{label}: cpu", "s", lambda sample: sample.cpu_seconds, ())

    def peak(self, benchmark: str, label: str, *goals: Goal) -> Row:
        return self._row(benchmark, f"{label}: peak", "MB", lambda sample: sample.peak_bytes / 1e6, goals)

    def _row(
        self, benchmark: str, label: str, unit: Unit, figure: Callable[[Sample], float], goals: tuple[Goal, ...]
    ) -> Row:
        lab = tuple(figure(sample) for sample in self.lab)
        return Row(benchmark, label, unit, lab, tuple(figure(sample) for sample in self.yardstick), goals)


def alternate(repeat: int, lab: Callable[[], Sample], yardstick: Callable[[], Sample]) -> Pairs:
    """Measure both `repeat` times, alternating, so that other load on the machine affects both."""
    values = [(lab(), yardstick()) for _ in range(repeat)]
    return Pairs(tuple(pair[0] for pair in values), tuple(pair[1] for pair in values))


def goal_text(goal: Goal, unit: Unit) -> str:
    sign = ">=" if isinstance(goal, AtLeast) else "<="
    return f"{sign} {goal.limit:.2f} x" if goal.of_ratio else f"{sign} {goal.limit:,.0f} {unit}"


def table_text(rows: Sequence[Row]) -> str:
    cells: list[tuple[str, ...]] = [("BENCHMARK", "MEASUREMENT", "LAB", "YARDSTICK", "RATIO", "GOAL", "")]
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
    return (row.benchmark, row.label, _figure(row.lab, row.unit), yardstick, ratio, goals, row.verdict or "")


def _figure(value: float, unit: Unit) -> str:
    digits = {"s": 3, "ms": 2, "MB": 1, "MB/h": 3, "bars/s": 0, "msg/s": 0, "of 1": 2}[unit]
    return f"{value:,.{digits}f} {unit}"
