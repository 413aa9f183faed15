"""The end of a paper run: the final account, the results from the venue's ledger, the closing event.

After the end of the engine the venue reports the account and closes what is open against `on_stop`, or after a halt.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Unpack

from opslab.model.journal.engine_events import CancelDetails, OrdersCanceled, PositionsFlattened
from opslab.model.journal.run_events import RunCompleted, RunFailed, RunHalted, RunInterrupted, RunResults
from opslab.model.market.instrument import instrument_of
from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.paper_messages import AccountSnapshot
from opslab.model.primitives.ids import VenueId
from opslab.model.run.engine_log import LogFacts
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.metadata import Failure
from opslab.ports import Clock
from opslab.runs.lifecycle import RunContext
from opslab.runs.paper.closing_event import PaperResults, action_count, closing_results, engine_cost
from opslab.runs.paper.machine.rules import final_failure, final_status, unrecorded_forced_close
from opslab.runs.paper.machine.state import ACCOUNT_REASONS, PaperState
from opslab.runs.paper.results import write_results
from opslab.runs.paper.telemetry import RunTelemetry, is_flat
from opslab.runs.paper.venue_supervisor import MAX_VENUE_STARTS, FlattenRefused, VenueFlattening, VenueSupervisor
from opslab.runs.planning.plan import PaperPlan
from opslab.runs.processes.venue_folder import copy_venue_files, remove_run_venue
from opslab.runs.record.run_journal import RunJournal, write_metrics
from opslab.runs.safety.flat_times import FlatTimes, flat_times
from opslab.runs.safety.halt_controller import AccountAtVenue, HaltController
from opslab.store.runs.run_folders import RowsFile
from opslab.store.venues.ledger import read_ledger

FINAL_ACCOUNT_SECONDS = 15.0
"""Time for a venue that is starting, or has to be restarted, to report the final account."""
TRANSIT_SECONDS = 0.5
"""Time, beside the order latency, for the last orders of an ended engine to be executed: without a flatten, the venue
accepts them."""


@dataclass(frozen=True, slots=True)
class FinalAccount:
    """The account at the end of the run."""

    statement: AccountSnapshot | None
    """As the venue last reported it."""
    halt: HaltFacts | None = None
    """Set for a run that the kill switch stopped."""


@dataclass(slots=True)
class PaperShutdown:
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
            if self._result.statement is None and self.venue.is_running:
                self.venue.kill()  # it hangs; a restarted venue has the same account
                self._result = self._settle_once(reason, receive)
            self._set_minutes(self._result.statement)
        return self._result

    def account_at_venue(self) -> AccountAtVenue:
        """As the venue reports it now; without an answer it is not flat."""
        statement = self.venue.statement()
        return AccountAtVenue(statement is not None and is_flat(statement), self.venue.can_flatten)

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
            return self._flatten_halted(receive)
        return FinalAccount(self._apply_on_stop(reason, receive))

    def _apply_on_stop(self, reason: StopReason, receive: Callable[[float], None]) -> AccountSnapshot | None:
        """After the end of the engine: the venue closes what the engine left open against `on_stop: flatten`.

        Without a report from an engine the venue confirms flat, even if nothing was open. Returns the account.
        """
        statement = self.venue.statement()
        if self.plan.spec.paper.on_stop == "leave" or statement is None:
            return statement
        if self.telemetry.is_settled and is_flat(statement):
            return statement
        done = self.venue.flatten(reason)
        match done:
            case None:
                return self.venue.statement()
            case FlattenRefused():
                statement = self._statement_after_transit(receive)
                record_final_account(self.log, statement, "engine", reason)
            case VenueFlattening(statement, canceled, closed):
                record_final_account(self.log, statement, "venue", reason, canceled=canceled, closed=closed)
        self.telemetry.is_settled = True
        return statement

    def _flatten_halted(self, receive: Callable[[float], None]) -> FinalAccount:
        """After the end of the engine: the venue cancels, flattens, accepts no more orders and reports the account.

        Always requested, because the engine's last orders may still be in transit. A venue that refuses reports the
        account that the engine left.
        """
        self.halt.gate_closed_now("engine_ended")
        done = self.venue.flatten("kill_switch")
        done_by_venue: CancelDetails = {}
        by: Literal["engine", "venue"] = "venue"
        match done:
            case None:
                statement = self.venue.statement()
            case FlattenRefused():
                statement, by = self._statement_after_transit(receive), "engine"
            case VenueFlattening(statement, canceled, closed):
                by = "engine" if done.was_flat else "venue"
                done_by_venue = {"canceled": canceled, "closed": closed}
        flat = statement is not None and is_flat(statement)
        times = flat_times(read_ledger(self.venue.folder)) if flat else FlatTimes(None, None)
        seconds = self.halt.seconds_to(times, flat=flat)
        details: CancelDetails = {
            "seconds_to_no_orders": seconds["seconds_to_no_orders"],
            "seconds_to_flat": seconds["seconds_to_flat"],
            **done_by_venue,
        }
        record_final_account(self.log, statement, by, "kill_switch", **details)
        if by == "venue":
            self.telemetry.is_settled = True
        gated = self.telemetry.facts.gated["KILL_SWITCH"]
        summary = self.halt.summary(gated).model_copy(
            update={**seconds, "flat": None if statement is None else flat, "flattened_by": by if flat else None}
        )
        return FinalAccount(statement, summary)

    def _statement_after_transit(self, receive: Callable[[float], None]) -> AccountSnapshot | None:
        """The account when the last orders of the ended engine have been executed."""
        deadline = self.clock.monotonic_s() + TRANSIT_SECONDS + self.plan.spec.paper.latency_ms / 1000
        while (remaining_s := deadline - self.clock.monotonic_s()) > 0:
            receive(remaining_s)
        return self.venue.statement()

    def finish(self, folder: Path, context: RunContext, state: PaperState, bars: RowsFile, log: LogFacts) -> None:
        """Write results and the closing event. The account is settled; the venue has ended: its ledger is complete."""
        plan, telemetry, account = self.plan, self.telemetry, self._result
        assert account
        assert state.reason
        copy_venue_files(context.layout.venue(VenueId(plan.run_id)), folder, context.redact)
        counts, artifacts = write_results(folder, telemetry.orders, instrument_of(plan.symbol))
        artifacts[bars.name] = bars.commit()
        remove_run_venue(context.layout, plan.run_id)
        actions = action_count(telemetry.facts.actions, counts, plan.spec.strategy.reference())
        counters = counts.counters(bars_seen=telemetry.bars(None), actions=actions)
        results = closing_results(
            PaperResults(counters, counts, artifacts, telemetry.facts.gated),
            telemetry.summary(state.reason, account.statement, self.minutes, counts),
            engine_cost(telemetry.elapsed_seconds(), counters.bars_seen, telemetry.facts.heartbeats.peak_memory_bytes),
            log,
            self.log.metadata.dataset,
        )
        if plan.spec.observability.metrics:
            write_metrics(folder, results)
        self._record_end(results, state, account)

    def _record_end(self, results: RunResults, state: PaperState, account: FinalAccount) -> None:
        assert state.reason
        account_failure = _account_failure(self.plan, account) or unrecorded_forced_close(state, results["paper"])
        match final_status(state, account_failure):
            case "failed":
                failure = final_failure(state, account_failure)
                assert failure
                failed = RunFailed(**results, failure=failure)
                if account.halt:
                    failed = failed.model_copy(update={"halt": account.halt, "ended_by": state.reason})
                elif state.reason in ACCOUNT_REASONS:
                    failed = failed.model_copy(update={"ended_by": state.reason})
                self.log.append(failed)
            case "halted":
                ended_by = state.reason
                self.log.append(RunHalted(**results, halt=account.halt, ended_by=ended_by, result_digest=None))
            case "interrupted":
                self.log.append(RunInterrupted(**results, ended_by=state.signal))
            case "completed":
                self.log.append(RunCompleted(**results, ended_by=state.reason, result_digest=None))


def record_final_account(
    log: RunJournal,
    statement: AccountSnapshot | None,
    by: Literal["engine", "venue"],
    reason: StopReason,
    **details: Unpack[CancelDetails],
) -> None:
    """Record the account as the venue reports it after flattening, by engine or venue."""
    account = statement.account if statement else None
    orders = len(account.open_orders or ()) if account else None
    log.append(OrdersCanceled(by=by, reason=reason, open_orders=orders, **details))
    flat = is_flat(statement) if statement else None
    log.append(PositionsFlattened(by=by, reason=reason, flat=flat, venue=account))


def _account_failure(plan: PaperPlan, account: FinalAccount) -> Failure | None:
    """A run that must end flat and does not, has failed."""
    statement = account.statement
    if plan.spec.paper.on_stop == "leave" and not account.halt:
        return None
    if statement is None:
        return Failure(kind="lab", message="the final account is unknown: the venue did not answer")
    if not is_flat(statement):
        return Failure(kind="lab", message="the venue still has open orders or a position and could not close them")
    return None
