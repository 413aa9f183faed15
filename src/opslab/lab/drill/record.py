"""Recorded drills: the last one of each, judge one again, in another format."""

import socket
from contextlib import suppress
from typing import TypedDict

from opslab.context import Context
from opslab.drills.chaostoolkit import JsonObject, chaostoolkit_journal
from opslab.drills.judgement.judge import judge
from opslab.drills.recorded import RecordedDrills, recorded_drills
from opslab.drills.registry import DRILLS
from opslab.drills.report import markdown
from opslab.drills.trend import DrillTrend, TimeTrend, drill_trend
from opslab.errors import LabError
from opslab.lab.run.names import existing_run
from opslab.model.checks.drill import DrillRecord, Judgement
from opslab.model.journal.check_events import FailureDrillExecuted
from opslab.model.journal.journal_event import decode
from opslab.runs.checks.drill_records import read_drill
from opslab.runs.record.registry import list_runs, show_run

__all__ = [
    "DrillRow",
    "DrillTrend",
    "TimeTrend",
    "as_chaostoolkit",
    "drill_rows",
    "drill_trends",
    "judge_again",
    "markdown",
    "read_drill",
]


class DrillRow(TypedDict):
    """A drill with its last record, if there is one."""

    name: str
    title: str
    hypothesis: str
    times_run: int
    unreadable: int
    """Of these."""
    run_id: str | None
    status: str | None
    verdict: str | None
    ended_at: str | None
    detect_seconds: float | None
    recover_seconds: float | None


def drill_rows(context: Context) -> list[DrillRow]:
    """A row for each drill of the registry."""
    recorded = recorded_drills(list_runs(context), tuple(DRILLS))
    return [_row(context, name, drills) for name, drills in recorded.items()]


def drill_trends(context: Context, count: int) -> list[DrillTrend]:
    """Of the last runs of each drill of the registry. count: how many of each."""
    recorded = recorded_drills(list_runs(context), tuple(DRILLS))
    return [drill_trend(name, drills, count) for name, drills in recorded.items()]


def _row(context: Context, name: str, drills: RecordedDrills) -> DrillRow:
    last = drills.last
    return DrillRow(
        name=name,
        title=DRILLS[name].definition.title,
        hypothesis=DRILLS[name].definition.hypothesis,
        times_run=drills.count,
        unreadable=drills.unreadable,
        run_id=last.run_id if last else None,
        status=_status(context, last.run_id) if last else None,
        verdict=last.verdict if last else None,
        ended_at=last.ended_at if last else None,
        detect_seconds=last.detect_seconds if last else None,
        recover_seconds=last.recover_seconds if last else None,
    )


def _status(context: Context, run_id: str) -> str | None:
    """Of the drill; None when the run changed since it was listed."""
    with suppress(LabError, ValueError):
        section = show_run(context, run_id)[0].failure_drill
        return decode(FailureDrillExecuted, section).status if section else None
    return None


def judge_again(context: Context, run_id: str) -> tuple[DrillRecord, Judgement]:
    """The record of a drill, and the verdict that follows from its history now. Raises NotFound, Corrupt."""
    record = read_drill(context, existing_run(context, run_id))
    return record, judge(record.definition, record.status, record.control, record.fault)


def as_chaostoolkit(record: DrillRecord) -> JsonObject:
    """The record as a journal of the Chaos Toolkit."""
    return chaostoolkit_journal(record, socket.gethostname())
