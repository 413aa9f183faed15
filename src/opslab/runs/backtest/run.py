"""A backtest as control drives it: work folder, engine child, one loop over its messages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from opslab.killswitch.state import Switch
from opslab.model.journal.engine_events import SubscriptionUnserved
from opslab.model.journal.journal_event import JournalEvent
from opslab.model.market.instrument import instrument_of
from opslab.model.pipe.messages import (
    EncodedEvent,
    Ended,
    EngineResult,
    Halted,
    Progress,
    ReceivedMessage,
)
from opslab.model.primitives.ids import RunId
from opslab.model.run.metadata import Failure, RunMetadata
from opslab.runs.backtest.closing_event import EngineReport, append_closing_event
from opslab.runs.backtest.halt import BacktestHaltController
from opslab.runs.backtest.results import BacktestResults
from opslab.runs.claim import ClaimedRun
from opslab.runs.lifecycle import RunContext, execute, start
from opslab.runs.planning.plan import BacktestPlan
from opslab.runs.processes.child_process import ChildProcess
from opslab.runs.record.live_status import LiveStatusWriter, LiveValues
from opslab.runs.record.run_journal import RunJournal
from opslab.runs.safety.halt_controller import HaltController
from opslab.runs.safety.start_gate import refusal
from opslab.store.files import folder_names, make_folder, remove_folder, writing
from opslab.store.layout import Layout
from opslab.store.logs import ENGINE_LOG, redact_log
from opslab.store.runs.owner import is_held


def run_backtest(run: ClaimedRun[BacktestPlan], context: RunContext, on_bars: Callable[[int], None]) -> RunMetadata:
    """Run to the end. Returns the final metadata.

    on_bars: called with the number of bars so far, a few times a second.
    Raises Refused when the kill switch blocked or halted a reproduction.
    """
    metadata = execute(run, context, lambda: _run(run, context, on_bars))
    if run.plan.reproduces and metadata.status in ("safety_blocked", "halted"):  # no statement about the original
        raise refusal(metadata)
    return metadata


def _make_work_folder(layout: Layout, run_id: RunId) -> None:
    with writing("create the engine's work folder"):
        for name in folder_names(layout.work_root):  # leftovers of killed runs
            if not is_held(layout.runs / name):
                remove_folder(layout.work_root / name)
        make_folder(layout.work(run_id))


def _run(run: ClaimedRun[BacktestPlan], context: RunContext, on_bars: Callable[[int], None]) -> None:
    plan, folder, log = run.plan, run.folder, run.log
    layout, signals = context.layout, context.signals
    live_writer = LiveStatusWriter(layout, context.clock, plan.run_id, start(run, context), plan.engine.rows)
    _make_work_folder(layout, plan.run_id)
    results = BacktestResults(folder, instrument_of(plan.engine.symbol).instrument_id)
    engine = ChildProcess(
        "engine",
        plan.engine,
        folder / "logs" / ENGINE_LOG,
        context.clock,
        context.command,
        log_level=plan.engine.log_level,
    )
    signals.on_signal = engine.stop
    if signals.count:
        engine.stop(signals.count)
    halt = BacktestHaltController(HaltController(layout, plan.run_id, context.clock, context.redact, log), engine)
    receiver = _Receiver(plan, log, results, halt)
    report = receiver.report
    stopped_by: str | None = None
    deadline_s = context.clock.monotonic_s() + plan.spec.backtest.max_seconds
    try:
        halt.start()
        for messages in engine.messages():
            halt.poll()
            if not stopped_by and context.clock.monotonic_s() > deadline_s:
                stopped_by = "max_seconds"
                engine.stop()
            if receiver.receive(messages):
                engine.wait_for_results()
            live_writer.write(lambda: LiveValues(report.bars, report.actions, results.orders()))
            on_bars(report.bars)
    except BaseException:
        engine.kill()
        raise
    finally:
        signals.on_signal = lambda _count: None
        halt.close()
        engine.close()
        if report.result is None:
            results.keep_partial()
    process_failure = engine.failure(context.redact)
    redact_log(folder / "logs" / ENGINE_LOG, context.redact)
    report.log = engine.log_counter.facts(context.redact)
    report.skipped_orders = engine.log_counter.skipped_orders
    append_closing_event(run, results, report, process_failure, signals.name or stopped_by, halt)


@dataclass(slots=True)
class _Receiver:
    """Handles the messages of the engine: events go to the journal and the results, the rest to the report."""

    plan: BacktestPlan
    log: RunJournal
    results: BacktestResults
    halt: BacktestHaltController
    report: EngineReport = field(default_factory=EngineReport)

    def receive(self, messages: Sequence[ReceivedMessage]) -> bool:
        """Handle one batch, in its order. Returns whether the end of the run was in it."""
        ended = False
        for are_order_events, group in groupby(messages, lambda message: isinstance(message, EncodedEvent)):
            if are_order_events:
                self._on_order_events([message for message in group if isinstance(message, EncodedEvent)])
                continue
            for message in group:
                self._on_message(message)
                ended = ended or isinstance(message, Ended)
        return ended

    def _on_order_events(self, events: Sequence[EncodedEvent]) -> None:
        if self.plan.spec.observability.journal:
            self.log.append_order_events(events)
        self.results.add(events)

    def _on_message(self, message: ReceivedMessage) -> None:
        match message:
            case JournalEvent():
                self.log.append(message)
                if isinstance(message, SubscriptionUnserved):
                    self.report.subscriptions.unserved(message)
            case Halted(switch=switch, gate_closed_at=closed_at):
                self.halt.start_halt(Switch(**switch), closed_at)
            case Progress(bars=bars, actions=actions):
                self.report.bars, self.report.actions = bars, actions
            case Ended(bars=bars, early=early):
                self.report.bars, self.report.saw_all_data = bars, not early
                self.results.finish()
            case Failure():
                self.report.failure = message
            case EngineResult():
                self.report.result = message
