"""One pass of a drill: start a run, see it steady, disturb it or not, see it steady again, end it.

The pass waits and records; whether what it saw is good is decided by `judge`, from the record alone.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from opslab.context import Context
from opslab.drills.drill import Disturbance, Drill, Injection, KillSwitchActivation, ProcessSignal, VenueFault
from opslab.drills.execution.journal_follower import JournalFollower
from opslab.drills.execution.run_process import RunProcess
from opslab.drills.execution.stop_conditions import Aborted, Interrupted, NotStarted, StopConditions
from opslab.drills.history import ENDINGS
from opslab.drills.judgement.evidence import STEADY_HEARTBEATS
from opslab.errors import Environment, LabError
from opslab.killswitch import switch
from opslab.model.checks.drill import Ending, HistoryEvent, Mark, PassHistory, PassKind, Signal, StepDefinition
from opslab.model.messages.drill_messages import DrillRunPlan
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.runs import recovery
from opslab.runs.processes.venue_control_client import ControlClient, open_control
from opslab.runs.processes.venue_service import audit_venue
from opslab.runs.record.state import as_seen, read_state
from opslab.runs.record.verify import verify
from opslab.system import StopSignals, pause

STEADY_SECONDS = 90.0
"""Time for a run to start and to become steady."""
END_SECONDS = 60.0
MAX_HOLD_SECONDS = 4.0
"""Time that a control pass waits in place of a fault that lasts until it is detected."""
POLL_SECONDS = 0.02
ACTOR = "drill"

OnProgress = Callable[[PassKind, str], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """A reaction is waited for beyond its bound, so that a late one is measured as late."""

    factor: float = 3.0
    seconds: float = 5.0

    def beyond(self, bound: float) -> float:
        return bound * self.factor + self.seconds


@dataclass(slots=True)
class DrillPass:
    context: Context
    drill: Drill
    kind: PassKind
    plan: DrillRunPlan
    command: Sequence[str]
    signals: StopSignals
    on_progress: OnProgress
    conditions: StopConditions
    patience: Patience = Patience()
    _marks: list[Mark] = field(default_factory=list)
    _control: ControlClient | None = None
    """Its end ends the faults."""
    _faults: list[tuple[int, bool]] = field(default_factory=list)
    """Number, and whether it lasts until the end of the pass."""
    _ending: Ending | None = None
    _follower: JournalFollower = field(init=False)
    _process: RunProcess = field(init=False)
    _began_s: float = field(init=False)
    unreached: str | None = None
    """The state that a step needs and that the run did not have in time."""

    def run(self) -> None:
        """To the end of the pass. Raises Aborted, Interrupted, LabError; the run has been ended then too."""
        self._follower = JournalFollower(self.context.layout.run(self._run_id))
        self._began_s = self.context.clock.monotonic_s()
        self.conditions.check(self._began_s, self.context.clock, self.context.layout.home)
        self._process = RunProcess(self.plan, self.command)
        try:
            self._mark("started")
            if self._becomes_steady():
                self._mark("steady")
                for number in range(len(self.drill.disturbances)):
                    if not self._step(number):
                        break
            self._stop()
        finally:
            self._restore(is_end=True)
            self._close()

    def history(self) -> PassHistory:
        return PassHistory(
            kind=self.kind,
            run_id=self.plan.run_id,
            events=tuple(self._follower.events),
            marks=tuple(self._marks),
            ending=self._ending,
        )

    @property
    def has_run(self) -> bool:
        """Whether there is a run to record."""
        return self._ending is not None

    @property
    def status(self) -> str | None:
        """Of the run, after its end."""
        return self._ending.status if self._ending else None

    @property
    def was_steady(self) -> bool:
        return any(mark.name == "steady" for mark in self._marks)

    @property
    def _run_id(self) -> RunId:
        return RunId(self.plan.run_id)

    # Waiting.

    def _pump(self) -> list[HistoryEvent]:
        """New lines; waits a moment when there are none. Raises Aborted, Interrupted."""
        if self.signals.name:
            raise Interrupted(self.signals.name)
        self.conditions.check(self._began_s, self.context.clock, self.context.layout.home)
        try:
            new = self._follower.read()
        except ValueError:
            raise Aborted("the journal of the run has a line that is no event") from None
        for event in new:
            self.conditions.check_event(event)
        if not new and self._process.wait(POLL_SECONDS):
            new = self._follower.read()
            if not new:
                raise _RunEnded
        return new

    def _wait_for(self, signal: Signal, after: int, seconds: float) -> HistoryEvent | None:
        """The first line after this one that fits; None when it does not come in time, or the run ends without it."""
        deadline_s = self.context.clock.monotonic_s() + seconds
        checked = 0
        while True:
            events = self._follower.events
            for event in events[checked:]:
                if event.seq > after and signal.matches(event.event, event.payload):
                    return event
            checked = len(events)
            if self.context.clock.monotonic_s() > deadline_s:
                return None
            try:
                self._pump()
            except _RunEnded:
                return None

    def _hold(self, seconds: float) -> None:
        deadline_s = self.context.clock.monotonic_s() + seconds
        with suppress(_RunEnded):
            while self.context.clock.monotonic_s() < deadline_s:
                self._pump()

    def _becomes_steady(self, after: int = 0, seconds: float = STEADY_SECONDS) -> bool:
        """Some heartbeats in a row fit every probe."""
        deadline_s = self.context.clock.monotonic_s() + seconds
        row, checked = 0, 0
        while self.context.clock.monotonic_s() < deadline_s:
            events = self._follower.events
            for event in events[checked:]:
                if event.event != "paper_heartbeat" or event.seq <= after:
                    continue
                fits = all(probe.signal.matches(event.event, event.payload) for probe in self.drill.definition.probes)
                row = row + 1 if fits else 0
                if row >= STEADY_HEARTBEATS:
                    return True
            checked = len(events)
            try:
                self._pump()
            except _RunEnded:
                return False
        return False

    # A step.

    def _step(self, number: int) -> bool:
        """Disturb the run once. False: the state that the step is about was not reached, or the run has ended."""
        step, disturbance = self.drill.definition.steps[number], self.drill.disturbances[number]
        self.on_progress(self.kind, f"waiting until {step.reached_text}")
        if not self._wait_for(step.reached, self._follower.seq, STEADY_SECONDS):
            self.unreached = step.reached_text
            return False
        if self.kind == "control":
            self._sham(step, disturbance)
            return True
        self.on_progress(self.kind, f"injecting: {step.injection}")
        begin = self._mark("injected", number, step.injection)
        for injection in (*disturbance.injections, *disturbance.stimulus):
            if self._inject(injection):
                self._mark("delivered", number)
        seen = self._react(number, step, disturbance, begin)
        if self.drill.ends_run_by == "stop" and not self._has_ended():
            self.on_progress(self.kind, "waiting for the steady state")
            self._becomes_steady(seen, self.patience.beyond(step.bounds.recover))
        self._mark("settled", number)
        return True

    def _react(self, number: int, step: StepDefinition, disturbance: Disturbance, begin: Mark) -> int:
        """Wait for the detection, the action and the recovery, and restore in between. The last line of these.

        Without a detection there is no recovery that could be measured.
        """
        bounds = step.bounds
        began_s = self.context.clock.monotonic_s()
        detected = self._wait_for(step.detected, begin.seq, self.patience.beyond(bounds.detect))
        after = detected.seq if detected else begin.seq
        if detected and step.acted and disturbance.restore_when != "detected":
            acted = self._wait_for(step.acted, after - 1, self.patience.beyond(bounds.act or bounds.detect))
            after = acted.seq if acted else after
        remaining_s = disturbance.hold_seconds - (self.context.clock.monotonic_s() - began_s)
        if remaining_s > 0:
            self._hold(remaining_s)
        self.on_progress(self.kind, "restoring")
        for correction in disturbance.corrections:
            self._inject(correction)
        self._mark("restored", number)
        self._restore()
        for restoration in disturbance.restorations:
            self._inject(restoration)
        if detected is None:
            return self._follower.seq
        patience_s = self.patience.beyond(bounds.recover)
        recovered = self._wait_for(step.recovered, after, patience_s)
        for signal in step.also:
            self._wait_for(signal, begin.seq, patience_s)
        return recovered.seq if recovered else after

    def _sham(self, step: StepDefinition, disturbance: Disturbance) -> None:
        """Do only what the drill does in both passes, and wait about as long as the fault would last."""
        self.on_progress(self.kind, f"without the fault: {step.name}")
        for injection in disturbance.stimulus:
            self._inject(injection)
        self._hold(max(disturbance.hold_seconds, min(MAX_HOLD_SECONDS, step.bounds.detect)))

    def _inject(self, injection: Injection) -> bool:
        """Whether a process was seen to be dead or stopped by it."""
        match injection:
            case VenueFault(name=name, terms=terms, until_end=until_end):
                answer = self._venue().request("start", fault=name, terms=dict(terms), **{"while": "connected"})
                if answer["remaining_seconds"] is not None:
                    self._faults.append((answer["number"], until_end))
            case ProcessSignal(process=process, action=action):
                return self._process.send_signal(process, action)
            case KillSwitchActivation():
                switch.activate(
                    self.context.layout, self._run_id, f"drill {self.drill.name}", ACTOR, self.context.clock
                )
        return False

    def _venue(self) -> ControlClient:
        if self._control is None:
            self._control = open_control(self.context.layout, self.plan.run_id)
        return self._control

    # The end.

    def _restore(self, *, is_end: bool = False) -> None:
        """End the faults, in the end those too that last until then. What cannot be ended, ends with the connection."""
        ended = [number for number, until_end in self._faults if is_end or not until_end]
        self._faults = [] if is_end else [fault for fault in self._faults if fault[1]]
        self._process.resume()
        if self._control is None:
            return
        with suppress(LabError):
            for number in reversed(ended):
                self._control.request("stop", number=number)
        if not self._faults:
            self._control.close()
            self._control = None

    def _has_ended(self) -> bool:
        return self._process.wait(0)

    def _stop(self) -> None:
        killed = self.kind == "fault" and any(
            injection == ProcessSignal("control", "kill")
            for disturbance in self.drill.disturbances
            for injection in disturbance.injections
        )
        self._mark("stopped", detail="killed" if killed and self._has_ended() else None)
        if self.drill.ends_run_by == "itself":
            self._hold(END_SECONDS)
        self._process.stop()

    def _close(self) -> None:
        """End the run whatever happened, and note what is left of it. Raises NotStarted."""
        self._process.stop()
        deadline_s = self.context.clock.monotonic_s() + END_SECONDS
        while not self._process.wait(POLL_SECONDS):
            if self.signals.count > 1 or self.context.clock.monotonic_s() > deadline_s:
                self._process.send_signal("control", "kill")
                break
        exit_code = self._process.close()
        folder = self.context.layout.run(self._run_id)
        if not folder.is_dir():
            raise NotStarted(
                f"the run of the {self.kind} pass did not start: {self._process.output() or 'no reason given'}"
            )
        if exit_code is None:
            self._recover()
        self._clear_switch()
        with suppress(ValueError):
            self._follower.read()
        self._mark("ended")
        self._ending = self._look_at_the_end(exit_code)

    def _recover(self) -> None:
        """Settle a run whose control was killed. Its venue ends by itself, when the account is flat."""
        deadline_s = self.context.clock.monotonic_s() + END_SECONDS
        while True:
            try:
                recovery.recover(self.context, self._run_id, None)
                return
            except Environment:
                if self.context.clock.monotonic_s() > deadline_s:
                    return
                pause(POLL_SECONDS)

    def _clear_switch(self) -> None:
        """A switch that the drill activated is of no use to anybody after its run."""
        run_switch = switch.read_switch(self.context.layout, self._run_id)
        if run_switch.state == "active":
            switch.clear(self.context.layout, self._run_id, "the drill has ended", ACTOR, self.context.clock)

    def _look_at_the_end(self, exit_code: int | None) -> Ending:
        folder = self.context.layout.run(self._run_id)
        metadata = as_seen(read_state(folder), self.context.processes)
        flat = proven = None
        with suppress(LabError):
            audit = audit_venue(self.context.layout, self.plan.run_id)
            flat, proven = not audit.position and not audit.open_orders, audit.proven
        return Ending(
            exit_code=exit_code,
            status=metadata.status,
            verification=verify(self.context, self._run_id, lambda _size: None).verdict,
            flat=flat,
            ledger_is_proven=proven,
        )

    def _mark(self, name: str, step: int | None = None, detail: str | None = None) -> Mark:
        at = iso(self.context.clock.now_ns())
        mark = Mark.model_validate({"name": name, "at": at, "seq": self._follower.seq, "step": step, "detail": detail})
        self._marks.append(mark)
        return mark


class _RunEnded(Exception):
    """The run's process has ended, and every line of its journal was read."""


__all__ = ["ENDINGS", "DrillPass", "OnProgress", "Patience"]
