"""The rules of a paper run: what follows from each fact in each phase, by hand."""

from collections.abc import Iterator

import pytest

from opslab.model.run.metadata import Failure
from opslab.model.spec.run_spec import PaperLimits
from opslab.runs.paper.machine import facts
from opslab.runs.paper.machine.rules import final_failure, final_status, step
from opslab.runs.paper.machine.state import PaperState, RunBounds

LIMITS = PaperLimits(max_bars=30, restart="on_failure", max_restarts=1, reconcile_every_seconds=10)
BOUNDS = RunBounds(LIMITS, rows=30, deadline_s=1_000.0)
LOST = Failure(kind="engine", message="the engine process died of SIGKILL")
RAISED = Failure(kind="strategy", message="on_bar raised ValueError")

PHASES = {
    "venue starting": PaperState(),
    "engine starting": PaperState("engine_starting", engine_number=1),
    "running": PaperState("running", engine_number=1, first_heartbeat_s=10.0, replayed_s=20.0, reconcile_at_s=12.0),
    "last engine": PaperState("running", engine_number=2, first_heartbeat_s=10.0),
    "engine ending": PaperState("engine_ending", engine_number=1, first_heartbeat_s=10.0),
    "stopping": PaperState("stopping", "max_bars", engine_number=1, first_heartbeat_s=10.0),
    "signaled": PaperState("stopping", "SIGINT", "SIGINT", engine_number=1, first_heartbeat_s=10.0),
    "halted": PaperState("stopping", "kill_switch", engine_number=1, first_heartbeat_s=10.0),
    "done": PaperState("done", "max_bars", engine_number=1, first_heartbeat_s=10.0),
}
FACTS: dict[str, facts.Fact] = {
    "engine lost": facts.EngineExited(LOST),
    "strategy raised": facts.EngineExited(RAISED),
    "engine ended": facts.EngineExited(None),
    "venue lost": facts.VenueExited(1, "died"),
    "venue lost again": facts.VenueExited(6, "died"),
    "signal": facts.SignalReceived("SIGTERM", 1),
    "second signal": facts.SignalReceived("SIGTERM", 2),
    "kill switch": facts.KillSwitchActive(),
    "deadline": facts.ClockChecked(1_001.0),
    "later": facts.ClockChecked(25.5),
    "control failed": facts.ControlFailed(Failure(kind="lab", message="OSError")),
}
# fact: phase -> next phase, reason, failure of, actions
TABLE = """
engine lost: engine starting  -> engine_starting - -             StartEngine
engine lost: running          -> engine_starting - -             StartEngine
engine lost: last engine      -> done engine_lost engine         CountClosedMinutes
engine lost: engine ending    -> engine_starting - -             StartEngine
engine lost: stopping         -> done max_bars engine
engine lost: signaled         -> done SIGINT -
engine lost: halted           -> done kill_switch -
strategy raised: engine starting -> done engine_lost strategy    CountClosedMinutes
strategy raised: running      -> done engine_lost strategy       CountClosedMinutes
strategy raised: last engine  -> done engine_lost strategy       CountClosedMinutes
strategy raised: engine ending -> done engine_lost strategy      CountClosedMinutes
strategy raised: stopping     -> done max_bars strategy
strategy raised: signaled     -> done SIGINT -
strategy raised: halted       -> done kill_switch -
engine ended: engine starting -> done engine_ended engine
engine ended: running         -> done engine_ended engine
engine ended: last engine     -> done engine_ended engine
engine ended: engine ending   -> done engine_ended engine
engine ended: stopping        -> done max_bars -
engine ended: signaled        -> done SIGINT -
engine ended: halted          -> done kill_switch -
venue lost: venue starting    -> venue_starting - -              StartVenue
venue lost: engine starting   -> engine_starting - -             StartVenue
venue lost: running           -> running - -                     StartVenue
venue lost: last engine       -> running - -                     StartVenue
venue lost: engine ending     -> engine_ending - -               StartVenue
venue lost: stopping          -> stopping max_bars -             StartVenue
venue lost: signaled          -> stopping SIGINT -               StartVenue
venue lost: halted            -> stopping kill_switch -          StartVenue
venue lost: done              -> done max_bars -
venue lost again: venue starting -> done venue_lost lab          RecordStopping CountClosedMinutes
venue lost again: engine starting -> stopping venue_lost lab     RecordStopping CountClosedMinutes StopEngine
venue lost again: running     -> stopping venue_lost lab         RecordStopping CountClosedMinutes StopEngine
venue lost again: last engine -> stopping venue_lost lab         RecordStopping CountClosedMinutes StopEngine
venue lost again: engine ending -> stopping venue_lost lab       RecordStopping CountClosedMinutes StopEngine
venue lost again: stopping    -> stopping max_bars lab           StopEngine
venue lost again: signaled    -> stopping SIGINT lab             StopEngine
venue lost again: halted      -> stopping kill_switch lab        StopEngine
venue lost again: done        -> done max_bars -
signal: venue starting        -> done SIGTERM -                  RecordStopping CountClosedMinutes
signal: engine starting       -> stopping SIGTERM -              RecordStopping CountClosedMinutes StopEngine
signal: running               -> stopping SIGTERM -              RecordStopping CountClosedMinutes StopEngine
signal: last engine           -> stopping SIGTERM -              RecordStopping CountClosedMinutes StopEngine
signal: engine ending         -> stopping SIGTERM -              RecordStopping CountClosedMinutes StopEngine
signal: stopping              -> stopping max_bars -             StopEngine
signal: signaled              -> stopping SIGINT -               StopEngine
signal: halted                -> stopping kill_switch -          StopEngine
signal: done                  -> done max_bars -
second signal: venue starting -> done SIGTERM -                  RecordStopping CountClosedMinutes
second signal: engine starting -> engine_starting - -            KillEngine
second signal: running        -> running - -                     KillEngine
second signal: last engine    -> running - -                     KillEngine
second signal: engine ending  -> engine_ending - -               KillEngine
second signal: stopping       -> stopping max_bars -             KillEngine
second signal: signaled       -> stopping SIGINT -               KillEngine
second signal: halted         -> stopping kill_switch -          KillEngine
second signal: done           -> done max_bars -
kill switch: venue starting   -> done kill_switch -              CountClosedMinutes RecordGateClosed
kill switch: engine starting  -> stopping kill_switch -          CountClosedMinutes HaltEngine
kill switch: running          -> stopping kill_switch -          CountClosedMinutes HaltEngine
kill switch: last engine      -> stopping kill_switch -          CountClosedMinutes HaltEngine
kill switch: engine ending    -> stopping kill_switch -          CountClosedMinutes HaltEngine
kill switch: stopping         -> stopping kill_switch -          CountClosedMinutes HaltEngine
kill switch: signaled         -> stopping kill_switch -          CountClosedMinutes HaltEngine
kill switch: halted           -> stopping kill_switch -          HaltEngine
kill switch: done             -> done kill_switch -              CountClosedMinutes RecordGateClosed
deadline: venue starting      -> venue_starting - -
deadline: engine starting     -> stopping max_seconds -          RecordStopping CountClosedMinutes StopEngine
deadline: running             -> stopping max_seconds -          RecordStopping CountClosedMinutes StopEngine
deadline: last engine         -> stopping max_seconds -          RecordStopping CountClosedMinutes StopEngine
deadline: engine ending       -> engine_ending - -
deadline: stopping            -> stopping max_bars -
deadline: signaled            -> stopping SIGINT -
deadline: halted              -> stopping kill_switch -
deadline: done                -> done max_bars -
later: venue starting         -> venue_starting - -
later: engine starting        -> engine_starting - -
later: running                -> stopping max_bars -             RecordStopping CountClosedMinutes StopEngine
later: last engine            -> running - -
later: engine ending          -> engine_ending - -
later: stopping               -> stopping max_bars -
later: signaled               -> stopping SIGINT -
later: halted                 -> stopping kill_switch -
later: done                   -> done max_bars -
control failed: venue starting -> done failure lab               AbandonChildren
control failed: engine starting -> done failure lab              AbandonChildren
control failed: running       -> done failure lab                AbandonChildren
control failed: last engine   -> done failure lab                AbandonChildren
control failed: engine ending -> done failure lab                AbandonChildren
control failed: stopping      -> done max_bars lab               AbandonChildren
control failed: signaled      -> done SIGINT lab                 AbandonChildren
control failed: halted        -> done kill_switch lab            AbandonChildren
control failed: done          -> done max_bars lab               AbandonChildren
"""


def rows() -> Iterator[tuple[str, str, str]]:
    for line in TABLE.strip().splitlines():
        given, _, expected = line.partition("->")
        fact, _, phase = given.partition(":")
        yield fact.strip(), phase.strip(), " ".join(expected.split())


@pytest.mark.parametrize(("fact", "phase", "expected"), list(rows()))
def test_what_follows(fact: str, phase: str, expected: str) -> None:
    state, following = step(PHASES[phase], FACTS[fact], BOUNDS)
    failure = state.failure.kind if state.failure else "-"
    names = [type(action).__name__ for action in following]
    assert " ".join([state.phase, state.reason or "-", failure, *names]) == expected


def test_the_table_is_complete() -> None:
    of_an_engine = {"engine lost", "strategy raised", "engine ended"}
    given = [(fact, phase) for fact, phase, _ in rows()]
    assert len(given) == len(set(given))
    assert set(given) == {
        (fact, phase)
        for fact in FACTS
        for phase in PHASES
        if fact not in of_an_engine or phase not in ("venue starting", "done")
    }


# How it ends.


@pytest.mark.parametrize(
    ("state", "account_failure", "status", "failure"),
    [
        (PaperState("done", "max_bars"), None, "completed", None),
        (PaperState("done", "end_of_data"), None, "completed", None),
        (PaperState("done", "max_seconds"), None, "completed", None),
        (PaperState("done", "SIGHUP", "SIGHUP"), None, "interrupted", None),
        (PaperState("done", "max_bars", "SIGINT"), None, "interrupted", None),
        (PaperState("done", "kill_switch"), None, "halted", None),
        (PaperState("done", "kill_switch", "SIGINT", RAISED), None, "halted", None),
        (PaperState("done", "kill_switch", "SIGINT", RAISED), LOST, "failed", LOST),
        (PaperState("done", "max_bars", None, RAISED), None, "failed", RAISED),
        (PaperState("done", "SIGINT", "SIGINT", RAISED), LOST, "failed", RAISED),
        (PaperState("done", "max_bars"), LOST, "failed", LOST),
    ],
)
def test_how_a_run_ends(
    state: PaperState, account_failure: Failure | None, status: str, failure: Failure | None
) -> None:
    assert final_status(state, account_failure) == status
    assert final_failure(state, account_failure) == failure


@pytest.mark.parametrize("reason", ["SIGINT", "engine_ended", "control_backlog", "failure", "venue_lost"])
def test_a_run_is_never_completed_by_anything_but_a_bound(reason: str) -> None:
    with pytest.raises(AssertionError):
        final_status(PaperState("done", reason), None)  # type: ignore[arg-type]


# The gate of the engine.


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("last_bar", "stopping max_bars CountClosedMinutes"),
        ("failure", "stopping failure CountClosedMinutes"),
        ("control_backlog", "stopping control_backlog CountClosedMinutes"),
        ("SIGTERM", "engine_ending - FailEngine"),
        ("SIGINT", "engine_ending - FailEngine"),
        ("kill_switch", "engine_ending -"),
        ("max_seconds", "engine_ending - FailEngine"),
    ],
)
def test_an_engine_that_closes_its_gate_by_itself(given: str, expected: str) -> None:
    fact = facts.GateReported(given)  # type: ignore[arg-type]
    state, following = step(PHASES["running"], fact, BOUNDS)
    assert " ".join([state.phase, state.reason or "-", *(type(one).__name__ for one in following)]) == expected
    assert step(PHASES["signaled"], fact, BOUNDS) == (PHASES["signaled"], ())


def test_the_last_bar_of_a_run_without_max_bars_is_the_end_of_its_data() -> None:
    bounds = RunBounds(PaperLimits(), rows=30, deadline_s=1_000.0)
    assert step(PHASES["running"], facts.GateReported("last_bar"), bounds)[0].reason == "end_of_data"
    assert step(PHASES["running"], FACTS["later"], bounds)[0].reason == "end_of_data"


def test_an_engine_that_stopped_because_control_did_not_read_fails_the_run() -> None:
    state, _ = step(PHASES["running"], facts.GateReported("control_backlog"), BOUNDS)
    state, _ = step(state, facts.EngineFinishing(), BOUNDS)
    state, _ = step(state, facts.EngineExited(None), BOUNDS)
    assert (state.phase, state.reason) == ("done", "control_backlog")
    assert state.failure is not None
    assert "control_backlog" in state.failure.message
    assert final_status(state, None) == "failed"


def test_no_engine_is_started_twice_for_a_venue_that_comes_back() -> None:
    state, following = step(PaperState(), facts.VenueListening(), BOUNDS)
    assert [type(one).__name__ for one in following] == ["StartEngine"]
    for phase, given in PHASES.items():
        if phase != "venue starting":
            assert step(given, facts.VenueListening(), BOUNDS)[1] == ()
    assert step(state, facts.VenueListening(), BOUNDS)[1] == ()


# Reconciliations.


def test_a_new_engine_is_reconciled_at_its_first_heartbeat() -> None:
    state, following = step(PHASES["engine starting"], facts.FirstHeartbeat(3.0), BOUNDS)
    assert (state.phase, state.first_heartbeat_s) == ("running", 3.0)
    assert [str(one) for one in following] == ["StartReconciliation(occasion='startup')"]


def test_the_candles_of_a_lost_engine_are_acknowledged_when_another_one_is_there() -> None:
    state, _ = step(PHASES["running"], FACTS["engine lost"], BOUNDS)
    assert (state.first_heartbeat_s, state.reconcile_at_s, state.live_phase) == (None, None, "restarting")
    state, following = step(state, facts.FirstHeartbeat(30.0), BOUNDS)
    assert [type(one).__name__ for one in following] == ["StartReconciliation", "AcknowledgeAllBars"]
    assert state.live_phase == "running"


def test_a_periodic_reconciliation_follows_the_last_one() -> None:
    state, _ = step(PHASES["last engine"], facts.Reconciled("startup", 12.0), BOUNDS)
    assert step(state, facts.ClockChecked(22.0), BOUNDS)[1] == ()
    state, following = step(state, facts.ClockChecked(22.1), BOUNDS)
    assert [str(one) for one in following] == ["StartReconciliation(occasion='periodic')"]
    assert step(state, facts.ClockChecked(99.0), BOUNDS)[1] == ()  # one is in progress
    assert step(state, facts.Reconciled("final", 99.0), BOUNDS)[0] == state


def test_the_last_snapshot_of_a_node_is_reconciled() -> None:
    _, following = step(PHASES["stopping"], facts.FinalSnapshot(), BOUNDS)
    assert [str(one) for one in following] == ["StartReconciliation(occasion='final')"]


# The last bar.


@pytest.mark.parametrize(("replayed_s", "heard_s", "now_s", "is_over"), [
    (None, 10.0, 900.0, False),
    (20.0, None, 900.0, False),
    (20.0, 10.0, 25.0, False),
    (20.0, 10.0, 25.1, True),
    (20.0, 30.0, 35.0, False),
    (20.0, 30.0, 35.1, True),
])  # fmt: skip
def test_a_last_bar_that_does_not_come(
    replayed_s: float | None, heard_s: float | None, now_s: float, is_over: bool
) -> None:
    state = PaperState("running", engine_number=1, first_heartbeat_s=heard_s, replayed_s=replayed_s)
    assert (step(state, facts.ClockChecked(now_s), BOUNDS)[0].reason == "max_bars") is is_over


def test_the_end_of_the_replay_counts_once_per_venue() -> None:
    state, _ = step(PHASES["last engine"], facts.ReplayEnded(0.0), BOUNDS)
    assert step(state, facts.ReplayEnded(9.0), BOUNDS)[0].replayed_s == 0.0
    assert step(state, facts.VenueListening(), BOUNDS)[0].replayed_s is None


@pytest.mark.parametrize(("complaint", "dumps"), [("memory", False), ("hang", True), ("no_start", True)])
def test_an_unhealthy_engine_is_killed(complaint: str, dumps: bool) -> None:
    fact = facts.EngineUnhealthy(complaint)  # type: ignore[arg-type]
    state, following = step(PHASES["running"], fact, BOUNDS)
    assert (state, [str(one) for one in following]) == (PHASES["running"], [f"KillEngine(dump_stacks={dumps})"])
