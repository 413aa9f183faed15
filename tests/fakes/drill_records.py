"""Records of drills that were not run, in the run list and in runs."""

from opslab.drills.registry import DRILLS
from opslab.lab.context import open_context
from opslab.model.checks.drill import DrillRecord, Judgement, StepTimes, Verdict
from opslab.model.primitives.ids import RunId
from opslab.runs.checks.drill_records import record_drill
from opslab.runs.record.selection import Row
from tests.drivers.tc import Tc


def drill_row(
    run_id: str,
    name: str,
    verdict: str | None,
    ended_at: str,
    detect: float | None = None,
    recover: float | None = None,
) -> Row:
    return Row(
        run_id,
        mode="paper",
        status="completed",
        drill=name,
        drill_verdict=verdict,
        drill_started_at=ended_at,
        drill_ended_at=ended_at,
        drill_detect_seconds=detect,
        drill_recover_seconds=recover,
    )


def add_drill(
    tc: Tc,
    run_id: str,
    name: str,
    verdict: Verdict,
    ended_at: str,
    detect: float | None = None,
    recover: float | None = None,
) -> None:
    """Record a drill with this verdict in a run that has ended."""
    definition = DRILLS[name].definition
    times = StepTimes(step=definition.steps[0].name, detect_seconds=detect, recover_seconds=recover)
    record = DrillRecord(
        definition=definition,
        lab_version="0.1.0",
        engine_version=None,
        spec_digest="sha256:1",
        blast_radius=(run_id,),
        started_at=ended_at,
        ended_at=ended_at,
        status="completed",
        control=None,
        fault=None,
        judgement=Judgement(
            verdict=verdict, deviated_at=None if verdict == "pass" else "detected", checks=(), times=(times,)
        ),
    )
    record_drill(open_context(str(tc.home)), RunId(run_id), record, "# Drill\n")
