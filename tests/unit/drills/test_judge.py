"""The verdict follows from the recorded history, and from nothing else."""

from collections.abc import Sequence

import pytest
from pydantic import JsonValue

from opslab.drills.judgement.judge import judge
from opslab.drills.kinds.venue_overload import DRILL as VENUE_OVERLOAD
from opslab.drills.known_limits import ORDERS_IN_DOUBT
from opslab.model.checks.drill import DrillDefinition, DrillStatus, Judgement, PassHistory, Signal, StepBounds
from tests.fakes.drill_histories import (
    CONTROL,
    CONTROL_LINES,
    DEFINITION,
    END,
    FAULT,
    FAULT_LINES,
    GOOD_END,
    NO_LOSS,
    STEP,
    Line,
    feed,
    heartbeat,
    history,
)


def judged(
    fault: PassHistory | None = FAULT,
    control: PassHistory | None = CONTROL,
    definition: DrillDefinition = DEFINITION,
    status: DrillStatus = "completed",
) -> Judgement:
    return judge(definition, status, control, fault)


def end_with(**paper: int | None) -> Line:
    return 20.0, END[1], {**END[2], "paper": {**NO_LOSS, **paper}}


def replaced(lines: Sequence[Line], number: int, *others: Line) -> list[Line]:
    return [*lines[:number], *others, *lines[number + 1 :]]


def test_a_reaction_in_time_passes_with_its_times_and_the_lines_that_prove_them() -> None:
    judgement = judged()
    assert (judgement.verdict, judgement.deviated_at) == ("pass", None)
    (times,) = judgement.times
    assert (times.detect_seconds, times.recover_seconds) == (2.0, 0.9)
    assert (times.injected_seq, times.detected_seq, times.recovered_seq) == (3, 4, 6)


@pytest.mark.parametrize("has_injection", [False, True])
def test_the_history_of_the_control_pass_is_never_a_pass_of_the_fault(has_injection: bool) -> None:
    """Even if the drill said that it had injected: no line of the journal proves it."""
    judgement = judged(history("fault", CONTROL_LINES, has_injection=has_injection))
    assert judgement.verdict == "unknown"
    assert judgement.deviated_at == "silence: injected"


@pytest.mark.parametrize(
    ("lines", "deviated_at"),
    [
        (replaced(FAULT_LINES, 3, feed(6.5, "silent")), "silence: detected"),
        (replaced(FAULT_LINES, 3), "silence: detected"),
        (replaced(FAULT_LINES, 5), "silence: recovered"),
        (replaced(FAULT_LINES, 5, feed(7.5, "live")), "silence: recovered"),
        (replaced(FAULT_LINES, 5, (6.0, "engine_lost", {}), feed(6.1, "live")), "silence: no engine_lost"),
        (replaced(FAULT_LINES, 7, heartbeat(8, gate_closed=True)), "silence: steady again"),
        (replaced(FAULT_LINES, 8), "last reconciliation"),
        (replaced(FAULT_LINES, 9, end_with(orders_lost=1)), "orders lost"),
        (
            replaced(FAULT_LINES, 9, end_with(orders_lost=None)),
            "orders lost",
        ),
        (
            replaced(FAULT_LINES, 9, end_with(orders_external=1)),
            "orders of others",
        ),
        (
            [
                *FAULT_LINES[:9],
                *((9.6, "order_event", {"type": "OrderSubmitted", "client_order_id": "O-1"}) for _ in range(2)),
                END,
            ],
            "orders doubled",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_late_missing_or_lost_does_not_pass(lines: Sequence[Line], deviated_at: str) -> None:
    judgement = judged(history("fault", lines))
    not_counted = deviated_at == "last reconciliation" or any(line == end_with(orders_lost=None) for line in lines)
    assert (judgement.verdict, judgement.deviated_at) == ("unknown" if not_counted else "fail", deviated_at)


@pytest.mark.parametrize(
    ("changes", "deviated_at"),
    [
        ({"status": "failed"}, "status"),
        ({"flat": False}, "flat at the end"),
        ({"verification": "changed"}, "seal"),
        ({"ledger_is_proven": False}, "ledger"),
    ],
)
def test_what_the_run_leaves_counts(changes: dict[str, object], deviated_at: str) -> None:
    ending = GOOD_END.model_copy(update=changes)
    judgement = judged(history("fault", FAULT_LINES, ending))
    assert (judgement.verdict, judgement.deviated_at) == ("fail", deviated_at)


def test_an_engine_that_has_to_be_killed_at_the_end_is_no_pass() -> None:
    fault = history("fault", replaced(FAULT_LINES, 9, (10.0, "engine_lost", {}), END))
    definition = DEFINITION.model_copy(update={"steps": (STEP.model_copy(update={"never": ()}),)})
    judgement = judged(fault, definition=definition)
    assert (judgement.verdict, judgement.deviated_at) == ("fail", "engine ended as requested")


def test_a_state_that_was_not_reached_is_unknown_whatever_was_seen() -> None:
    lines = replaced(FAULT_LINES, 1, heartbeat(2, position_open=False))
    judgement = judged(history("fault", lines))
    assert (judgement.verdict, judgement.deviated_at) == ("unknown", "silence: reached")


@pytest.mark.parametrize(
    "control",
    [
        None,
        history("control", replaced(CONTROL_LINES, 4, feed(5, "silent"))),
        history("control", [heartbeat(second, gate_closed=second > 3) for second in range(1, 9)]),
        history("control", CONTROL_LINES, None),
        history("control", CONTROL_LINES, GOOD_END.model_copy(update={"flat": False})),
    ],
    ids=["absent", "detects without the fault", "gate closed", "no end", "not flat"],
)
def test_without_a_steady_control_pass_a_drill_shows_nothing(control: PassHistory | None) -> None:
    assert judged(control=control).verdict == "unknown"


@pytest.mark.parametrize("status", ["aborted", "interrupted"])
def test_a_drill_that_was_not_carried_out_is_unknown(status: DrillStatus) -> None:
    assert judged(status=status).verdict == "unknown"


def test_bounds_are_those_of_the_record() -> None:
    slow = STEP.model_copy(update={"bounds": StepBounds(detect=1.9, recover=2)})
    judgement = judged(definition=DEFINITION.model_copy(update={"steps": (slow,)}))
    assert (judgement.verdict, judgement.deviated_at) == ("fail", "silence: detected")


@pytest.mark.parametrize(("min_seconds", "verdict"), [(2.0, "pass"), (2.2, "unknown")])
def test_a_fault_that_was_too_short_shows_nothing(min_seconds: float, verdict: str) -> None:
    step = STEP.model_copy(update={"min_seconds": min_seconds})
    assert judged(definition=DEFINITION.model_copy(update={"steps": (step,)})).verdict == verdict


def test_a_definition_comes_back_from_its_record() -> None:
    definition = VENUE_OVERLOAD.definition
    assert DrillDefinition.model_validate_json(definition.model_dump_json()) == definition


@pytest.mark.parametrize(("doubtful", "verdict"), [(1, "pass"), (0, "fail")])
def test_a_known_limit_excuses_orders_in_doubt_and_no_other(doubtful: int, verdict: str) -> None:
    """An order that was submitted before the fault, and is missing, is lost."""
    order: Line = (3.5 if doubtful else 1.5, "order_event", {"type": "OrderSubmitted", "client_order_id": "O-1"})
    mismatch: Line = (9.5, "reconciliation_checked", {"state": "mismatch"})
    lines = sorted([*FAULT_LINES[:-2], order, mismatch], key=lambda line: line[0])
    lines.append(end_with(orders_lost=1))
    limited = DEFINITION.model_copy(update={"limits": (ORDERS_IN_DOUBT,)})
    judgement = judged(history("fault", lines), definition=limited)
    assert judgement.verdict == verdict
    assert [limit.name for limit in judgement.engine_limits] == ["orders-in-doubt"] * doubtful
    assert judged(history("fault", lines)).verdict == "fail"


def test_a_known_limit_excuses_no_mismatch_without_orders_in_doubt() -> None:
    mismatch: Line = (9.5, "reconciliation_checked", {"state": "mismatch"})
    limited = DEFINITION.model_copy(update={"limits": (ORDERS_IN_DOUBT,)})
    judgement = judged(history("fault", replaced(FAULT_LINES, 8, mismatch)), definition=limited)
    assert (judgement.verdict, judgement.deviated_at) == ("fail", "last reconciliation")
    assert judgement.engine_limits == ()


@pytest.mark.parametrize(("second", "verdict"), [(5.15, "pass"), (5.4, "pass"), (5.6, "fail")])
def test_an_order_is_in_doubt_until_the_venue_has_ended_the_fault(second: float, verdict: str) -> None:
    """The mark `restored` is at 5.1 s, the venue ends its fault at 5.2 s."""
    order: Line = (second, "order_event", {"type": "OrderSubmitted", "client_order_id": "O-1"})
    lines = sorted([*FAULT_LINES[:-1], order, end_with(orders_lost=1)], key=lambda line: line[0])
    limited = DEFINITION.model_copy(update={"limits": (ORDERS_IN_DOUBT,)})
    assert judged(history("fault", lines), definition=limited).verdict == verdict


@pytest.mark.parametrize(("is_inferred", "verdict"), [(True, "pass"), (False, "fail")])
def test_an_order_that_the_engine_ends_by_inference_stays_in_doubt(is_inferred: bool, verdict: str) -> None:
    order: dict[str, JsonValue] = {"client_order_id": "O-1"}
    submitted: Line = (3.5, "order_event", {"type": "OrderSubmitted", **order})
    canceled: Line = (8.5, "order_event", {"type": "OrderCanceled", **order, "reconciliation": is_inferred})
    lines = sorted([*FAULT_LINES[:-1], submitted, canceled, end_with(orders_lost=1)], key=lambda line: line[0])
    limited = DEFINITION.model_copy(update={"limits": (ORDERS_IN_DOUBT,)})
    assert judged(history("fault", lines), definition=limited).verdict == verdict


def test_a_signal_matches_by_path_and_by_any_of_several_values() -> None:
    signal = Signal(event="e", where={"a.b": [1, 2], "c": True})
    assert signal.matches("e", {"a": {"b": 2}, "c": True})
    assert not signal.matches("e", {"a": {"b": 3}, "c": True})
    assert not signal.matches("e", {"a": 2, "c": True})
    assert not signal.matches("f", {"a": {"b": 2}, "c": True})


def test_the_text_of_a_signal_is_short() -> None:
    signal = Signal(event="e", where={"range": list(range(3, 200)), "some": [1, 2, 4], "two": [1, 2], "flag": True})
    assert signal.text == "e range=3..199 some=1|2|4 two=1|2 flag=True"
