"""Recorded drills: the last one of each, judge one again, in another format."""

import socket
from contextlib import suppress
from typing import TypedDict

from opslab.context import Context
from opslab.drills.chaostoolkit import JsonObject, chaostoolkit_journal
from opslab.drills.judgement.judge import judge
from opslab.drills.registry import DRILLS
from opslab.drills.report import markdown
from opslab.errors import LabError
from opslab.lab.run.names import existing_run
from opslab.model.checks.drill import DrillRecord, Judgement
from opslab.model.journal.check_events import FailureDrillExecuted
from opslab.model.journal.journal_event import decode
from opslab.runs.checks.drill_records import read_drill
from opslab.runs.record.registry import list_runs, show_run

__all__ = ["DrillRow", "as_chaostoolkit", "drill_rows", "judge_again", "markdown", "read_drill"]


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
    runs: dict[str, list[str]] = {}
    for row in list_runs(context):
        if row.drill is not None:
            runs.setdefault(row.drill, []).append(row.run_id)
    return [_row(context, name, runs.get(name, [])) for name in DRILLS]


def _row(context: Context, name: str, run_ids: list[str]) -> DrillRow:
    recorded: list[tuple[str, FailureDrillExecuted]] = []
    for run_id in run_ids:
        with suppress(LabError, ValueError):
            section = show_run(context, run_id)[0].failure_drill
            if section is not None:
                recorded.append((run_id, decode(FailureDrillExecuted, section)))
    last_id, last = max(recorded, key=lambda each: each[1].ended_at, default=(None, None))
    return DrillRow(
        name=name,
        title=DRILLS[name].definition.title,
        hypothesis=DRILLS[name].definition.hypothesis,
        times_run=len(run_ids),
        unreadable=len(run_ids) - len(recorded),
        run_id=last_id,
        status=last.status if last else None,
        verdict=last.verdict if last else None,
        ended_at=last.ended_at if last else None,
        detect_seconds=last.detect_seconds if last else None,
        recover_seconds=last.recover_seconds if last else None,
    )


def judge_again(context: Context, run_id: str) -> tuple[DrillRecord, Judgement]:
    """The record of a drill, and the verdict that follows from its history now. Raises NotFound, Corrupt."""
    record = read_drill(context, existing_run(context, run_id))
    return record, judge(record.definition, record.status, record.control, record.fault)


def as_chaostoolkit(record: DrillRecord) -> JsonObject:
    """The record as a journal of the Chaos Toolkit."""
    return chaostoolkit_journal(record, socket.gethostname())
