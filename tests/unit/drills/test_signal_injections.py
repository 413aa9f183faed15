"""An injection that is a signal to a process: no line of the journal proves it, the drill itself does."""

from opslab.drills.judgement.judge import judge
from opslab.model.checks.drill import DrillDefinition, Judgement, Mark, PassHistory, Signal
from tests.fakes.drill_histories import CONTROL, DEFINITION, FAULT_LINES, RECONCILED, STEP, Line, at, heartbeat, history

HANG = Signal(event="engine_lost", where={"ended_by": "hang"})
BACK = Signal(event="reconciliation_checked", where={"state": "ok"})
HANGS = DEFINITION.model_copy(
    update={
        "steps": (STEP.model_copy(update={"injected": None, "detected": HANG, "recovered": BACK, "never": ()}),),
    }
)
NOTICED: tuple[Line, ...] = tuple(
    (second, "engine_lost", {"ended_by": "hang"})
    if name == "feed_state_changed" and second == 5
    else (second, name, rest)
    for second, name, rest in FAULT_LINES
)
END = FAULT_LINES[-1]


def delivered(fault: PassHistory) -> PassHistory:
    mark = Mark(name="delivered", at=at(3), seq=2, step=0)
    return fault.model_copy(update={"marks": (*fault.marks, mark)})


def judged(fault: PassHistory, definition: DrillDefinition = HANGS) -> Judgement:
    return judge(definition, "completed", CONTROL, fault)


def verdict_of(judgement: Judgement, name: str) -> str:
    return next(check.verdict for check in judgement.checks if check.name == name and check.pass_kind == "fault")


def test_a_process_that_was_seen_stopped_proves_the_injection() -> None:
    judgement = judged(delivered(history("fault", NOTICED)))
    assert verdict_of(judgement, "silence: injected") == verdict_of(judgement, "silence: detected") == "pass"
    assert judgement.times[0].injected_seq is None


def test_a_process_that_was_not_seen_stopped_leaves_the_verdict_open() -> None:
    judgement = judged(history("fault", NOTICED))
    assert (judgement.verdict, judgement.deviated_at) == ("unknown", "silence: injected")


def test_a_lab_that_notices_nothing_fails_the_drill() -> None:
    """With the loss as the proof of the injection it would be unknown."""
    unnoticed = tuple(line for line in NOTICED if line[1] != "engine_lost")
    judgement = judged(delivered(history("fault", unnoticed)))
    assert (judgement.verdict, judgement.deviated_at) == ("fail", "silence: detected")


def test_a_lab_that_did_not_react_is_steady_from_the_restoration_on() -> None:
    """Whatever fits the recovery later: a reconciliation is `ok` every other second."""
    lines = (*FAULT_LINES[:2], *(heartbeat(second) for second in (6, 7, 8)), RECONCILED, END)
    judgement = judged(delivered(history("fault", lines)))
    assert verdict_of(judgement, "silence: steady again") == "pass"
    assert verdict_of(judgement, "silence: recovered") == "fail"
