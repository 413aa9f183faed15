"""The escalation of a halt: what is done to the engine, and when."""

import pytest

from opslab.runs.safety.halt_controller import Escalation, HaltProgress, next_escalation


@pytest.mark.parametrize(
    ("seconds", "gate_closed", "done", "flat", "escalation"),
    [
        (0.1, False, "none", False, "none"),
        (0.6, False, "none", False, "sigterm"),
        (0.6, True, "none", False, "none"),
        (1.0, False, "sigterm", False, "none"),
        (1.6, False, "sigterm", False, "sigkill"),
        (1.6, True, "none", False, "none"),
        (2.6, True, "none", False, "sigkill"),
        (2.6, True, "none", True, "none"),
        (7.9, True, "none", True, "none"),
        (8.1, True, "none", True, "sigkill"),
        (9.0, False, "sigkill", False, "none"),
    ],
)
def test_an_engine_is_stopped_by_deadlines(
    seconds: float, gate_closed: bool, done: Escalation, flat: bool, escalation: Escalation
) -> None:
    assert next_escalation(HaltProgress(seconds, gate_closed, done), lambda: flat) == escalation


def test_the_venue_is_queried_only_when_the_answer_matters() -> None:
    def must_not_be_called() -> bool:
        raise AssertionError("queried")

    assert next_escalation(HaltProgress(1.0, True, "none"), must_not_be_called) == "none"
