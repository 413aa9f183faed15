"""The escalation of a halt: what is done to the engine, and when."""

import pytest

from opslab.runs.safety.halt_controller import ALONE_SECONDS, AccountAtVenue, Escalation, HaltProgress, next_escalation


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
    progress = HaltProgress(seconds, gate_closed, done)
    assert next_escalation(progress, lambda: AccountAtVenue(flat, can_flatten=True)) == escalation


@pytest.mark.parametrize(
    ("seconds", "gate_closed", "done", "flat", "open_seconds", "escalation"),
    [
        (0.6, False, "none", False, 0.0, "sigterm"),
        (1.6, False, "sigterm", False, 0.0, "sigkill"),
        (2.6, True, "none", False, 0.0, "none"),
        (8.1, True, "none", False, 8.0, "none"),
        (8.1, True, "sigterm", False, 8.0, "none"),
        (8.1, True, "none", True, 0.0, "sigkill"),
        (20.1, True, "none", True, 20.0, "none"),
        (28.1, True, "none", True, 20.0, "sigkill"),
        (ALONE_SECONDS - 0.1, True, "none", False, 59.0, "none"),
        (ALONE_SECONDS, True, "none", False, 59.0, "sigkill"),
    ],
)
def test_an_engine_with_a_closed_gate_has_more_time_for_an_account_that_the_venue_refuses_to_flatten(
    seconds: float, gate_closed: bool, done: Escalation, flat: bool, open_seconds: float, escalation: Escalation
) -> None:
    progress = HaltProgress(seconds, gate_closed, done, open_seconds)
    assert next_escalation(progress, lambda: AccountAtVenue(flat, can_flatten=False)) == escalation


def test_the_venue_is_queried_only_when_the_answer_matters() -> None:
    def must_not_be_called() -> AccountAtVenue:
        raise AssertionError("queried")

    assert next_escalation(HaltProgress(1.0, True, "none"), must_not_be_called) == "none"
