"""A paper run from control's side: a venue and an engine, watched from the safety gate to the seal.

One loop takes what the children say and looks at the clock; it never waits for either of them alone. What is decided
by rule stands in `engine_life` (is it well?) and in the reconciliation; what is written at the end in `paper_end`.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from opslab.model.messages.engine_messages import BARS, StopReason
from opslab.model.messages.paper_messages import EngineHeartbeat, Flattened, NodeSnapshot
from opslab.model.messages.venue_messages import VenueEndpoints, VenueProgress
from opslab.model.run.event import HIGH_RATE
from opslab.model.run.live_status import LiveStatus, PaperStatus
from opslab.model.run.metadata import Failure, RunMetadata
from opslab.runs.lifecycle import RunContext, execute, start
from opslab.runs.paper.account_shutdown import AccountShutdown
from opslab.runs.paper.closing_event import bound
from opslab.runs.paper.engine_session import SIGNALS, EngineSession, all_was_sent, loss, may_restart, phase, unasked
from opslab.runs.paper.engine_supervisor import EngineSupervisor
from opslab.runs.paper.halt import WHY, press
from opslab.runs.paper.reconciler import FinishedReconciliation, LiveOccasion, LiveReconciler, record_reconciliation
from opslab.runs.paper.recovery import settle_paper
from opslab.runs.paper.shutdown import FinalAccount, RunEnd, end_run, record_final_account
from opslab.runs.paper.telemetry import RunTelemetry
from opslab.runs.paper.venue_supervisor import VENUE_STARTS, VenueSupervisor, refusal
from opslab.runs.planning.plan import PaperPlan
from opslab.runs.processes.child_process import VENUE_COMMAND
from opslab.runs.processes.inbox import Inbox, Messages
from opslab.runs.record.live_status import LiveStatusWriter
from opslab.runs.record.run_journal import RunJournal
from opslab.runs.safety.halt_controller import SWITCH, HaltController
from opslab.store.logs import scrub_log
from opslab.store.runs.engine_order_log import EngineOrders
from opslab.store.runs.run_folders import RowsFile, tidy

OnLive = Callable[[LiveStatus], None]

TURN_SECONDS = 0.05
"""How often the clock is looked at when nobody says anything."""
LAST_LOOK_SECONDS = 0.5
"""What a hanging engine gets to print where it stands."""


def run_paper(
    plan: PaperPlan, context: RunContext, on_live: OnLive, venue_command: Sequence[str] = VENUE_COMMAND
) -> RunMetadata:
    """Run it, from `init` on where there was one. Returns how it ended.

    on_live: called with the run's live values, about once a second.
    Raises AlreadyExists, Environment or Unwritable when there is no run to speak of.
    """

    def salvage(folder: Path, metadata: RunMetadata) -> Mapping[str, Any]:
        tidy(folder)
        return settle_paper(context.layout, folder, metadata, context.clean, why="failure", same_boot=True).payload

    return execute(
        plan, context, lambda folder, log: PaperRun(plan, folder, log, context, on_live, venue_command).run(), salvage
    )


class PaperRun:
    def __init__(
        self,
        plan: PaperPlan,
        folder: Path,
        log: RunJournal,
        context: RunContext,
        on_live: OnLive,
        venue_command: Sequence[str],
    ) -> None:
        self._plan, self._folder, self._log = plan, folder, log
        self._around = context
        self._clock = context.clock
        self._inbox = Inbox()
        self._limits = limits = plan.spec.paper
        self._heart = LiveStatusWriter(
            context.layout, context.clock, plan.run_id, start(plan, log, context), plan.rows, on_live
        )
        self._seat = EngineSupervisor(plan, folder / "logs", context, self._inbox)
        self._venue = VenueSupervisor(context.layout, plan, folder / "logs", context.clock, self._inbox, venue_command)
        self._story = RunTelemetry(plan, context.clock, EngineOrders(context.layout.work(plan.run_id)))
        self._reconciler = LiveReconciler(
            plan.run_id, plan.spec.instrument, self._seat.ask, self._venue.statement, context.clock
        )
        self._halt = HaltController(context.layout, plan.run_id, context.clock, context.clean, log)
        self._account = AccountShutdown(plan, self._venue, self._halt, context.clock, log, self._story)
        self._why: StopReason | None = None
        """Why the run ends, once it does."""
        self._signal: str | None = None
        self._failure: Failure | None = None
        self._over = False
        self._bars = RowsFile(folder, BARS, at_once=True)
        self._replayed_s: float | None = None
        """When the venue had sent all."""
        self._next_reconciliation_s: float | None = None
        self._out_of_time_s = self._clock.monotonic_s() + limits.max_seconds

    def run(self) -> None:
        """Until it is over; its end is in the journal then."""
        signals = self._around.signals
        signals.on_signal = lambda count: self._inbox.put("signal", {"count": count})
        watch = self._halt.watch(lambda switch: self._inbox.put(SWITCH, switch))
        try:
            watch.start()
            self._venue.start()
            if signals.count:
                self._inbox.put("signal", {"count": signals.count})
            while not self._over or self._reconciler.is_busy:
                self._listen(TURN_SECONDS)
                self._look(self._clock.monotonic_s())
            self._end()
        except BaseException:
            self._abandon()
            raise
        finally:
            watch.close()
            signals.on_signal = lambda _count: None

    @property
    def _engine(self) -> EngineSession | None:
        return self._seat.life

    # What is heard.

    def _listen(self, seconds: float) -> None:
        """To the first who says anything."""
        if said := self._inbox.take(seconds):
            self._hear(*said)

    def _hear(self, who: str, frames: Messages | None) -> None:
        if who == "signal":
            for frame in frames or ():
                self._signaled(frame["count"])
        elif who == SWITCH:
            for frame in frames or ():
                self._halted(frame)
        elif who == self._venue.who:
            self._hear_venue(frames)
        elif self._engine and who == self._engine.who:
            self._hear_engine(self._engine, frames)

    def _signaled(self, count: int) -> None:
        name = self._around.signals.name or "SIGTERM"
        if self._why is None or count > 1:  # one that comes when the run ends anyway is not what ended it
            self._signal = name
        if count > 1 and self._engine:
            self._engine.child.kill()
        else:
            self._stop(name)

    def _hear_venue(self, frames: Messages | None) -> None:
        if frames is None:
            self._venue_gone(self._venue.ended(self._around.clean))
            return
        for frame in frames:
            if "listening" in frame:
                self._venue_listens(VenueEndpoints.model_validate(frame["listening"]))
            elif "progress" in frame:
                progress = VenueProgress.model_validate(frame["progress"])
                if progress.state == "ended" and self._replayed_s is None:
                    self._replayed_s = self._clock.monotonic_s()
            elif "refused" in frame:
                raise refusal(frame["refused"])

    def _venue_listens(self, endpoints: VenueEndpoints) -> None:
        self._venue.listening(endpoints)
        shown = endpoints.model_dump(include={"rest_url", "ws_url", "ws_trading_url"})
        self._log.tell("venue_started", {"start_number": self._venue.starts, **shown})
        self._replayed_s = None
        if self._engine is None and not self._why:
            self._seat.start(1, endpoints)

    def _venue_gone(self, why: str) -> None:
        self._log.tell("venue_lost", {"start_number": self._venue.starts, "reason": why})
        self._story.venue_lost()
        if self._engine is None and self._why:
            self._over = True
        elif self._venue.starts < VENUE_STARTS:
            self._venue.start()
        else:
            message = f"the venue was lost {self._venue.starts} times; the last time: {why}"
            self._failure = self._failure or Failure(kind="lab", message=message)
            self._stop("venue_lost")

    def _hear_engine(self, life: EngineSession, frames: Messages | None) -> None:
        if frames is None:
            self._engine_gone(life)
            return
        for are_many, some in groupby(frames, lambda frame: frame.get("event") in HIGH_RATE):
            if are_many:
                self._hear_many(life, [(frame["event"], frame["payload"]) for frame in some])
            else:
                for frame in some:
                    self._take(life, frame)

    def _hear_many(self, life: EngineSession, events: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        for name, payload in events:
            life.note(name, payload)
            if name == "order_event":
                self._story.order_event(payload)
        if self._plan.spec.observability.journal:
            self._log.tell_many(events)

    def _take(self, life: EngineSession, frame: Mapping[str, Any]) -> None:
        """One frame, in its turn."""
        if "event" in frame:
            self._engine_event(life, frame["event"], frame["payload"])
        elif "heartbeat" in frame:
            self._beat(life, EngineHeartbeat.model_validate(frame["heartbeat"], strict=False))
        elif "snapshot" in frame:
            self._snapshot(NodeSnapshot.model_validate(frame["snapshot"], strict=False))
        elif "handled" in frame:
            self._venue.handled_all()
        elif "row" in frame:
            self._bars.add(frame["row"])
            life.saw_row(frame["row"]["ts_event"])
        elif "flattened" in frame:
            self._flattened(life, Flattened.model_validate(frame["flattened"]))
        elif "halted" in frame:
            self._halted(**frame["halted"])
        else:
            life.hear(frame)

    def _engine_event(self, life: EngineSession, name: str, payload: Mapping[str, Any]) -> None:
        if name == "gate_closed" and self._why:  # a word and a signal asked for it, and either may be heard first
            payload = {**payload, "reason": self._why}
        self._log.tell(name, {**payload, "engine_number": life.number} if life.number > 1 else payload)
        life.note(name, payload)
        if name == "feed_state_changed":
            self._story.feed_changed(payload)
        elif name == "scenario_action_triggered":
            self._story.acted += 1
        elif name == "gate_closed":
            life.ending = True
            if self._why is None and payload["reason"] in SIGNALS:
                life.failure = unasked(payload["reason"])
                return
            if self._why is None:
                self._why = (
                    bound(self._limits, self._plan.rows) if payload["reason"] == "last_bar" else payload["reason"]
                )
                self._account.count_minutes()
            self._story.gate_closed(self._why)

    # The life of the engine.

    def _beat(self, life: EngineSession, beat: EngineHeartbeat) -> None:
        life.beat, life.beats = beat, life.beats + 1
        life.last_beat_s = self._clock.monotonic_s()
        statement = self._venue.statement()
        if statement:
            self._reconciler.add_venue_snapshot(statement)
        venue = statement.model_dump() if statement else None
        payload = {"engine_number": life.number, "heartbeat": beat.model_dump(), "venue": venue}
        self._log.tell_many([("paper_heartbeat", payload)])
        self._story.beat(beat, statement)
        if life.first_beat_s is None:
            life.first_beat_s = life.last_beat_s
            self._reconcile("startup")
            if life.number > 1:  # a candle that the one before was given, nobody will be through with any more
                self._venue.handled_all()
        self._show()

    def _look(self, now_s: float) -> None:
        """What the clock says."""
        life = self._engine
        finished = self._reconciler.advance()
        if finished:
            self._reconciled(finished)
        self._show()
        if self._over and self._halt.is_on:  # before a reconciliation that goes on is over
            self._leave_account()
        if life is None or self._over:
            return
        if self._halt.is_on:
            press(self._halt, life, self._venue)
        if self._seat.complaint(now_s):
            self._let_it_say_where(life)
            life.child.kill()
            return
        if life.ending or self._why:
            return
        if now_s > self._out_of_time_s:
            self._stop("max_seconds")
        elif all_was_sent(life, self._replayed_s, now_s):
            self._stop(bound(self._limits, self._plan.rows))
        elif self._next_reconciliation_s is not None and now_s > self._next_reconciliation_s:
            self._reconcile("periodic")

    def _let_it_say_where(self, life: EngineSession) -> None:
        """A hanging engine prints the stack of each of its threads, which its log keeps."""
        if life.killed_for != "memory":
            life.child.tell_where_it_is()
            deadline = self._clock.monotonic_s() + LAST_LOOK_SECONDS
            while (left := deadline - self._clock.monotonic_s()) > 0:
                self._listen(left)

    def _stop(self, why: StopReason) -> None:
        """Let the engine close its gate, leave the account as `on_stop` wants, and end."""
        if self._why is None:
            self._why = why
            self._log.tell("run_stopping", {"reason": why, "on_stop": self._limits.on_stop})
            self._story.stopping(why)
            self._account.count_minutes()
        if self._engine is None:
            self._over = True
        else:
            self._seat.stop(why)

    def _halted(self, switch: Mapping[str, Any], gate_closed_at: str | None = None) -> None:
        """The kill switch is active: our own watch says so, or the engine. Nothing revives the run from here on."""
        if self._halt.begin(switch, gate_closed_at):
            self._why = WHY
            self._story.stopping(WHY)
            self._account.count_minutes()
        if self._engine:
            self._engine.child.tell(self._halt.word)
        else:
            self._halt.closed_now("no engine ran")
            self._over = True

    def _flattened(self, life: EngineSession, done: Flattened) -> None:
        """The engine has left the account as it was to."""
        life.ending = True
        life.flattened = done
        statement = self._venue.statement()
        self._story.left("engine")
        if self._limits.on_stop == "flatten" and not self._halt.is_on:
            record_final_account(
                self._log, statement, "engine", self._why or "engine_ended", rounds=done.rounds, seconds=done.seconds
            )

    def _snapshot(self, told: NodeSnapshot) -> None:
        """The last one is held against what the venue has, while the node stops."""
        self._reconciler.add_node_snapshot(told)
        if told.request_number == 0:
            self._reconcile("final")

    def _engine_gone(self, life: EngineSession) -> None:
        failure = self._seat.gone(life)
        self._reconciler.node_stopped()
        self._story.engine_ended(life, failure)
        if failure and self._halt.is_on:
            self._log.tell("engine_lost", loss(life, failure))
        if failure is None or self._signal or self._halt.is_on:
            self._why = self._why or "engine_ended"
            self._over = True
            return
        self._log.tell("engine_lost", loss(life, failure))
        if self._why is None and self._venue.runs and may_restart(life, failure, self._limits):
            self._log.tell(
                "engine_restarted", {"engine_number": life.number + 1, "max_engines": self._limits.max_restarts + 1}
            )
            self._next_reconciliation_s = None
            assert self._venue.endpoints
            self._seat.start(life.number + 1, self._venue.endpoints)
        else:
            self._failure = self._failure or failure
            if self._why is None:
                self._why = "engine_lost"
                self._story.stopping(self._why)
                self._account.count_minutes()
            self._over = True

    # Reconciliation.

    def _reconcile(self, occasion: LiveOccasion) -> None:
        self._next_reconciliation_s = None
        self._reconciler.start(occasion)

    def _reconciled(self, finished: FinishedReconciliation) -> None:
        self._story.reconciled(finished)
        record_reconciliation(self._folder, self._log, finished)
        if finished.occasion != "final":
            self._next_reconciliation_s = self._clock.monotonic_s() + self._limits.reconcile_every_seconds

    # What is shown, and the end.

    def _show(self) -> None:
        self._heart.beat(self._story.bars(self._engine), self._live)

    def _live(self) -> PaperStatus:
        if self._why:  # an engine that is held up, or gone, gives no more beats to ask beside
            self._story.stands(self._venue.statement())
        return self._story.live(self._engine, phase(self._engine, self._why is not None))

    def _end(self) -> None:
        """Account left as wanted, venue stopped, results and the closing event written."""
        left = self._leave_account()
        self._venue.end(self._around.clean)
        for path in sorted((self._folder / "logs").glob("*.log")):
            scrub_log(path, self._around.clean)
        end = RunEnd(self._why or "engine_lost", self._failure, self._signal, left, self._account.minutes)
        end_run(self._plan, self._folder, self._around, self._log, self._story, end, self._bars)

    def _leave_account(self) -> FinalAccount:
        return self._account.leave(self._why or "engine_lost", self._listen)

    def _abandon(self) -> None:
        """Something broke in control itself: nothing of the run is left running; the venue ends the account."""
        self._seat.kill()
        self._account.abandon(self._around.clean)
        self._bars.keep_partial()
