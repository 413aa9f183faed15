"""The engine of a paper run from control's side: started, asked, killed, and its end explained."""

from pathlib import Path

from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.venue_messages import VenueEndpoints
from opslab.model.primitives.instant import iso
from opslab.model.run.metadata import Failure
from opslab.runs.lifecycle import RunContext
from opslab.runs.paper.engine_session import Bounds, Complaint, EngineSession, Signs, cause, complaint, engine_end_code
from opslab.runs.planning.plan import PaperPlan
from opslab.runs.processes.child_process import ChildProcess
from opslab.runs.processes.inbox import Inbox

PATIENCE_SECONDS = 20.0
"""From being asked to end to being killed: flattening, a last reconciliation, goodbye to the venue."""


class EngineSupervisor:
    def __init__(self, plan: PaperPlan, logs: Path, context: RunContext, inbox: Inbox) -> None:
        limits = plan.spec.paper
        self.bounds = Bounds(float(limits.hang_after_seconds), limits.max_memory_mb << 20)
        self.life: EngineSession | None = None
        """The one that there is now."""
        self._plan = plan
        self._logs = logs
        self._around = context
        self._clock = context.clock
        self._inbox = inbox

    def start(self, number: int, endpoints: VenueEndpoints) -> None:
        """Raises Environment when no process can be started."""
        log = self._logs / ("engine.log" if number == 1 else f"engine-{number}.log")
        plan = self._plan.live(endpoints, number, self._around.layout.home)
        child = ChildProcess("engine", plan, log, self._clock, self._around.command, PATIENCE_SECONDS)
        self.life = EngineSession(number, child, self._clock.monotonic_s(), iso(self._clock.now_ns()))
        self._inbox.listen(self.life.who, child)

    def ask(self, number: int) -> None:
        """For a snapshot, which comes back with that number."""
        if self.life:
            self.life.child.tell({"snapshot": number})

    def stop(self, why: StopReason) -> None:
        if self.life:
            self.life.child.tell({"stop": why})
            self.life.child.stop()

    def complaint(self, now_s: float) -> Complaint | None:
        """What is wrong with it now, and was not before; nothing of one that has told its result."""
        life = self.life
        if life is None or life.killed_for is not None or life.counters:
            return None
        signs = Signs(life.started_s, life.last_beat_s, life.child.memory_bytes())
        life.killed_for = complaint(signs, self.bounds, now_s)
        return life.killed_for

    def gone(self, life: EngineSession) -> Failure | None:
        """Its end was heard: why it ended, None when it did as it was asked."""
        self._inbox.leave(life.who)
        life.child.close()
        failure = cause(life, life.child.failure(self._around.clean), self.bounds)
        life.ended_by = engine_end_code(life, failure)
        self.life = None
        return failure

    def kill(self) -> None:
        """Now, and wait until it is gone. For when nobody listens any more."""
        if self.life:
            self.life.child.kill()
            self.life.child.close()
