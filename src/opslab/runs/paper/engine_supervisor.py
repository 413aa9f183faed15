"""Supervise the engine child of a paper run: start, query, stop, kill, classify its end."""

from collections.abc import Callable
from pathlib import Path

from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.venue_messages import VenueEndpoints
from opslab.model.pipe.messages import HaltCommand, Stop, TakeSnapshot
from opslab.model.primitives.instant import iso
from opslab.model.run.metadata import Failure
from opslab.runs.lifecycle import RunContext
from opslab.runs.paper.engine_session import (
    Bounds,
    Complaint,
    EngineObservation,
    EngineSession,
    complaint,
    engine_end_code,
    failure_of,
)
from opslab.runs.planning.plan import PaperPlan
from opslab.runs.processes.child_process import ChildProcess
from opslab.runs.processes.engine_log import EngineLogCounter
from opslab.runs.processes.inbox import Inbox
from opslab.runs.safety.halt_controller import Escalation

STOP_TIMEOUT_SECONDS = 20.0
"""From the stop request to SIGKILL: time to flatten, reconcile once more and disconnect."""

STACK_DUMP_SECONDS = 0.5
"""Time a hanging engine has to print the stacks of its threads."""


class EngineSupervisor:
    def __init__(self, plan: PaperPlan, logs: Path, context: RunContext, inbox: Inbox) -> None:
        limits = plan.spec.paper
        self.bounds = Bounds(float(limits.hang_after_seconds), limits.max_memory_mb << 20)
        self.session: EngineSession | None = None
        """The running engine."""
        self.log_counter = EngineLogCounter(plan.spec.observability.log)
        """Of the engines that have ended."""
        self._plan = plan
        self._logs = logs
        self._context = context
        self._clock = context.clock
        self._inbox = inbox

    def start(self, number: int, endpoints: VenueEndpoints, earlier_order_ids: tuple[str, ...]) -> None:
        """earlier_order_ids: see `LivePlan`. Raises Environment when no process can be started."""
        log = self._logs / ("engine.log" if number == 1 else f"engine-{number}.log")
        plan = self._plan.live(endpoints, number, self._context.layout.home, earlier_order_ids)
        child = ChildProcess(
            "engine",
            plan,
            log,
            self._clock,
            self._context.command,
            stop_seconds=STOP_TIMEOUT_SECONDS,
            log_level=plan.log_level,
        )
        self.session = EngineSession(number, child, self._clock.monotonic_s(), iso(self._clock.now_ns()))
        self._inbox.register(self.session.source, child)

    def request_snapshot(self, number: int) -> None:
        """The snapshot carries the number."""
        if self.session:
            self.session.child.send(TakeSnapshot(request_number=number))

    def stop(self, reason: StopReason) -> None:
        if self.session:
            self.session.child.send(Stop(reason=reason))
            self.session.child.stop()

    def complaint(self, now_s: float, *, expects_heartbeats: bool = True) -> Complaint | None:
        """A complaint that is new. None for an engine that has sent its result."""
        session = self.session
        if session is None or session.killed_for is not None or session.result:
            return None
        observed = EngineObservation(session.started_s, session.last_heartbeat_s, session.child.memory_bytes())
        found = complaint(observed, self.bounds, now_s)
        session.killed_for = found if expects_heartbeats or found == "memory" else None
        return session.killed_for

    def on_ended(self, session: EngineSession) -> Failure | None:
        """The process has ended. Returns why; None when it ended as requested."""
        self._inbox.unregister(session.source)
        session.child.close()
        self.log_counter.add(session.child.log_counter)
        failure = failure_of(session, session.child.failure(self._context.redact), self.bounds)
        session.ended_by = engine_end_code(session, failure)
        self.session = None
        return failure

    def halt(self, command: HaltCommand) -> None:
        """From now on only `escalate` has deadlines."""
        if self.session:
            self.session.child.send(command)
            self.session.child.remove_deadline()

    def escalate(self, escalation: Escalation) -> None:
        """In a halt that the engine does not follow in time."""
        if self.session and escalation == "sigterm":
            self.session.child.stop()
        elif self.session and escalation == "sigkill":
            self.session.child.kill()

    def fail(self, failure: Failure) -> None:
        """The engine ends with this failure, unless it reports another one."""
        if self.session:
            self.session.failure = failure

    def kill(self, receive: Callable[[float], None] | None = None) -> None:
        """receive: handles messages for that many seconds at most, while the engine prints its stacks into its log;
        None: kill it at once.
        """
        session = self.session
        if session and receive:
            session.child.dump_stacks()
            deadline = self._clock.monotonic_s() + STACK_DUMP_SECONDS
            while (remaining_s := deadline - self._clock.monotonic_s()) > 0:
                receive(remaining_s)
        if session and session is self.session:  # it may have ended meanwhile
            session.child.kill()

    def abandon(self) -> None:
        """Kill the process and wait for its end, without reading its messages."""
        if self.session:
            self.session.child.kill()
            self.session.child.close()
