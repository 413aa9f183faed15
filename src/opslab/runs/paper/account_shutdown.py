"""The account at the end of a paper run: nobody but its venue can say how it was left, and end what is open."""

from collections.abc import Callable
from dataclasses import dataclass

from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.paper_messages import AccountSnapshot
from opslab.ports import Clock
from opslab.runs.paper.halt import flatten_halted
from opslab.runs.paper.shutdown import FinalAccount, apply_on_stop
from opslab.runs.paper.telemetry import RunTelemetry
from opslab.runs.paper.venue_supervisor import MAX_VENUE_STARTS, VenueSupervisor
from opslab.runs.planning.plan import PaperPlan
from opslab.runs.record.run_journal import RunJournal
from opslab.runs.safety.halt_controller import HaltController

FINAL_ACCOUNT_SECONDS = 15.0
"""How long the end waits for a venue that is just coming up, or has to be started once more."""


@dataclass(slots=True)
class AccountShutdown:
    plan: PaperPlan
    venue: VenueSupervisor
    halt: HaltController
    clock: Clock
    log: RunJournal
    telemetry: RunTelemetry
    minutes: int | None = None
    """Candles that the venue had closed when the run came to its end."""
    _left: FinalAccount | None = None

    def count_minutes(self) -> None:
        """The run comes to its end: what is closed behind this, no engine was to see."""
        self._count(self.venue.statement() if self.minutes is None else None)

    def leave(self, reason: StopReason, listen: Callable[[float], None]) -> FinalAccount:
        """Once; what was found then is the answer from there on. listen: hears for so many seconds what is said."""
        if self._left is None:
            self._left = self._ask(reason, listen)
            if self._left.statement is None and self.venue.is_running:  # it hangs; started again it has the same account
                self.venue.kill()
                self._left = self._ask(reason, listen)
            self._count(self._left.statement)
        return self._left

    def abandon(self, redact: Callable[[str], str]) -> None:
        """Something broke in control itself: the venue ends the account, and itself."""
        if self.venue.is_running:
            if self.halt.is_on or self.plan.spec.paper.on_stop == "flatten":
                self.venue.flatten("control failed")
            self.venue.stop()
            self.venue.on_ended(redact)

    def _count(self, statement: AccountSnapshot | None) -> None:
        if self.minutes is None and statement:
            self.minutes = statement.minutes

    def _ask(self, reason: StopReason, listen: Callable[[float], None]) -> FinalAccount:
        deadline = self.clock.monotonic_s() + FINAL_ACCOUNT_SECONDS
        while not self.venue.is_listening and (left := deadline - self.clock.monotonic_s()) > 0:
            if not self.venue.is_running and self.venue.start_count > MAX_VENUE_STARTS:
                break
            if not self.venue.is_running:
                self.venue.start()
            listen(left)
        if self.halt.is_on:
            return flatten_halted(self.halt, self.venue, self.log, self.telemetry)
        return FinalAccount(apply_on_stop(self.plan, self.venue, self.log, self.telemetry, reason))
