"""The rules of a paper run: what follows from a fact, in each phase. Pure functions; `run.py` performs the actions."""

from dataclasses import replace
from typing import Literal

from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.forced_close import ForcedCloseKind
from opslab.model.run.metadata import Failure
from opslab.model.run.paper_summary import PaperFacts
from opslab.model.spec.run_spec import PaperLimits
from opslab.runs.paper.closing_event import bound_reached, recorded_reason
from opslab.runs.paper.machine import actions, facts
from opslab.runs.paper.machine.state import COMPLETING, PaperState, RunBounds
from opslab.runs.paper.reconciler import LiveOccasion
from opslab.runs.paper.venue_supervisor import MAX_VENUE_STARTS

LAST_BAR_TIMEOUT_SECONDS = 5.0
"""Time for the last bar to be handled after the venue has sent its last candle."""
ENGINE_REASONS: frozenset[StopReason] = frozenset(
    {"last_bar", "failure", "node_ended", "control_lost", "control_backlog"}
)
"""Reasons for which an engine may end the run without a request from control."""
MARGIN_CALLED = Failure(kind="account", message="the exchange called for margin: the position may be closed by force")

Step = tuple[PaperState, tuple[actions.Action, ...]]
FinalStatus = Literal["completed", "failed", "halted", "interrupted"]


def step(state: PaperState, fact: facts.Fact, bounds: RunBounds) -> Step:
    """The next state, and the actions to perform in their order."""
    match fact:
        case facts.VenueListening():
            return _venue_listening(state)
        case facts.VenueExited():
            return _venue_lost(state, fact)
        case facts.ReplayEnded(now_s=now_s):
            return (state if state.replayed_s is not None else replace(state, replayed_s=now_s)), ()
        case facts.SignalReceived():
            return _signal_received(state, fact)
        case facts.KillSwitchActive():
            return _kill_switch_active(state)
        case facts.FirstHeartbeat(now_s=now_s):
            return _first_heartbeat(state, now_s)
        case facts.GateReported(reason=reason):
            return _gate_closed(state, reason, bounds)
        case facts.PositionForceClosed(kind=kind):
            return _account_ended_run(state, force_closed(kind), "forced_close")
        case facts.MarginCalled():
            return _account_ended_run(state, MARGIN_CALLED, "margin_call")
        case facts.EngineFinishing():
            return _engine_finishing(state), ()
        case facts.FinalSnapshot():
            return _start_reconciliation(state, "final")
        case facts.EngineUnhealthy(complaint=complaint):
            return state, (actions.KillEngine(dump_stacks=complaint != "memory"),)
        case facts.EngineExited(failure=failure):
            return _engine_ended(state, failure, bounds.limits)
        case facts.Reconciled(occasion=occasion, now_s=now_s):
            due_s = now_s + bounds.limits.reconcile_every_seconds
            return (state if occasion == "final" else replace(state, reconcile_at_s=due_s)), ()
        case facts.ClockChecked(now_s=now_s):
            return _clock_checked(state, now_s, bounds)
        case facts.ControlFailed(failure=failure):
            return _control_failed(state, failure)


def force_closed(*kinds: ForcedCloseKind) -> Failure:
    """The failure of a run whose position the exchange closed."""
    return Failure(kind="account", message=f"the exchange closed the position by force: {', '.join(kinds)}")


def unrecorded_forced_close(state: PaperState, facts: PaperFacts) -> Failure | None:
    """The failure of a run with a forced close in the venue's ledger, whether an engine reported it or not."""
    is_kept = state.signal or state.is_halted
    return force_closed(*facts.forced_closes) if facts.forced_closes and not is_kept else None


def final_status(state: PaperState, account_failure: Failure | None) -> FinalStatus:
    """The status of a run that is done. account_failure: the account is not as the run must leave it."""
    if final_failure(state, account_failure):
        return "failed"
    if state.is_halted:
        return "halted"
    if state.signal:
        return "interrupted"
    assert state.reason in COMPLETING, state.reason
    return "completed"


def final_failure(state: PaperState, account_failure: Failure | None) -> Failure | None:
    """In a halt, only the account counts."""
    return account_failure if state.is_halted else state.failure or account_failure


# The venue.


def _venue_listening(state: PaperState) -> Step:
    """The first time, the engine is started; a venue that was restarted replays the rest."""
    if state.phase == "venue_starting":
        return replace(state, phase="engine_starting", engine_number=1, replayed_s=None), (actions.StartEngine(1),)
    return replace(state, replayed_s=None), ()


def _venue_lost(state: PaperState, lost: facts.VenueExited) -> Step:
    """It is restarted, up to a limit. After the end of the engine, the settlement of the account does that."""
    if state.phase == "done":
        return state, ()
    if lost.start_number < MAX_VENUE_STARTS:
        return state, (actions.StartVenue(),)
    message = f"the venue was lost {lost.start_number} times; the last time: {lost.cause}"
    return _stop(_failed(state, Failure(kind="lab", message=message)), "venue_lost")


# Requests to end the run.


def _stop(state: PaperState, reason: StopReason) -> Step:
    """The engine closes its gate, applies `on_stop` to the account, and ends."""
    begin: tuple[actions.Action, ...] = ()
    if state.reason is None:
        begin = (actions.RecordStopping(reason), actions.CountClosedMinutes())
        state = replace(state, reason=reason)
    if not state.has_engine:
        return replace(state, phase="done"), begin
    return replace(state, phase="stopping"), (*begin, actions.StopEngine(reason))


def _signal_received(state: PaperState, received: facts.SignalReceived) -> Step:
    """The first signal stops the run, the second one kills its engine. The first does not replace another reason."""
    if state.reason is None or received.count > 1:
        state = replace(state, signal=received.name)
    if received.count > 1 and state.has_engine:
        return state, (actions.KillEngine(),)
    return _stop(state, received.name)


def _kill_switch_active(state: PaperState) -> Step:
    """The run cannot continue, and no other reason for its end counts any more."""
    begin = () if state.is_halted else (actions.CountClosedMinutes(),)
    state = replace(state, reason="kill_switch")
    if not state.has_engine:
        return replace(state, phase="done"), (*begin, actions.RecordGateClosed())
    return replace(state, phase="stopping"), (*begin, actions.HaltEngine())


def _account_ended_run(state: PaperState, failure: Failure, reason: StopReason) -> Step:
    """A run whose position the exchange closed, or may close, has failed: its strategy must not continue.

    A run that is ending already keeps its reason; after a signal or the kill switch, it keeps its status too.
    """
    if state.signal or state.is_halted:
        return state, ()
    failed = _failed(state, failure)
    return (failed, ()) if state.reason else _stop(failed, reason)


def _clock_checked(state: PaperState, now_s: float, bounds: RunBounds) -> Step:
    if state.phase not in ("engine_starting", "running"):
        return state, ()
    if now_s > bounds.deadline_s:
        return _stop(state, "max_seconds")
    if _is_last_bar_overdue(state, now_s):
        return _stop(state, bound_reached(bounds.limits, bounds.rows))
    if state.reconcile_at_s is not None and now_s > state.reconcile_at_s:
        return _start_reconciliation(state, "periodic")
    return state, ()


def _is_last_bar_overdue(state: PaperState, now_s: float) -> bool:
    """Whether the last bar is late or was lost, so that waiting is pointless."""
    if state.replayed_s is None or state.first_heartbeat_s is None:
        return False
    return now_s > max(state.replayed_s, state.first_heartbeat_s) + LAST_BAR_TIMEOUT_SECONDS


def _control_failed(state: PaperState, failure: Failure) -> Step:
    """The caller records the end and seals the run."""
    failed = _failed(state, failure)
    return replace(failed, phase="done", reason=state.reason or "failure"), (actions.AbandonChildren(),)


# The engine.


def _first_heartbeat(state: PaperState, now_s: float) -> Step:
    phase = "running" if state.phase == "engine_starting" else state.phase
    state, started = _start_reconciliation(replace(state, phase=phase, first_heartbeat_s=now_s), "startup")
    if state.engine_number > 1:  # the lost engine never acknowledges its last candle
        return state, (*started, actions.AcknowledgeAllBars())
    return state, started


def _gate_closed(state: PaperState, reason: StopReason, bounds: RunBounds) -> Step:
    """By request, for a reason of the engine's own, or by a signal from elsewhere: that is a failure of the engine.

    An engine that has seen the kill switch first reports the closed gate, and then the switch.
    """
    if state.reason is not None:
        return state, ()
    if reason == "kill_switch":
        return _engine_finishing(state), ()
    if reason not in ENGINE_REASONS:
        return _engine_finishing(state), (actions.FailEngine(_unrequested_end(reason)),)
    recorded = recorded_reason(reason, bounds.limits, bounds.rows)
    return replace(state, phase="stopping", reason=recorded), (actions.CountClosedMinutes(),)


def _engine_finishing(state: PaperState) -> PaperState:
    return replace(state, phase="engine_ending") if state.phase in ("engine_starting", "running") else state


def _engine_ended(state: PaperState, failure: Failure | None, limits: PaperLimits) -> Step:
    """The engine ended as it should, or is lost.

    After a signal or the kill switch, a failure of the engine is part of the requested end. Without a reason to end the
    run, a lost engine is replaced where the spec allows it. In all other cases a loss is the run's failure.
    """
    done = replace(state, phase="done", reason=state.reason or "engine_ended")
    if state.signal or state.is_halted:
        return done, ()
    if failure is None:
        return (done if done.reason in COMPLETING else _failed(done, _unrequested_end(done.reason))), ()
    if state.reason is None and _may_restart(state, failure, limits):
        number = state.engine_number + 1
        restarting = replace(
            state, phase="engine_starting", engine_number=number, first_heartbeat_s=None, reconcile_at_s=None
        )
        return restarting, (actions.StartEngine(number),)
    if state.reason is None:
        return _failed(replace(done, reason="engine_lost"), failure), (actions.CountClosedMinutes(),)
    return _failed(done, failure), ()


def _may_restart(state: PaperState, failure: Failure, limits: PaperLimits) -> bool:
    """A process failure may be transient; a strategy exception is deterministic, so it is not restarted."""
    return limits.restart == "on_failure" and state.engine_number <= limits.max_restarts and failure.kind != "strategy"


def _unrequested_end(reason: StopReason | None) -> Failure:
    return Failure(kind="engine", message=f"the engine ended by itself: {reason}, which did not come from tc")


def _failed(state: PaperState, failure: Failure) -> PaperState:
    return replace(state, failure=state.failure or failure)


def _start_reconciliation(state: PaperState, occasion: LiveOccasion) -> Step:
    return replace(state, reconcile_at_s=None), (actions.StartReconciliation(occasion),)
