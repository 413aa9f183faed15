"""A paper run as control drives it: venue and engine supervised from the safety gate to the seal.

One loop reads the children's messages and the clock; it never blocks on one child. `engine_session` judges the engine's
health, `reconciler` compares accounts, `shutdown` writes the results.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from opslab.errors import Environment
from opslab.model.messages.engine_messages import BARS, StopReason
from opslab.model.messages.paper_messages import EngineHeartbeat, Flattened, NodeSnapshot
from opslab.model.messages.venue_messages import VenueEndpoints, VenueProgress
from opslab.model.pipe import messages as pipe
from opslab.model.run.live_status import LiveStatus, PaperStatus
from opslab.model.run.metadata import Failure, RunMetadata
from opslab.runs.claim import ClaimedRun
from opslab.runs.lifecycle import RunContext, execute, start
from opslab.runs.paper.account_shutdown import AccountShutdown
from opslab.runs.paper.closing_event import bound_reached, recorded_reason
from opslab.runs.paper.engine_session import (
    SIGNALS,
    EngineSession,
    end_payload,
    last_bar_overdue,
    loss_payload,
    may_restart,
    phase_of,
    unrequested_stop,
)
from opslab.runs.paper.engine_supervisor import EngineSupervisor
from opslab.runs.paper.halt import KILL_SWITCH, escalate
from opslab.runs.paper.journal_summary import JournalSummary
from opslab.runs.paper.reconciler import FinishedReconciliation, LiveOccasion, LiveReconciler, record_reconciliation
from opslab.runs.paper.recovery import settle_paper
from opslab.runs.paper.shutdown import FinalAccount, RunEnd, end_run, record_final_account
from opslab.runs.paper.telemetry import RunTelemetry
from opslab.runs.paper.venue_supervisor import MAX_VENUE_STARTS, VenueSupervisor
from opslab.runs.planning.plan import PaperPlan
from opslab.runs.processes.child_process import VENUE_COMMAND
from opslab.runs.processes.inbox import ChildEnded, FromChild, Inbox, Signaled, SwitchSeen
from opslab.runs.record.live_status import LiveStatusWriter
from opslab.runs.safety.halt_controller import HaltController
from opslab.store.logs import redact_log
from opslab.store.runs.engine_order_log import EngineOrderLog
from opslab.store.runs.run_folders import RowsFile, clear_temporary_files

OnLive = Callable[[LiveStatus], None]

POLL_SECONDS = 0.05
"""Period of the clock check while no message arrives."""


def run_paper(
    run: ClaimedRun[PaperPlan], context: RunContext, on_live: OnLive, venue_command: Sequence[str] = VENUE_COMMAND
) -> RunMetadata:
    """Run to the end. Returns the final metadata.

    on_live: called with the run's live values, about once a second.
    """

    def salvage(folder: Path, metadata: RunMetadata) -> Mapping[str, Any]:
        clear_temporary_files(folder)
        return settle_paper(context.layout, folder, metadata, context.redact, reason="failure", same_boot=True).payload

    return execute(run, context, lambda: PaperRun(run, context, on_live, venue_command).run(), salvage)


class PaperRun:
    def __init__(
        self,
        run: ClaimedRun[PaperPlan],
        context: RunContext,
        on_live: OnLive,
        venue_command: Sequence[str],
    ) -> None:
        self._plan, self._folder, self._log = plan, folder, log = run.plan, run.folder, run.log
        self._context = context
        self._clock = context.clock
        self._inbox = Inbox()
        self._limits = limits = plan.spec.paper
        facts = JournalSummary()
        log.observers.append(facts.apply)  # from the first event of its start
        self._live_writer = LiveStatusWriter(
            context.layout, context.clock, plan.run_id, start(run, context), plan.rows, on_live
        )
        self._supervisor = EngineSupervisor(plan, folder / "logs", context, self._inbox)
        self._venue = VenueSupervisor(context.layout, plan, folder / "logs", context.clock, self._inbox, venue_command)
        self._telemetry = RunTelemetry(plan, context.clock, EngineOrderLog(context.layout.work(plan.run_id)), facts)
        node, venue = self._supervisor.request_snapshot, self._venue.statement
        self._reconciler = LiveReconciler(plan.run_id, plan.spec.instrument, node, venue, context.clock)
        self._halt = HaltController(context.layout, plan.run_id, context.clock, context.redact, log)
        self._account = AccountShutdown(plan, self._venue, self._halt, context.clock, log, self._telemetry)
        self._reason: StopReason | None = None
        """Set once the run is to end."""
        self._signal: str | None = None
        self._failure: Failure | None = None
        self._is_done = False
        self._bars = RowsFile(folder, BARS)
        self._replayed_s: float | None = None
        """When the venue had sent its last candle. Monotonic clock."""
        self._next_reconciliation_s: float | None = None
        self._out_of_time_s = self._clock.monotonic_s() + limits.max_seconds

    def run(self) -> None:
        """Run to the end; the closing event is in the journal when this returns."""
        signals = self._context.signals
        signals.on_signal = lambda count: self._inbox.put(Signaled(count))
        watch = self._halt.watch(lambda switch: self._inbox.put(SwitchSeen(switch)))
        try:
            watch.start()
            self._venue.start()
            if signals.count:
                self._inbox.put(Signaled(signals.count))
            while not self._is_done or self._reconciler.is_busy:
                self._receive(POLL_SECONDS)
                self._check_clock(self._clock.monotonic_s())
            self._finish()
        except BaseException:
            self._abandon()
            raise
        finally:
            watch.close()
            signals.on_signal = lambda _count: None

    @property
    def _engine(self) -> EngineSession | None:
        return self._supervisor.session

    # Messages.

    def _receive(self, seconds: float) -> None:
        """Wait for the next messages of any source, and handle them."""
        venue, engine = self._venue.source, self._engine
        match self._inbox.receive(seconds):
            case Signaled(count):
                self._on_signal(count)
            case SwitchSeen(switch):
                self._on_halt(switch)
            case FromChild(source, messages) if source == venue:
                for message in messages:
                    self._on_venue_message(message)
            case ChildEnded(source) if source == venue:
                self._on_venue_lost(self._venue.on_ended(self._context.redact))
            case FromChild(source, messages) if engine and source == engine.source:
                self._on_engine_messages(engine, messages)
            case ChildEnded(source) if engine and source == engine.source:
                self._on_engine_ended(engine)

    def _on_signal(self, count: int) -> None:
        name = self._context.signals.name or "SIGTERM"
        if self._reason is None or count > 1:  # a signal during the end did not cause it
            self._signal = name
        if count > 1 and self._engine:
            self._engine.child.kill()
        else:
            self._stop(name)

    def _on_venue_message(self, message: pipe.ReceivedMessage) -> None:
        match message:
            case pipe.Listening(endpoints=endpoints):
                self._on_venue_listening(endpoints)
            case VenueProgress(state="ended") if self._replayed_s is None:
                self._replayed_s = self._clock.monotonic_s()
            case pipe.VenueRefused():
                raise Environment(message.message, hint=message.hint)

    def _on_venue_listening(self, endpoints: VenueEndpoints) -> None:
        self._venue.on_listening(endpoints)
        shown = endpoints.model_dump(include={"rest_url", "ws_url", "ws_trading_url"})
        self._log.append("venue_started", {"start_number": self._venue.start_count, **shown})
        self._replayed_s = None
        if self._engine is None and not self._reason:
            self._supervisor.start(1, endpoints)

    def _on_venue_lost(self, reason: str) -> None:
        self._log.append("venue_lost", {"start_number": self._venue.start_count, "reason": reason})
        if self._engine is None and self._reason:
            self._is_done = True
        elif self._venue.start_count < MAX_VENUE_STARTS:
            self._venue.start()
        else:
            message = f"the venue was lost {self._venue.start_count} times; the last time: {reason}"
            self._failure = self._failure or Failure(kind="lab", message=message)
            self._stop("venue_lost")

    def _on_engine_messages(self, session: EngineSession, messages: Sequence[pipe.ReceivedMessage]) -> None:
        for are_many, some in groupby(messages, lambda message: isinstance(message, pipe.EncodedEvent)):
            if are_many:
                self._record_order_events(session, [one for one in some if isinstance(one, pipe.EncodedEvent)])
            else:
                for message in some:
                    self._on_engine_message(session, message)

    def _record_order_events(self, session: EngineSession, events: Sequence[pipe.EncodedEvent]) -> None:
        for event in events:
            session.remember(event.name, event.values)
            if event.name == "order_event":
                self._telemetry.order_event(event.values)
        if self._plan.spec.observability.journal:
            self._log.append_order_events(events)

    def _on_engine_message(self, session: EngineSession, message: pipe.ReceivedMessage) -> None:
        """One message, in its order."""
        match message:
            case pipe.LifecycleEvent(name=name, payload=payload):
                self._on_engine_event(session, name, payload)
            case EngineHeartbeat():
                self._on_heartbeat(session, message)
            case NodeSnapshot():
                self._on_snapshot(message)
            case pipe.BarsDone():
                self._venue.acknowledge_all()
            case pipe.BarRow():
                self._bars.add(message.model_dump())
                self._bars.flush()
                session.count_row(message.ts_event)
            case Flattened():
                self._on_flattened(session, message)
            case pipe.Halted(switch=switch, gate_closed_at=closed_at):
                self._on_halt(switch, closed_at)
            case _:
                session.apply(message)

    def _on_engine_event(self, session: EngineSession, name: str, payload: Mapping[str, Any]) -> None:
        if name == "gate_closed" and self._reason:  # a command and a signal request it; either may arrive first
            payload = {**payload, "reason": self._reason}
        self._log.append(name, {**payload, "engine_number": session.number} if session.number > 1 else payload)
        session.remember(name, payload)
        if name == "gate_closed":
            session.ending = True
            if self._reason is None and payload["reason"] in SIGNALS:
                session.failure = unrequested_stop(payload["reason"])
                return
            if self._reason is None:
                self._reason = recorded_reason(payload["reason"], self._limits, self._plan.rows)
                self._account.record_closed_minutes()

    # Engine.

    def _on_heartbeat(self, session: EngineSession, heartbeat: EngineHeartbeat) -> None:
        session.heartbeat, session.heartbeats = heartbeat, session.heartbeats + 1
        session.last_heartbeat_s = self._clock.monotonic_s()
        statement = self._venue.statement()
        if statement:
            self._reconciler.add_venue_snapshot(statement)
        venue = statement.model_dump() if statement else None
        payload = {"engine_number": session.number, "heartbeat": heartbeat.model_dump(), "venue": venue}
        self._log.append_many([("paper_heartbeat", payload)])
        self._telemetry.heartbeat(heartbeat, statement)
        if session.first_heartbeat_s is None:
            session.first_heartbeat_s = session.last_heartbeat_s
            self._start_reconciliation("startup")
            if session.number > 1:  # the lost engine never acknowledges its last candle
                self._venue.acknowledge_all()
        self._update_live_status()

    def _check_clock(self, now_s: float) -> None:
        """Apply everything that depends on time."""
        session = self._engine
        finished = self._reconciler.advance()
        if finished:
            self._on_reconciled(finished)
        self._update_live_status()
        if self._is_done and self._halt.is_on:  # does not wait for a reconciliation in progress
            self._final_account()
        if session is None or self._is_done:
            return
        if self._halt.is_on:
            escalate(self._halt, session, self._venue)
        if self._supervisor.complaint(now_s):
            self._supervisor.kill_unhealthy(session, self._receive)
            return
        if session.ending or self._reason:
            return
        if now_s > self._out_of_time_s:
            self._stop("max_seconds")
        elif last_bar_overdue(session, self._replayed_s, now_s):
            self._stop(bound_reached(self._limits, self._plan.rows))
        elif self._next_reconciliation_s is not None and now_s > self._next_reconciliation_s:
            self._start_reconciliation("periodic")

    def _stop(self, reason: StopReason) -> None:
        """Have the engine close its gate, apply `on_stop` to the account, and end."""
        if self._reason is None:
            self._log.append("run_stopping", {"reason": reason, "on_stop": self._limits.on_stop})
            self._begin_end(reason)
        if self._engine is None:
            self._is_done = True
        else:
            self._supervisor.stop(reason)

    def _begin_end(self, reason: StopReason) -> None:
        self._reason = reason
        self._account.record_closed_minutes()

    def _on_halt(self, switch: Mapping[str, Any], gate_closed_at: str | None = None) -> None:
        """The kill switch is active, seen by control or reported by the engine. The run cannot continue after this."""
        if self._halt.start(switch, gate_closed_at):
            self._begin_end(KILL_SWITCH)
        if self._engine:
            self._engine.child.send(self._halt.command)
        else:
            self._halt.gate_closed_now("no_engine")
            self._is_done = True

    def _on_flattened(self, session: EngineSession, done: Flattened) -> None:
        """The engine applied `on_stop` to the account."""
        session.ending = True
        session.flattened = done
        statement = self._venue.statement()
        self._telemetry.is_settled = True
        if self._limits.on_stop == "flatten" and not self._halt.is_on:
            record_final_account(
                self._log, statement, "engine", self._reason or "engine_ended", rounds=done.rounds, seconds=done.seconds
            )

    def _on_snapshot(self, told: NodeSnapshot) -> None:
        """The last snapshot is compared with the venue's account while the node stops."""
        self._reconciler.add_node_snapshot(told)
        if told.request_number == 0:
            self._start_reconciliation("final")

    def _on_engine_ended(self, session: EngineSession) -> None:
        failure = self._supervisor.on_ended(session)
        self._reconciler.node_stopped()
        self._telemetry.engine_ended(session)
        if failure:
            self._log.append("engine_lost", loss_payload(session, failure))
        else:
            self._log.append("engine_ended", end_payload(session))
        if failure is None or self._signal or self._halt.is_on:
            self._reason = self._reason or "engine_ended"
            self._is_done = True
            return
        if self._reason is None and self._venue.is_running and may_restart(session, failure, self._limits):
            self._log.append(
                "engine_restarted", {"engine_number": session.number + 1, "max_engines": self._limits.max_restarts + 1}
            )
            self._next_reconciliation_s = None
            assert self._venue.endpoints
            self._supervisor.start(session.number + 1, self._venue.endpoints)
        else:
            self._failure = self._failure or failure
            if self._reason is None:
                self._begin_end("engine_lost")
            self._is_done = True

    # Reconciliation.

    def _start_reconciliation(self, occasion: LiveOccasion) -> None:
        self._next_reconciliation_s = None
        self._reconciler.start(occasion)

    def _on_reconciled(self, finished: FinishedReconciliation) -> None:
        self._telemetry.reconciled(finished)
        record_reconciliation(self._folder, self._log, finished)
        if finished.occasion != "final":
            self._next_reconciliation_s = self._clock.monotonic_s() + self._limits.reconcile_every_seconds

    # Live status, and the end.

    def _update_live_status(self) -> None:
        self._live_writer.write(self._telemetry.bars(self._engine), self._live_status)

    def _live_status(self) -> PaperStatus:
        if self._reason:  # a blocked or ended engine sends no heartbeat that would trigger the query
            self._telemetry.set_account(self._venue.statement())
        return self._telemetry.live(self._engine, phase_of(self._engine, self._reason is not None))

    def _finish(self) -> None:
        """Settle the account, stop the venue, write results and the closing event."""
        account = self._final_account()
        self._venue.end(self._context.redact)
        for path in sorted((self._folder / "logs").glob("*.log")):
            redact_log(path, self._context.redact)
        end = RunEnd(self._reason or "engine_lost", self._failure, self._signal, account, self._account.minutes)
        end_run(self._plan, self._folder, self._context, self._log, self._telemetry, end, self._bars)

    def _final_account(self) -> FinalAccount:
        return self._account.settle(self._reason or "engine_lost", self._receive)

    def _abandon(self) -> None:
        """After an exception in control: stop every child; the venue flattens the account."""
        self._supervisor.kill()
        self._account.abandon(self._context.redact)
        self._bars.keep_partial()
