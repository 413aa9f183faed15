"""Claims about every sequence of facts of a paper run: all states that can be reached are visited, by any length."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from opslab.model.messages.engine_messages import StopReason
from opslab.model.run.metadata import Failure
from opslab.model.spec.run_spec import PaperLimits
from opslab.runs.paper.machine import actions, facts
from opslab.runs.paper.machine.rules import Step, final_failure, final_status, step
from opslab.runs.paper.machine.state import COMPLETING, PaperState, RunBounds

MAX_RESTARTS = 2
BOUNDS = RunBounds(
    PaperLimits(max_bars=30, restart="on_failure", max_restarts=MAX_RESTARTS), rows=30, deadline_s=1_000.0
)
OF_VENUE: list[facts.Fact] = [facts.VenueListening(), facts.VenueExited(1, "died"), facts.VenueExited(6, "died"),
                              facts.ReplayEnded(20.0), facts.MarginCalled()]  # fmt: skip
OF_CONTROL: list[facts.Fact] = [
    facts.SignalReceived("SIGTERM", 1),
    facts.SignalReceived("SIGTERM", 2),
    facts.KillSwitchActive(),
    facts.ControlFailed(Failure(kind="lab", message="OSError")),
    *(facts.ClockChecked(now_s) for now_s in (30.0, 1_001.0)),
    *(facts.Reconciled(occasion, 5.0) for occasion in ("startup", "periodic", "final")),
]
OF_ENGINE: list[facts.Fact] = [
    facts.FirstHeartbeat(10.0),
    facts.PositionForceClosed("liquidation"),
    facts.EngineFinishing(),
    facts.FinalSnapshot(),
    facts.EngineUnhealthy("hang"),
    facts.EngineExited(None),
    facts.EngineExited(Failure(kind="engine", message="died")),
    facts.EngineExited(Failure(kind="strategy", message="raised")),
    *(facts.GateReported(reason) for reason in get_args(StopReason)),
]
STARTS = (actions.StartVenue, actions.StartEngine)
ENDING = ("stopping", "done")

Rules = Callable[[PaperState, facts.Fact, RunBounds], Step]
Path = tuple[PaperState, bool]
"""A state, and whether a stop was acted on before it."""


def possible(state: PaperState) -> list[facts.Fact]:
    """A failed control reports nothing more; an engine that does not exist neither."""
    if state.failure and state.failure.message == "OSError":
        return []
    return [*OF_VENUE, *OF_CONTROL, *(OF_ENGINE if state.has_engine else [])]


def is_stop(fact: facts.Fact, following: tuple[actions.Action, ...]) -> bool:
    """Whether control stopped the run, or killed its engine, for this fact, and not for a bound."""
    for action in following:
        if isinstance(action, actions.RecordStopping) and action.reason not in COMPLETING:
            return True
        if isinstance(action, actions.KillEngine) and isinstance(fact, facts.SignalReceived):
            return True
        if isinstance(action, actions.HaltEngine | actions.RecordGateClosed | actions.AbandonChildren):
            return True
    return False


def wrong(before: Path, fact: facts.Fact, rules: Rules) -> tuple[Path, list[str]]:
    """The path after a fact, and what must not be so."""
    old, was_stopped = before
    new, following = rules(old, fact, BOUNDS)
    stopped = was_stopped or is_stop(fact, following)
    claims = {
        "an end goes back": old.phase not in ENDING or new.phase in ENDING,
        "done goes back": old.phase != "done" or new.phase == "done",
        "a reason is replaced": old.reason in (None, new.reason) or new.reason == "kill_switch",
        "the kill switch is forgotten": not old.is_halted or new.is_halted,
        "a failure is replaced": old.failure in (None, new.failure),
        "a signal is forgotten": not old.signal or bool(new.signal),
        "an end has no reason": new.phase not in ENDING or new.reason is not None,
        "something is started after done": new.phase != "done" or not any(isinstance(one, STARTS) for one in following),
        "an engine is started in an end": old.reason is None
        or not any(isinstance(one, actions.StartEngine) for one in following),
        "too many engines": new.engine_number <= MAX_RESTARTS + 1,
        "a run that does not begin to end tells its engine so": new.reason is not None
        or not any(isinstance(one, actions.StopEngine | actions.HaltEngine) for one in following),
    }
    problems = [claim for claim, holds in claims.items() if not holds]
    if new.phase == "done":
        problems += wrong_end(new, stopped)
    return (new, stopped), problems


def wrong_end(state: PaperState, stopped: bool) -> list[str]:
    try:
        status = final_status(state, None)
    except AssertionError:
        return ["it would be completed without a bound"]
    if status == "completed" and stopped:
        return ["a stop that was acted on is completed"]
    if status == "failed" and final_failure(state, None) is None:
        return ["it failed without a failure"]
    return []


def explore(rules: Rules) -> tuple[set[Path], list[str]]:
    """Every path that can be reached, and what is wrong with any."""
    start: Path = (PaperState(), False)
    paths, queue, problems = {start}, deque([start]), list[str]()
    while queue:
        before = queue.popleft()
        for fact in possible(before[0]):
            after, found = wrong(before, fact, rules)
            problems += [f"{claim}: {before[0]}, {fact}" for claim in found]
            if after not in paths:
                paths.add(after)
                queue.append(after)
    return paths, problems


def test_every_sequence_keeps_what_a_run_promises() -> None:
    paths, problems = explore(step)
    assert problems == []
    states = [state for state, _ in paths]
    assert {state.phase for state in states} == {
        "venue_starting", "engine_starting", "running", "engine_ending", "stopping", "done",
    }  # fmt: skip
    done = [state for state in states if state.phase == "done"]
    assert {final_status(state, None) for state in done} == {"completed", "failed", "halted", "interrupted"}
    assert {state.reason for state in done if final_status(state, None) == "completed"} == {"max_bars", "max_seconds"}


def test_every_state_can_end_and_an_end_needs_the_engine_only() -> None:
    """A signal, then the end of the engine: no state waits for anything else."""
    for state, _ in explore(step)[0]:
        after, _ = step(state, facts.SignalReceived("SIGINT", 1), BOUNDS)
        if after.phase != "done":
            after, _ = step(after, facts.EngineExited(None), BOUNDS)
        assert after.phase == "done", state


def forgets_the_signal(state: PaperState, fact: facts.Fact, bounds: RunBounds) -> Step:
    after, following = step(state, fact, bounds)
    return replace(after, signal=None), following


def restarts_in_an_end(state: PaperState, fact: facts.Fact, bounds: RunBounds) -> Step:
    if isinstance(fact, facts.EngineExited) and fact.failure and not state.signal:
        state = replace(state, reason=None)
    return step(state, fact, bounds)


def takes_the_deadline_of_an_ended_run(state: PaperState, fact: facts.Fact, bounds: RunBounds) -> Step:
    if isinstance(fact, facts.ClockChecked) and state.reason:
        return replace(state, reason="max_seconds"), ()
    return step(state, fact, bounds)


def completes_whatever_ended(state: PaperState, fact: facts.Fact, bounds: RunBounds) -> Step:
    after, following = step(state, fact, bounds)
    if after.phase == "done" and isinstance(fact, facts.EngineExited):
        after = replace(after, reason="max_bars", signal=None, failure=None)
    return after, following


@pytest.mark.parametrize(
    ("rules", "claim"),
    [
        (forgets_the_signal, "it would be completed without a bound"),
        (restarts_in_an_end, "an engine is started in an end"),
        (takes_the_deadline_of_an_ended_run, "a reason is replaced"),
        (completes_whatever_ended, "a stop that was acted on is completed"),
    ],
)
def test_wrong_rules_are_found(rules: Rules, claim: str) -> None:
    assert any(claim in problem for problem in explore(rules)[1])
