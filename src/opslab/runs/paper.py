"""A paper run from control's side: a venue and an engine, watched from the safety gate to the seal.

One loop takes what the children say and looks at the clock; it never waits for either of them alone. What is decided
by rule stands in `engine_life` (is it well?) and in the reconciliation; what is written at the end in `paper_end`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from opslab.model.frame import BARS
from opslab.model.instant import iso
from opslab.model.live import Live, Phase
from opslab.model.paper import Beat, Flattened, NodeSnapshot
from opslab.model.run import EngineCost, Failure, RunMetadata, ScenarioCounters
from opslab.model.venue import VenueEndpoints, VenueProgress
from opslab.runs.child_process import VENUE_COMMAND, ChildProcess
from opslab.runs.engine_life import Bounds, EngineLife, Signs, cause, complaint, end_word, loss, may_restart
from opslab.runs.heart import Heart
from opslab.runs.inbox import Frames, Inbox
from opslab.runs.lifecycle import Surroundings, live_through, start
from opslab.runs.live_reconciliation import Finished, LiveOccasion, LiveReconciler, record
from opslab.runs.paper_closing import LAST_BAR, bound
from opslab.runs.paper_end import Ending, end_run, leave_account, tell_left
from opslab.runs.paper_recovery import settle_paper
from opslab.runs.paper_story import PaperStory
from opslab.runs.plan import PaperPlan
from opslab.runs.run_log import RunLog
from opslab.runs.venue_seat import VenueSeat, refusal
from opslab.store.engine_orders import EngineOrders
from opslab.store.logs import scrub_log
from opslab.store.runs import RowsFile, tidy

OnLive = Callable[[Live], None]

TURN_SECONDS = 0.05
"""How often the clock is looked at when nobody says anything."""
ENGINE_PATIENCE_SECONDS = 20.0
"""From being asked to end to being killed: flattening, a last reconciliation, goodbye to the venue."""
VENUE_STARTS = 6
"""How often a venue may be started in one run."""
LATE_BAR_SECONDS = 5.0
"""How long the last bar may take to be dealt with, once the venue has sent all."""
LAST_LOOK_SECONDS = 0.5
"""What a hanging engine gets to print where it stands."""


def run_paper(
    plan: PaperPlan, around: Surroundings, on_live: OnLive, venue_command: Sequence[str] = VENUE_COMMAND
) -> RunMetadata:
    """Run it, from `init` on where there was one. Returns how it ended.

    on_live: called with the run's live values, about once a second.
    Raises AlreadyExists, Environment or Unwritable when there is no run to speak of.
    """

    def salvage(folder: Path, metadata: RunMetadata) -> Mapping[str, Any]:
        tidy(folder)
        return settle_paper(around.layout, folder, metadata, around.clean, why="failure", same_boot=True).payload

    return live_through(
        plan, around, lambda folder, log: PaperRun(plan, folder, log, around, on_live, venue_command).run(), salvage
    )


class PaperRun:
    def __init__(
        self,
        plan: PaperPlan,
        folder: Path,
        log: RunLog,
        around: Surroundings,
        on_live: OnLive,
        venue_command: Sequence[str],
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._log = log
        self._around = around
        self._clock = around.clock
        self._inbox = Inbox()
        limits = plan.spec.paper
        self._limits = limits
        self._bounds = Bounds(float(limits.hang_after_seconds), limits.max_memory_mb << 20)
        self._heart = Heart(around.layout, around.clock, plan.run_id, start(plan, log, around), plan.rows, on_live)
        self._venue = VenueSeat(around.layout, plan, folder / "logs", around.clock, self._inbox, venue_command)
        self._story = PaperStory(plan, around.clock, EngineOrders(around.layout.work(plan.run_id)))
        self._reconciler = LiveReconciler(
            plan.run_id, plan.spec.instrument, self._ask_node, self._venue.statement, around.clock
        )
        self._engine: EngineLife | None = None
        self._why: str | None = None
        """Why the run ends, once it does."""
        self._signal: str | None = None
        self._failure: Failure | None = None
        self._over = False
        self._progress: VenueProgress | None = None
        self._bars = RowsFile(folder, BARS, at_once=True)
        self._replayed_s: float | None = None
        """When the venue had sent all."""
        self._next_reconciliation_s: float | None = None
        self._out_of_time_s = self._clock.monotonic_s() + limits.max_seconds

    def run(self) -> None:
        """Until it is over; its end is in the journal then."""
        signals = self._around.signals
        signals.on_signal = lambda count: self._inbox.put("signal", {"count": count})
        try:
            self._venue.start()
            if signals.count:
                self._inbox.put("signal", {"count": signals.count})
            while not self._over or self._reconciler.is_busy:
                said = self._inbox.take(TURN_SECONDS)
                if said:
                    self._hear(*said)
                self._look(self._clock.monotonic_s())
            self._end()
        except BaseException:
            self._abandon()
            raise
        finally:
            signals.on_signal = lambda _count: None

    # What is heard.

    def _hear(self, who: str, frames: Frames | None) -> None:
        if who == "signal":
            for frame in frames or ():
                self._signaled(frame["count"])
        elif who == self._venue.who:
            self._hear_venue(frames)
        elif self._engine and who == self._engine.who:
            self._hear_engine(self._engine, frames)

    def _signaled(self, count: int) -> None:
        self._signal = self._around.signals.name
        if count > 1 and self._engine:
            self._engine.child.kill()
        else:
            self._stop(self._signal or "signal")

    def _hear_venue(self, frames: Frames | None) -> None:
        if frames is None:
            self._venue_gone(self._venue.ended(self._around.clean))
            return
        for frame in frames:
            if "listening" in frame:
                self._venue_listens(VenueEndpoints.model_validate(frame["listening"]))
            elif "progress" in frame:
                self._progress = VenueProgress.model_validate(frame["progress"])
                if self._progress.state == "ended" and self._replayed_s is None:
                    self._replayed_s = self._clock.monotonic_s()
            elif "refused" in frame:
                raise refusal(frame["refused"])

    def _venue_listens(self, endpoints: VenueEndpoints) -> None:
        self._venue.listening(endpoints)
        shown = endpoints.model_dump(include={"rest_url", "ws_url", "ws_trading_url"})
        self._log.tell("venue_started", {"start": self._venue.starts, **shown})
        self._replayed_s = None
        if self._engine is None and not self._why:
            self._start_engine(1)

    def _venue_gone(self, why: str) -> None:
        self._log.tell("venue_lost", {"start": self._venue.starts, "why": why})
        self._story.venue_lost()
        if self._engine is None and self._why:
            self._over = True
        elif self._venue.starts < VENUE_STARTS:
            self._venue.start()
        else:
            message = f"the venue was lost {self._venue.starts} times; the last time: {why}"
            self._failure = self._failure or Failure(kind="lab", message=message)
            self._stop("venue_lost")

    def _hear_engine(self, life: EngineLife, frames: Frames | None) -> None:
        if frames is None:
            self._engine_gone(life)
            return
        batch: list[tuple[str, Mapping[str, Any]]] = []
        for frame in frames:
            if frame.get("event") == "order_event":
                self._story.order_event(frame["payload"])
                if self._plan.spec.observability.journal:
                    batch.append((frame["event"], frame["payload"]))
                life.note(frame["event"], frame["payload"])
                continue
            if batch:
                self._log.tell_many(batch)
                batch = []
            self._take(life, frame)
        if batch:
            self._log.tell_many(batch)

    def _take(self, life: EngineLife, frame: Mapping[str, Any]) -> None:
        """One frame, in its turn."""
        if "event" in frame:
            self._engine_event(life, frame["event"], frame["payload"])
        elif "beat" in frame:
            self._beat(life, Beat.model_validate(frame["beat"], strict=False))
        elif "snapshot" in frame:
            self._snapshot(NodeSnapshot.model_validate(frame["snapshot"], strict=False))
        elif "handled" in frame:
            self._venue.handled_all()
        elif "row" in frame:
            self._bars.add(frame["row"])
            life.saw_row(frame["row"]["ts_event"])
        elif "flattened" in frame:
            self._flattened(life, Flattened.model_validate(frame["flattened"]))
        elif "progress" in frame:
            life.bars = frame["progress"]["bars"]
        elif "ended" in frame:
            life.bars = frame["ended"]["bars"]
            life.ending = True
        elif "failure" in frame:
            life.failure = Failure.model_validate(frame["failure"])
        elif "result" in frame:
            life.counters = ScenarioCounters.model_validate(frame["result"]["counters"])
            life.cost = EngineCost.model_validate(frame["result"]["cost"])
            life.denial_reasons = frame["result"]["denial_reasons"]
            life.dropped = frame["result"]["dropped"]

    def _engine_event(self, life: EngineLife, name: str, payload: Mapping[str, Any]) -> None:
        self._log.tell(name, {**payload, "engine_number": life.number} if life.number > 1 else payload)
        life.note(name, payload)
        if name == "feed_state_changed":
            self._story.feed_changed(payload)
        elif name == "scenario_action_triggered":
            self._story.acted += 1
        elif name == "gate_closed":
            life.ending = True
            if self._why is None:
                self._why = self._bound() if payload["why"] == LAST_BAR else payload["why"]
            self._story.gate_closed(self._why)

    # The life of the engine.

    def _start_engine(self, number: int) -> None:
        assert self._venue.endpoints
        log = self._folder / "logs" / ("engine.log" if number == 1 else f"engine-{number}.log")
        child = ChildProcess(
            "engine",
            self._plan.live(self._venue.endpoints, number),
            log,
            self._clock,
            self._around.command,
            ENGINE_PATIENCE_SECONDS,
        )
        now_s = self._clock.monotonic_s()
        self._engine = EngineLife(number, child, now_s, iso(self._clock.now_ns()))
        self._inbox.listen(self._engine.who, child)

    def _beat(self, life: EngineLife, beat: Beat) -> None:
        life.beat, life.beats = beat, life.beats + 1
        life.last_beat_s = self._clock.monotonic_s()
        statement = self._venue.statement()
        if statement:
            self._reconciler.heard(statement)
        venue = statement.model_dump() if statement else None
        payload = {"engine": life.number, "beat": beat.model_dump(), "venue": venue}
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
        finished = self._reconciler.turn()
        if finished:
            self._reconciled(finished)
        self._show()
        if life is None or self._over:
            return
        about = complaint(Signs(life.started_s, life.last_beat_s, life.child.memory_bytes()), self._bounds, now_s)
        if about and life.killed_for is None and not life.counters:
            life.killed_for = about
            self._let_it_say_where(life)
            life.child.kill()
            return
        if life.ending or self._why:
            return
        if now_s > self._out_of_time_s:
            self._stop("max_seconds")
        elif self._all_was_sent(life, now_s):
            self._stop(self._bound())
        elif self._next_reconciliation_s is not None and now_s > self._next_reconciliation_s:
            self._reconcile("periodic")

    def _all_was_sent(self, life: EngineLife, now_s: float) -> bool:
        """Whether there is nothing to wait for any more: the last bar is late, or was lost on the way."""
        if self._replayed_s is None or life.first_beat_s is None:
            return False
        return now_s > max(self._replayed_s, life.first_beat_s) + LATE_BAR_SECONDS

    def _let_it_say_where(self, life: EngineLife) -> None:
        """A hanging engine prints the stack of each of its threads, which its log keeps."""
        if life.killed_for == "hang":
            life.child.tell_where_it_is()
            deadline = self._clock.monotonic_s() + LAST_LOOK_SECONDS
            while (left := deadline - self._clock.monotonic_s()) > 0:
                said = self._inbox.take(left)
                if said:
                    self._hear(*said)

    def _bound(self) -> str:
        """What a run that saw all its bars was ended by."""
        return bound(self._limits, self._plan.rows)

    def _stop(self, why: str) -> None:
        """Let the engine close its gate, leave the account as `on_stop` wants, and end."""
        if self._why is None:
            self._why = why
            self._log.tell("run_stopping", {"why": why, "on_stop": self._limits.on_stop})
            self._story.stopping(why)
        if self._engine is None:
            self._over = True
        else:
            self._engine.child.tell({"stop": why})
            self._engine.child.stop()

    def _flattened(self, life: EngineLife, done: Flattened) -> None:
        """The engine has left the account as it was to."""
        life.ending = True
        life.flattened = done
        statement = self._venue.statement()
        self._story.left("engine")
        if self._limits.on_stop == "flatten":
            tell_left(self._log, statement, "engine", self._why or "stop", rounds=done.rounds, seconds=done.seconds)

    def _snapshot(self, told: NodeSnapshot) -> None:
        """The last one is held against what the venue has, while the node stops."""
        self._reconciler.took(told)
        if told.ask == 0:
            self._reconcile("final")

    def _engine_gone(self, life: EngineLife) -> None:
        self._inbox.leave(life.who)
        life.child.close()
        death = life.child.failure(self._around.clean)
        failure = cause(life, death, self._bounds)
        life.ended_by = end_word(life, failure)
        self._engine = None
        self._reconciler.node_gone()
        self._story.engine_ended(life, failure)
        if failure is None or self._signal:
            self._why = self._why or "engine_ended"
            self._over = True
            return
        self._log.tell("engine_lost", loss(life, failure))
        if self._why is None and self._venue.runs and may_restart(life, failure, self._limits):
            self._log.tell("engine_restarted", {"number": life.number + 1, "of": self._limits.max_restarts + 1})
            self._next_reconciliation_s = None
            self._start_engine(life.number + 1)
        else:
            self._failure = failure
            self._over = True

    # Reconciliation.

    def _ask_node(self, number: int) -> None:
        if self._engine:
            self._engine.child.tell({"snapshot": number})

    def _reconcile(self, occasion: LiveOccasion) -> None:
        self._next_reconciliation_s = None
        self._reconciler.begin(occasion)

    def _reconciled(self, finished: Finished) -> None:
        self._story.reconciled(finished)
        record(self._folder, self._log, finished)
        if finished.occasion != "final":
            self._next_reconciliation_s = self._clock.monotonic_s() + self._limits.reconcile_every_seconds

    # What is shown, and the end.

    def _show(self) -> None:
        self._heart.beat(self._story.bars(self._engine), lambda: self._story.live(self._engine, self._phase()))

    def _phase(self) -> Phase:
        life = self._engine
        if self._why or (life and life.ending):
            return "stopping"
        if life is None or life.first_beat_s is None:
            return "starting" if life is None or life.number == 1 else "restarting"
        return "running"

    def _end(self) -> None:
        """Account left as wanted, venue stopped, results and the closing event written."""
        why = self._why or "engine_lost"
        statement = leave_account(self._plan, self._venue, self._log, self._story, why)
        self._progress = self._venue.end(self._around.clean) or self._progress
        for path in sorted((self._folder / "logs").glob("*.log")):
            scrub_log(path, self._around.clean)
        end = Ending(why, self._failure, self._signal, statement, self._progress.minutes if self._progress else 0)
        end_run(self._plan, self._folder, self._around, self._log, self._story, end, self._bars)

    def _abandon(self) -> None:
        """Something broke in control itself: nothing of the run is left running; the venue ends the account."""
        if self._engine:
            self._engine.child.kill()
            self._engine.child.close()
        if self._venue.runs and self._limits.on_stop == "flatten":
            self._venue.flatten("control failed")
        if self._venue.runs:
            self._venue.stop()
            self._venue.ended(self._around.clean)
        self._bars.keep_partial()
