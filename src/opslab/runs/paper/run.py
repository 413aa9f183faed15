"""A paper run as control drives it: venue and engine supervised from the safety gate to the seal.

One loop reads the children's messages and the clock; it never blocks on one child. It records what happens, reports it
to `rules` as facts, and performs the actions that follow. `reconciler` compares accounts, `shutdown` ends the run.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from opslab.errors import Environment
from opslab.killswitch.state import Switch
from opslab.model.journal import engine_events as journal
from opslab.model.journal.journal_event import JournalEvent
from opslab.model.journal.run_events import RunResults
from opslab.model.journal.venue_events import MarginCall, VenueLost
from opslab.model.messages.engine_messages import BARS
from opslab.model.messages.paper_messages import EngineHeartbeat, Flattened, NodeSnapshot
from opslab.model.messages.venue_messages import VenueEndpoints, VenueProgress
from opslab.model.pipe import messages as pipe
from opslab.model.run.live_status import LiveStatus
from opslab.model.run.metadata import Failure, RunMetadata
from opslab.runs.claim import ClaimedRun
from opslab.runs.lifecycle import RunContext, execute, start
from opslab.runs.paper.engine_session import EngineSession, engine_ended, engine_lost
from opslab.runs.paper.engine_supervisor import EngineSupervisor
from opslab.runs.paper.journal_summary import JournalSummary
from opslab.runs.paper.machine import actions, facts
from opslab.runs.paper.machine.rules import step
from opslab.runs.paper.machine.state import PaperState, RunBounds
from opslab.runs.paper.reconciler import FinishedReconciliation, LiveReconciler, record_reconciliation
from opslab.runs.paper.recovery import settle_paper
from opslab.runs.paper.shutdown import PaperShutdown, record_final_account
from opslab.runs.paper.telemetry import RunTelemetry
from opslab.runs.paper.venue_supervisor import VenueSupervisor
from opslab.runs.planning.plan import PaperPlan
from opslab.runs.processes.child_process import VENUE_COMMAND
from opslab.runs.processes.inbox import ChildEnded, FromChild, Inbox, Signaled, SwitchSeen
from opslab.runs.record.live_status import LiveStatusWriter, LiveValues
from opslab.runs.safety.halt_controller import HaltController
from opslab.store.logs import redact_log
from opslab.store.runs.engine_order_log import EngineOrderLog
from opslab.store.runs.run_folders import RowsFile, clear_temporary_files

OnLive = Callable[[LiveStatus], None]

POLL_SECONDS = 0.05
"""Period of the clock check while no message arrives."""
STALL_SECONDS = 1.0
"""Time between two clock checks that means that control was stopped, or waited for a disk."""
CATCH_UP_SECONDS = 3.0
"""Time in which a living engine sends a heartbeat."""


def run_paper(
    run: ClaimedRun[PaperPlan], context: RunContext, on_live: OnLive, venue_command: Sequence[str] = VENUE_COMMAND
) -> RunMetadata:
    """Run to the end. Returns the final metadata.

    on_live: called with the run's live values, about once a second.
    """

    def salvage(folder: Path, metadata: RunMetadata) -> RunResults:
        clear_temporary_files(folder)
        return settle_paper(context.layout, folder, metadata, context.redact, reason="failure", same_boot=True).results

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
        summary = JournalSummary()
        log.observers.append(summary.apply)  # from the first event of its start
        self._live_writer = LiveStatusWriter(
            context.layout, context.clock, plan.run_id, start(run, context), plan.rows, on_live
        )
        self._supervisor = EngineSupervisor(plan, folder / "logs", context, self._inbox)
        self._venue = VenueSupervisor(context.layout, plan, folder / "logs", context.clock, self._inbox, venue_command)
        self._telemetry = RunTelemetry(plan, context.clock, EngineOrderLog(context.layout.work(plan.run_id)), summary)
        node, venue = self._supervisor.request_snapshot, self._venue.statement
        self._reconciler = LiveReconciler(plan.run_id, plan.spec.instrument, node, venue, context.clock)
        self._halt = HaltController(context.layout, plan.run_id, context.clock, context.redact, log)
        self._shutdown = PaperShutdown(plan, self._venue, self._halt, context.clock, log, self._telemetry)
        self._bars = RowsFile(folder, BARS)
        self._state = PaperState()
        self._bounds = RunBounds(limits, plan.rows, self._clock.monotonic_s() + limits.max_seconds)

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
            checked_s = self._clock.monotonic_s()
            while self._state.phase != "done" or self._reconciler.is_busy:
                self._receive(POLL_SECONDS)
                if self._clock.monotonic_s() - checked_s > STALL_SECONDS and not self._state.is_halted:
                    self._catch_up()
                checked_s = self._clock.monotonic_s()
                self._check_clock(checked_s)
            self._finish()
        except BaseException as error:
            self._report(facts.ControlFailed(Failure(kind="lab", message=type(error).__name__)))
            raise
        finally:
            watch.close()
            signals.on_signal = lambda _count: None

    @property
    def _engine(self) -> EngineSession | None:
        return self._supervisor.session

    def _report(self, fact: facts.Fact) -> None:
        """Apply the rules to a fact, and perform the actions."""
        self._state, following = step(self._state, fact, self._bounds)
        for action in following:
            self._perform(action)

    def _perform(self, action: actions.Action) -> None:
        match action:
            case actions.StartVenue():
                self._venue.start()
            case actions.StartEngine(number=number):
                self._start_engine(number)
            case actions.StopEngine(reason=reason):
                self._supervisor.stop(reason)
            case actions.KillEngine(dump_stacks=dump_stacks):
                self._supervisor.kill(self._receive if dump_stacks else None)
            case actions.HaltEngine():
                self._supervisor.halt(self._halt.command)
            case actions.FailEngine(failure=failure):
                self._supervisor.fail(failure)
            case actions.RecordGateClosed():
                self._halt.gate_closed_now("no_engine")
            case actions.RecordStopping(reason=reason):
                self._log.append(journal.RunStopping(reason=reason, on_stop=self._limits.on_stop))
            case actions.CountClosedMinutes():
                self._shutdown.record_closed_minutes()
            case actions.AcknowledgeAllBars():
                self._venue.acknowledge_all()
            case actions.StartReconciliation(occasion=occasion):
                self._reconciler.start(occasion)
            case actions.AbandonChildren():
                self._supervisor.abandon()
                self._shutdown.abandon(self._context.redact)
                self._bars.keep_partial()

    def _start_engine(self, number: int) -> None:
        if number > 1:
            self._log.append(journal.EngineRestarted(engine_number=number, max_engines=self._limits.max_restarts + 1))
        assert self._venue.endpoints
        earlier_order_ids = tuple(self._telemetry.orders.ids_of_strategy()) if number > 1 else ()
        self._supervisor.start(number, self._venue.endpoints, earlier_order_ids)

    # Messages.

    def _catch_up(self) -> None:
        """After control itself was stopped, or waited for a disk: handle what arrived meanwhile, until a new heartbeat.
        Only then is the engine judged by the age of the last one.
        """
        resumed_s, engine = self._clock.monotonic_s(), self._engine
        while engine and engine is self._engine and not engine.result and engine.last_heartbeat_s is not None:
            if engine.last_heartbeat_s > resumed_s or self._clock.monotonic_s() > resumed_s + CATCH_UP_SECONDS:
                return
            self._receive(POLL_SECONDS)

    def _receive(self, seconds: float) -> None:
        """Wait for the next messages of any source, and handle them."""
        venue, engine = self._venue.source, self._engine
        match self._inbox.receive(seconds):
            case Signaled(count):
                self._report(facts.SignalReceived(self._context.signals.name or "SIGTERM", count))
            case SwitchSeen(switch):
                self._on_kill_switch(switch)
            case FromChild(source, messages) if source == venue:
                for message in messages:
                    self._on_venue_message(message)
            case ChildEnded(source) if source == venue:
                self._on_venue_ended()
            case FromChild(source, messages) if engine and source == engine.source:
                self._on_engine_messages(engine, messages)
            case ChildEnded(source) if engine and source == engine.source:
                self._on_engine_ended(engine)

    def _on_kill_switch(self, switch: Switch, gate_closed_at: str | None = None) -> None:
        """Seen by control or reported by the engine."""
        self._halt.start(switch, gate_closed_at)
        self._report(facts.KillSwitchActive())

    def _on_venue_message(self, message: pipe.ReceivedMessage) -> None:
        match message:
            case pipe.Listening(endpoints=endpoints):
                self._on_venue_listening(endpoints)
            case VenueProgress():
                self._venue.record_failed_writes(message, self._log)
                if message.state == "ended":
                    self._report(facts.ReplayEnded(self._clock.monotonic_s()))
            case pipe.VenueLogEntry():
                self._on_venue_log_entry(message)
            case pipe.VenueRefused():
                raise Environment(message.message, hint=message.hint)

    def _on_venue_log_entry(self, entry: pipe.VenueLogEntry) -> None:
        """Faults that were injected into the venue, and its calls for margin, are part of the run."""
        event = self._venue.logged_event(entry)
        if event:
            self._log.append(event)
        if isinstance(event, MarginCall):
            self._report(facts.MarginCalled())

    def _on_venue_listening(self, endpoints: VenueEndpoints) -> None:
        self._log.append(self._venue.on_listening(endpoints))
        self._report(facts.VenueListening())

    def _on_venue_ended(self) -> None:
        number, reason = self._venue.start_count, self._venue.on_ended(self._context.redact)
        self._log.append(VenueLost(start_number=number, reason=reason))
        self._report(facts.VenueExited(number, reason))

    def _on_engine_messages(self, session: EngineSession, messages: Sequence[pipe.ReceivedMessage]) -> None:
        for are_order_events, group in groupby(messages, lambda message: isinstance(message, pipe.EncodedEvent)):
            if are_order_events:
                self._record_order_events(
                    session, [message for message in group if isinstance(message, pipe.EncodedEvent)]
                )
            else:
                for message in group:
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
            case JournalEvent():
                self._on_engine_event(session, message)
            case EngineHeartbeat():
                self._on_heartbeat(session, message)
            case NodeSnapshot():
                self._reconciler.add_node_snapshot(message)
                if message.request_number == 0:  # compared with the venue's account while the node stops
                    self._report(facts.FinalSnapshot())
            case pipe.BarsDone():
                self._venue.acknowledge_all()
            case pipe.BarRow():
                self._bars.add(message.model_dump())
                self._bars.flush()
                session.count_row(message.ts_event)
            case Flattened():
                self._on_flattened(message)
            case pipe.Halted(switch=switch, gate_closed_at=closed_at):
                self._on_kill_switch(Switch(**switch), closed_at)
            case pipe.Ended():
                session.apply(message)
                self._report(facts.EngineFinishing())
            case _:
                session.apply(message)

    def _on_engine_event(self, session: EngineSession, event: journal.EngineEvent) -> None:
        is_gate = isinstance(event, journal.GateClosed)
        if is_gate and self._state.reason:  # a command and a signal request it; either may arrive first
            event = event.model_copy(update={"reason": self._state.reason})
        self._log.append(event.model_copy(update={"engine_number": session.number}) if session.number > 1 else event)
        session.remember(event.EVENT, event.payload())
        match event:
            case journal.GateClosed(reason=reason):
                self._report(facts.GateReported(reason))
            case journal.ForcedClose(kind=kind):
                self._report(facts.PositionForceClosed(kind))

    def _on_heartbeat(self, session: EngineSession, heartbeat: EngineHeartbeat) -> None:
        session.heartbeat, session.heartbeats = heartbeat, session.heartbeats + 1
        session.last_heartbeat_s = self._clock.monotonic_s()
        statement = self._venue.statement()
        if statement:
            self._reconciler.add_venue_snapshot(statement)
        number = session.number
        self._log.append_heartbeat(journal.PaperHeartbeat(engine_number=number, heartbeat=heartbeat, venue=statement))
        self._telemetry.heartbeat(heartbeat, statement)
        if session.heartbeats == 1:
            self._report(facts.FirstHeartbeat(session.last_heartbeat_s))
        self._update_live_status()

    def _on_flattened(self, done: Flattened) -> None:
        """The engine applied `on_stop` to the account."""
        statement = self._venue.statement()
        self._telemetry.is_settled = True
        if self._limits.on_stop == "flatten" and not self._state.is_halted:
            reason = self._state.reason or "engine_ended"
            record_final_account(self._log, statement, "engine", reason, rounds=done.rounds, seconds=done.seconds)
        self._report(facts.EngineFinishing())

    def _on_engine_ended(self, session: EngineSession) -> None:
        failure = self._supervisor.on_ended(session)
        self._reconciler.node_stopped()
        self._telemetry.engine_ended(session)
        if failure:
            self._log.append(engine_lost(session, failure))
        else:
            self._log.append(engine_ended(session))
        self._report(facts.EngineExited(failure))

    # The clock.

    def _check_clock(self, now_s: float) -> None:
        """Apply everything that depends on time."""
        finished = self._reconciler.advance()
        if finished:
            self._on_reconciled(finished)
        self._update_live_status()
        session = self._engine
        if session is None:
            if self._state.is_halted:  # does not wait for a reconciliation in progress
                self._settle()
            return
        if self._state.is_halted:
            self._supervisor.escalate(self._halt.next_step(self._shutdown.account_at_venue))
        complaint = self._supervisor.complaint(now_s, expects_heartbeats=not self._engine_flattens_alone)
        fact = facts.EngineUnhealthy(complaint) if complaint else facts.ClockChecked(now_s)
        self._report(fact)

    @property
    def _engine_flattens_alone(self) -> bool:
        """In a halt: the venue refuses to flatten. The engine's node, which sends the heartbeats, may have stopped."""
        return self._state.is_halted and self._halt.gate_closed and not self._venue.can_flatten

    def _on_reconciled(self, finished: FinishedReconciliation) -> None:
        record_reconciliation(self._folder, self._log, finished)
        self._report(facts.Reconciled(finished.occasion, self._clock.monotonic_s()))

    def _update_live_status(self) -> None:
        self._live_writer.write(self._live_values)

    def _live_values(self) -> LiveValues:
        if self._state.reason:  # a blocked or ended engine sends no heartbeat that would trigger the query
            self._telemetry.set_account(self._venue.statement())
        return self._telemetry.live(self._engine, self._state.live_phase)

    # The end.

    def _settle(self) -> None:
        assert self._state.reason
        self._shutdown.settle(self._state.reason, self._receive)

    def _finish(self) -> None:
        """Settle the account, stop the venue, write results and the closing event."""
        self._settle()
        progress = self._venue.end(self._context.redact, self._on_venue_log_entry)
        if progress:
            self._venue.record_failed_writes(progress, self._log, is_last=True)
        for path in sorted((self._folder / "logs").glob("*.log")):
            redact_log(path, self._context.redact)
        log = self._supervisor.log_counter.facts(self._context.redact)
        self._shutdown.finish(self._folder, self._context, self._state, self._bars, log)
