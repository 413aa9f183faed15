"""A drill of 26 seconds as its record has it: the times of each mark and phase are known."""

from opslab.drills.registry import DRILLS
from opslab.model.checks.drill import Check, DrillRecord, HistoryEvent, Judgement, Mark, PassHistory, StepTimes, Verdict

DEFINITION = DRILLS["disconnect"].definition
STEP = DEFINITION.steps[0].name


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}.000000Z"


CONTROL = PassHistory(
    kind="control",
    run_id="c1",
    events=(),
    marks=(Mark(name="started", at=at(1), seq=1), Mark(name="ended", at=at(5), seq=9)),
)
FAULT = PassHistory(
    kind="fault",
    run_id="f1",
    events=(HistoryEvent(seq=4, time=at(11), event="fault_started", payload={}),),
    marks=(
        Mark(name="started", at=at(6), seq=1),
        Mark(name="injected", at=at(10), seq=3, step=0),
        Mark(name="restored", at=at(15), seq=6, step=0),
        Mark(name="settled", at=at(20), seq=8, step=0),
        Mark(name="ended", at=at(25), seq=9),
    ),
)
TIMES = StepTimes(
    step=STEP,
    injected_at=at(10),
    injected_seq=4,
    detected_at=at(12),
    restored_at=at(15),
    recovered_at=at(18),
)


def judged_drill(
    verdict: Verdict, times: StepTimes = TIMES, *checks: Check, fault: PassHistory | None = FAULT
) -> DrillRecord:
    return DrillRecord(
        definition=DEFINITION,
        lab_version="0.1.0",
        engine_version="2",
        spec_digest="sha256:1",
        blast_radius=("c1", "f1"),
        started_at=at(0),
        ended_at=at(26),
        status="completed",
        control=CONTROL,
        fault=fault,
        judgement=Judgement(
            verdict=verdict,
            deviated_at=None if verdict == "pass" else f"{STEP}: detected",
            checks=checks,
            times=(times,) if fault else (),
        ),
    )
