"""A backtest as control drives it: work folder, engine child, results, closing event."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from opslab.model.market.instrument import instrument_of
from opslab.model.pipe.messages import (
    EncodedEvent,
    Ended,
    EngineResult,
    Halted,
    LifecycleEvent,
    Progress,
    ReceivedMessage,
)
from opslab.model.primitives.canonical import digest
from opslab.model.primitives.ids import RunId
from opslab.model.run.metadata import Failure, RunMetadata
from opslab.model.spec.run_spec import UserStrategyRef
from opslab.runs.backtest.halt import BacktestHaltController
from opslab.runs.backtest.results import BacktestResults
from opslab.runs.lifecycle import RunContext, execute, start
from opslab.runs.planning.plan import BacktestPlan
from opslab.runs.processes.child_process import ChildProcess
from opslab.runs.record.live_status import LiveStatusWriter
from opslab.runs.record.run_journal import RunJournal, metrics_document
from opslab.runs.safety.halt_controller import HaltController
from opslab.runs.safety.start_gate import refused
from opslab.store.files import folder_names, make_folder, remove_folder, writing
from opslab.store.layout import Layout
from opslab.store.logs import ENGINE_LOG, redact_log
from opslab.store.runs.owner import is_held
from opslab.store.runs.run_folders import METRICS, write_record


@dataclass(slots=True)
class EngineReport:
    """What the engine child has reported so far."""

    bars: int = 0
    result: EngineResult | None = None
    failure: Failure | None = None
    saw_all_data: bool = False
    """Whether the engine reached the end of the data."""


def run_backtest(plan: BacktestPlan, context: RunContext, on_bars: Callable[[int], None]) -> RunMetadata:
    """Run the plan, continuing an initialized run. Returns the final metadata.

    on_bars: called with the number of bars so far, a few times a second.
    Raises AlreadyExists, Environment or Unwritable when no run was created; Refused when the kill switch blocked or
    halted a reproduction.
    """
    metadata = execute(plan, context, lambda folder, log: _run(folder, plan, log, context, on_bars))
    if plan.reproduces and metadata.status in ("safety_blocked", "halted"):  # no statement about the original
        raise refused(metadata)
    return metadata


def _make_work_folder(layout: Layout, run_id: RunId) -> None:
    with writing("create the engine's work folder"):
        for name in folder_names(layout.work_root):  # leftovers of killed runs
            if not is_held(layout.runs / name):
                remove_folder(layout.work_root / name)
        make_folder(layout.work(run_id))


def _run(
    folder: Path, plan: BacktestPlan, log: RunJournal, context: RunContext, on_bars: Callable[[int], None]
) -> None:
    layout, signals = context.layout, context.signals
    live_writer = LiveStatusWriter(layout, context.clock, plan.run_id, start(plan, log, context), plan.engine.rows)
    _make_work_folder(layout, plan.run_id)
    results = BacktestResults(folder, instrument_of(plan.engine.symbol).instrument_id)
    engine = ChildProcess("engine", plan.engine, folder / "logs" / ENGINE_LOG, context.clock, context.command)
    signals.on_signal = engine.stop
    if signals.count:
        engine.stop(signals.count)
    report = EngineReport()
    halt = BacktestHaltController(HaltController(layout, plan.run_id, context.clock, context.redact, log), engine)
    stopped_by: str | None = None
    out_of_time = context.clock.monotonic_s() + plan.spec.backtest.max_seconds
    try:
        halt.start()
        for messages in engine.messages():
            halt.poll()
            if not stopped_by and context.clock.monotonic_s() > out_of_time:
                stopped_by = "max_seconds"
                engine.stop()
            if _on_messages(messages, plan, log, results, report, halt):
                engine.wait_for_results()
            live_writer.write(report.bars)
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
    _finish(folder, plan, log, results, report, process_failure, signals.name or stopped_by, halt)


def _on_messages(
    messages: Sequence[ReceivedMessage],
    plan: BacktestPlan,
    log: RunJournal,
    results: BacktestResults,
    report: EngineReport,
    halt: BacktestHaltController,
) -> bool:
    """Handle one batch of messages. Returns whether the end of the run was among them."""
    ended = False
    for are_order_events, some in groupby(messages, lambda message: isinstance(message, EncodedEvent)):
        if are_order_events:
            events = [message for message in some if isinstance(message, EncodedEvent)]
            if plan.spec.observability.journal:
                log.append_order_events(events)
            results.add(events)
            continue
        for message in some:
            ended = _on_message(message, log, results, report, halt) or ended
    return ended


def _on_message(
    message: ReceivedMessage,
    log: RunJournal,
    results: BacktestResults,
    report: EngineReport,
    halt: BacktestHaltController,
) -> bool:
    """Handle one message. Returns whether it is the end of the run."""
    match message:
        case LifecycleEvent(name=name, payload=payload):
            log.append(name, payload)
        case Halted(switch=switch, gate_closed_at=closed_at):
            halt.start_halt(switch, closed_at)
        case Progress(bars=bars):
            report.bars = bars
        case Ended(bars=bars, early=early):
            report.bars, report.saw_all_data = bars, not early
            results.finish()
        case Failure():
            report.failure = message
        case EngineResult():
            report.result = message
    return isinstance(message, Ended)


def _finish(
    folder: Path,
    plan: BacktestPlan,
    log: RunJournal,
    results: BacktestResults,
    report: EngineReport,
    process_failure: Failure | None,
    stopped_by: str | None,
    halt: BacktestHaltController,
) -> None:
    """Write results and the closing event."""
    payload: dict[str, Any] = {}
    if report.result:
        artifacts = results.commit()
        counters, denials = results.counters(report.result), results.denial_reasons(report.result)
        payload = {
            "metrics": counters.model_dump(),
            "engine_cost": report.result.cost.model_dump(),
            "denial_reasons": denials,
            "artifacts": artifacts,
        }
        if plan.spec.observability.metrics:
            write_record(folder, METRICS, metrics_document(payload["metrics"], payload["engine_cost"], denials))
    every_bar = None if isinstance(plan.spec.strategy, UserStrategyRef) else plan.engine.rows
    whole = report.result is not None and report.saw_all_data  # otherwise a stop was acted on
    failure = report.failure or failure_of(report, process_failure, every_bar, stopped_by)
    if halt.is_on and not whole:
        gated = report.result.gated if report.result else {}
        facts = halt.summary(gated).model_dump(mode="json")
        log.append("run_halted", {**payload, "ended_by": "kill_switch", "halt": facts})
    elif failure:
        log.append("run_failed", {**payload, "failure": failure.model_dump()})
    elif not whole:
        log.append("run_interrupted", {**payload, "ended_by": stopped_by})
    else:
        digested = {"metrics": payload["metrics"], "artifacts": payload["artifacts"]}
        log.append("run_completed", {**payload, "result_digest": digest(digested)})


def failure_of(
    report: EngineReport, process_failure: Failure | None, every_bar: int | None, stopped_by: str | None
) -> Failure | None:
    """The failure of a run whose engine reported none; None when it did not fail.

    every_bar: number of bars the strategy must have seen; None for a user strategy, which may subscribe to none.
    """
    if stopped_by:
        return None
    if process_failure:
        return process_failure
    if report.result is None:
        return Failure(kind="engine", message="the engine ended without a result")
    if every_bar is not None and report.result.bars != every_bar:
        seen = report.result.bars
        return Failure(kind="engine", message=f"the strategy saw {seen} bars of the dataset's {every_bar}")
    if not report.saw_all_data:
        return Failure(kind="engine", message="the engine was stopped before the end of the data, and not by tc")
    return None
