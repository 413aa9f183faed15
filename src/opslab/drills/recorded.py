"""Drills in the rows of the run list: pure functions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

from opslab.model.checks.drill import Verdict
from opslab.runs.record.selection import Row

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class RecordedDrill(NamedTuple):
    """The summary of a drill, in the run that had its fault. Times of the slowest step."""

    ended_at: str
    """UTC."""
    run_id: str
    verdict: str
    started_at: str | None
    detect_seconds: float | None
    recover_seconds: float | None


@dataclass(slots=True)
class RecordedDrills:
    """All of one name."""

    readable: list[RecordedDrill] = field(default_factory=list)
    """Oldest end first."""
    unreadable: int = 0
    """Number of those whose summary cannot be read."""

    @property
    def count(self) -> int:
        return len(self.readable) + self.unreadable

    @property
    def last(self) -> RecordedDrill | None:
        return self.readable[-1] if self.readable else None

    @property
    def last_pass(self) -> RecordedDrill | None:
        return next((each for each in reversed(self.readable) if each.verdict == "pass"), None)


def recorded_drills(rows: Iterable[Row], names: Sequence[str]) -> dict[str, RecordedDrills]:
    """Name to its drills, in the order of `names`; drills of other names are left out."""
    found = {name: RecordedDrills() for name in names}
    for row in rows:
        of_name = found.get(row.drill) if row.drill is not None else None
        if of_name is None:
            continue
        one = _recorded(row)
        if one is None:
            of_name.unreadable += 1
        else:
            of_name.readable.append(one)
    for of_name in found.values():
        of_name.readable.sort(key=lambda each: (each.ended_at, each.run_id))
    return found


def _recorded(row: Row) -> RecordedDrill | None:
    verdict, ended_at = row.drill_verdict, row.drill_ended_at
    if verdict not in VERDICTS or ended_at is None:
        return None
    return RecordedDrill(
        ended_at, row.run_id, verdict, row.drill_started_at, row.drill_detect_seconds, row.drill_recover_seconds
    )
