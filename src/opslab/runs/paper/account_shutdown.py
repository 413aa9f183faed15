"""The account at the end of a paper run: the venue reports its state and flattens it where required."""

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
"""Time for a venue that is starting, or has to be restarted, to report the final account."""


@dataclass(slots=True)
class AccountShutdown:
    plan: PaperPlan
    venue: VenueSupervisor
    halt: HaltController
    clock: Clock
    log: RunJournal
    telemetry: RunTelemetry
    minutes: int | None = None
    """Candles that the venue had closed when the run began to end."""
    _result: FinalAccount | None = None

    def record_closed_minutes(self) -> None:
        """The run begins to end: no engine is expected to see later candles."""
        self._set_minutes(self.venue.statement() if self.minutes is None else None)

    def settle(self, reason: StopReason, receive: Callable[[float], None]) -> FinalAccount:
        """Settle the account once; later calls return the same result. receive: handles messages for some seconds."""
        if self._result is None:
            self._result = self._settle_once(reason, receive)
            if (
                self._result.statement is None and self.venue.is_running
            ):  # it hangs; a restarted venue has the same account
                self.venue.kill()
                self._result = self._settle_once(reason, receive)
            self._set_minutes(self._result.statement)
        return self._result

    def abandon(self, redact: Callable[[str], str]) -> None:
        """After an exception in control: the venue flattens the account and ends."""
        if self.venue.is_running:
            if self.halt.is_on or self.plan.spec.paper.on_stop == "flatten":
                self.venue.flatten("control failed")
            self.venue.stop()
            self.venue.on_ended(redact)

    def _set_minutes(self, statement: AccountSnapshot | None) -> None:
        if self.minutes is None and statement:
            self.minutes = statement.minutes

    def _settle_once(self, reason: StopReason, receive: Callable[[float], None]) -> FinalAccount:
        deadline = self.clock.monotonic_s() + FINAL_ACCOUNT_SECONDS
        while not self.venue.is_listening and (remaining_s := deadline - self.clock.monotonic_s()) > 0:
            if not self.venue.is_running and self.venue.start_count > MAX_VENUE_STARTS:
                break
            if not self.venue.is_running:
                self.venue.start()
            receive(remaining_s)
        if self.halt.is_on:
            return flatten_halted(self.halt, self.venue, self.log, self.telemetry)
        return FinalAccount(apply_on_stop(self.plan, self.venue, self.log, self.telemetry, reason))
