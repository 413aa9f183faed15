"""Whether a paper run did what its rules say: what its journal records is reported to the rules as facts.

What control decided (`run_stopping`, `engine_restarted`, a new venue, the end) is compared with what the rules decide
from what happened: an engine or a venue lost, a gate closed, time. The journal has signals and the kill switch only by
the first event that followed from them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from opslab.model.messages.engine_messages import SignalName
from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from opslab.model.run.event import Event
from opslab.model.run.metadata import Failure
from opslab.model.run.paper_summary import AccountFacts, PaperFacts
from opslab.model.spec.run_spec import PaperLimits, PaperSpec
from opslab.runs.paper.machine import actions, facts
from opslab.runs.paper.machine.rules import final_status, step, unrecorded_forced_close
from opslab.runs.paper.machine.state import PaperState, RunBounds
from opslab.specs.load import load_spec
from opslab.store.runs.journal import read_events
from opslab.store.runs.run_folders import SPEC

ENDINGS = ("run_completed", "run_failed", "run_interrupted", "run_halted")
NOT_FLAT = Failure(kind="lab", message="the account is not as it must be")


class PaperReplay:
    """Call `add` with the events of a run, in order."""

    def __init__(self, limits: PaperLimits, rows: int, started_s: float) -> None:
        self.state = PaperState()
        self.problems: list[str] = []
        self._bounds = RunBounds(limits, rows, started_s + limits.max_seconds)
        self._venue_starts = 1
        self._due: list[str] = []
        """Decisions that are not in the journal yet."""
        self._engines: set[int] = set()
        """Engines with a heartbeat."""

    def add(self, event: Event) -> None:
        for fact in self._facts(event):
            self.state, following = step(self.state, fact, self._bounds)
            self._due += [decision for action in following if (decision := self._decision(action))]
        decided = _decided(event)
        if decided and decided not in self._due:
            self.problems.append(f"control decided {decided}, the rules decide {self._due}")
        elif decided:
            self._due.remove(decided)

    def end(self, closing: Event) -> None:
        if closing.event == "run_failed" and self.state.phase != "done":  # control's own error: it has no other event
            failed = facts.ControlFailed(Failure.model_validate(closing.payload["failure"]))
            self.state, _ = step(self.state, failed, self._bounds)
        state = self.state
        if state.phase != "done" or self._due:
            self.problems.append(f"the run has ended; by its rules it is {state}, and decides {self._due}")
            return
        paper = PaperFacts.model_validate(closing.payload["paper"], strict=False)
        account_failure = self._account_failure(paper.final_account) or unrecorded_forced_close(state, paper)
        status = final_status(state, account_failure)
        ended_by = state.signal if status == "interrupted" else state.reason
        if closing.event != f"run_{status}":
            self.problems.append(f"{closing.event}, by its rules {status}: {state}")
        if closing.payload.get("ended_by", ended_by) != ended_by:
            self.problems.append(f"ended by {closing.payload['ended_by']}, by its rules by {ended_by}")
        if paper.stop and paper.stop.reason != state.reason:
            self.problems.append(f"stopped by {paper.stop.reason}, by its rules by {state.reason}")

    def _account_failure(self, account: AccountFacts | None) -> Failure | None:
        is_left = self._bounds.limits.on_stop == "leave" and not self.state.is_halted
        return None if is_left or (account and account.flat) else NOT_FLAT

    def _decision(self, action: actions.Action) -> str | None:
        match action:
            case actions.StartVenue():
                self._venue_starts += 1
            case actions.StartEngine(number=number) if number > 1:
                return f"engine_restarted {number}"
            case actions.RecordStopping(reason=reason):
                return f"run_stopping {reason}"
        return None

    def _facts(self, event: Event) -> Iterator[facts.Fact]:
        now_s, payload = _seconds(event), event.payload
        match event.event:
            case "venue_started" | "venue_lost":
                number = payload["start_number"]
                if number > self._venue_starts and self.state.phase != "done":
                    self.problems.append(f"{event.event} {number}, the rules started {self._venue_starts}")
                lost = event.event == "venue_lost"
                yield facts.VenueExited(number, payload["reason"]) if lost else facts.VenueListening()
            case "paper_heartbeat" if payload["engine_number"] not in self._engines:
                self._engines.add(payload["engine_number"])
                yield facts.FirstHeartbeat(now_s)
            case "gate_closed":
                yield facts.GateReported(payload["reason"])
            case "forced_close":
                yield facts.PositionForceClosed(payload["kind"])
            case "margin_call":
                yield facts.MarginCalled()
            case "positions_flattened" if payload["by"] == "engine" and not self.state.is_halted:
                yield facts.EngineFinishing()
            case "engine_ended":
                yield facts.EngineExited(None)
            case "engine_lost":
                yield facts.EngineExited(Failure.model_validate(payload["failure"]))
            case "kill_switch_observed" if payload["observed_by"] == "watch":
                yield facts.KillSwitchActive()
            case "run_stopping" if payload["reason"] in get_args(SignalName):
                yield facts.SignalReceived(payload["reason"], 1)
            case "run_stopping" if payload["reason"] in ("max_bars", "end_of_data"):
                yield facts.ReplayEnded(self.state.first_heartbeat_s or now_s)
                yield facts.ClockChecked(now_s)
            case "run_stopping":
                yield facts.ClockChecked(now_s)


def departures(events: Sequence[Event], limits: PaperLimits) -> list[str]:
    """Where a run whose control lived to its end departs from the rules. events: of its journal."""
    names = [event.event for event in events]
    if "run_started" not in names:
        return []
    closing = next(event for event in events if event.event in ENDINGS)
    rows = closing.payload["paper"]["bars_expected"]
    replay = PaperReplay(limits, rows, _seconds(events[names.index("run_started")]))
    for event in events[: events.index(closing)]:
        replay.add(event)
    replay.end(closing)
    return replay.problems


def departures_in(folder: Path) -> list[str]:
    """The same of a paper run's folder."""
    spec = load_spec(folder / SPEC).spec
    assert isinstance(spec, PaperSpec)
    return departures(list(read_events(folder)), spec.paper)


def _decided(event: Event) -> str | None:
    match event.event:
        case "run_stopping":
            return f"run_stopping {event.payload['reason']}"
        case "engine_restarted":
            return f"engine_restarted {event.payload['engine_number']}"
    return None


def _seconds(event: Event) -> float:
    return parse_iso(event.time) / NS_PER_SECOND
