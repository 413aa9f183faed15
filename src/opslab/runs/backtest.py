"""A backtest run from plan to end: its folder, its journal, its engine, its results."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import opslab
from opslab.errors import Corrupt, LabError
from opslab.model.canonical import digest
from opslab.model.event import HIGH_RATE
from opslab.model.frame import RESULT_FILES
from opslab.model.run import EngineCost, Failure, RunMetadata, ScenarioCounters
from opslab.model.spec import OwnStrategy
from opslab.ports import Clock, Processes
from opslab.runs.engine_process import ENGINE_COMMAND, EngineProcess
from opslab.runs.plan import BacktestPlan
from opslab.runs.report import write_reports
from opslab.runs.state import apply, as_seen
from opslab.store.files import folder_names, make_folder, remove_folder, writing
from opslab.store.journal import Journal
from opslab.store.layout import Layout
from opslab.store.logs import scrub_log
from opslab.store.runs import METRICS, RowsFile, new_run_folder, read_metadata, write_metadata, write_record
from opslab.system import StopSignals

ENGINE_LOG = "engine.log"


@dataclass(slots=True)
class Heard:
    """What the engine child said of its end."""

    counters: ScenarioCounters | None = None
    cost: EngineCost | None = None
    denial_reasons: dict[str, int] = field(default_factory=dict)
    failure: Failure | None = None
    to_the_end: bool = False
    """Whether the data was run to its end."""


class RunLog:
    """The journal and its projection, moving together: every lifecycle event renews `metadata.json`."""

    def __init__(self, folder: Path, journal: Journal, begun: RunMetadata | None = None) -> None:
        self._folder = folder
        self._journal = journal
        self._metadata = begun

    def so_far(self) -> RunMetadata:
        if self._metadata is None:
            raise Corrupt("nothing has been told of this run yet")
        return self._metadata

    def tell(self, name: str, payload: Mapping[str, Any]) -> RunMetadata:
        """Append one lifecycle event, durable before this returns; the metadata with it."""
        self._metadata = apply(self._metadata, self._journal.append(name, payload))
        write_metadata(self._folder, self.so_far())
        return self.so_far()

    def tell_many(self, events: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Append events of high rate; durable with the next lifecycle event."""
        self._journal.append_many(events)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run needs of the world around it."""

    layout: Layout
    clock: Clock
    processes: Processes
    signals: StopSignals
    """Entered by the caller."""
    clean: Callable[[str], str]
    """Takes this machine's paths out of a text."""
    on_bars: Callable[[int], None]
    """Called with the number of bars so far, a few times a second."""
    command: Sequence[str] = ENGINE_COMMAND


def run_backtest(plan: BacktestPlan, around: Surroundings) -> RunMetadata:
    """Run it. Returns how it ended; raises AlreadyExists or Unwritable when there is no run to speak of."""
    layout, run_id = around.layout, plan.run_id
    with new_run_folder(layout, run_id, plan.loaded.text) as staging, Journal(staging, around.clock) as journal:
        begun = RunLog(staging, journal).tell("run_initialized", _intent(plan))
    folder = layout.run(run_id)
    with Journal(folder, around.clock) as journal:
        log = RunLog(folder, journal, begun)
        try:
            _run(folder, plan, log, around)
        except BaseException as error:
            failure = Failure(kind="lab", message=f"{type(error).__name__}: {around.clean(str(error))}")
            with suppress(LabError):
                log.tell("run_failed", {"failure": failure.model_dump()})
            raise
        finally:
            remove_folder(layout.work(run_id))
        metadata = log.so_far()
        if plan.spec.observability.report:
            write_reports(folder, metadata)
        return metadata


def _run(folder: Path, plan: BacktestPlan, log: RunLog, around: Surroundings) -> None:
    layout, signals = around.layout, around.signals
    log.tell("run_started", {"owner": around.processes.me().model_dump()})
    log.tell("data_verified", {"dataset": plan.dataset.name, "fingerprint": plan.dataset.fingerprint})
    with writing("make the engine's work folder"):
        for name in folder_names(layout.work_root):  # what a killed run left behind
            if not _is_running(layout, name, around.processes):
                remove_folder(layout.work_root / name)
        make_folder(layout.work(plan.run_id))
    rows = {name: RowsFile(folder, name) for name in RESULT_FILES}
    engine = EngineProcess(plan.engine, folder / "logs" / ENGINE_LOG, around.clock, around.command)
    signals.on_signal = engine.stop
    if signals.count:
        engine.stop(signals.count)
    heard = Heard()
    stopped_by: str | None = None
    out_of_time = around.clock.monotonic_s() + plan.spec.backtest.max_seconds
    try:
        for frames in engine.frames():
            if not stopped_by and around.clock.monotonic_s() > out_of_time:
                stopped_by = "max_seconds"
                engine.stop()
            if _take(frames, log, rows, heard, around.on_bars):
                engine.collecting()
    except BaseException:
        engine.kill()
        raise
    finally:
        signals.on_signal = lambda _count: None
        engine.close()
        if heard.counters is None:
            for file in rows.values():
                file.abandon()
    death = engine.failure(around.clean)
    scrub_log(folder / "logs" / ENGINE_LOG, around.clean)
    _end(folder, plan, log, rows, heard, death, signals.name or stopped_by)


def _is_running(layout: Layout, name: str, processes: Processes) -> bool:
    """Whether the run of a work folder is alive."""
    try:
        metadata = read_metadata(layout.runs / name)
    except LabError:
        return False
    return metadata is not None and as_seen(metadata, processes).status == "running"


def _take(
    frames: Sequence[Mapping[str, Any]],
    log: RunLog,
    rows: Mapping[str, RowsFile],
    heard: Heard,
    on_bars: Callable[[int], None],
) -> bool:
    """Sort one batch of frames to where they belong; whether the run's end was among them."""
    ended = False
    batch: list[tuple[str, Mapping[str, Any]]] = []
    for frame in frames:
        if frame.get("event") in HIGH_RATE:
            batch.append((frame["event"], frame["payload"]))
            continue
        if batch:
            log.tell_many(batch)
            batch = []
        if "event" in frame:
            log.tell(frame["event"], frame["payload"])
        elif "ended" in frame:
            on_bars(frame["ended"]["bars"])
            heard.to_the_end = not frame["ended"]["early"]
            ended = True
        elif "row" in frame:
            rows[frame["file"]].add(frame["row"])
        elif "progress" in frame:
            on_bars(frame["progress"]["bars"])
        elif "failure" in frame:
            heard.failure = Failure.model_validate(frame["failure"])
        elif "result" in frame:
            heard.counters = ScenarioCounters.model_validate(frame["result"]["counters"])
            heard.cost = EngineCost.model_validate(frame["result"]["cost"])
            heard.denial_reasons = frame["result"]["denial_reasons"]
    if batch:
        log.tell_many(batch)
    return ended


def _end(
    folder: Path,
    plan: BacktestPlan,
    log: RunLog,
    rows: Mapping[str, RowsFile],
    heard: Heard,
    death: Failure | None,
    stopped_by: str | None,
) -> None:
    """Write what there is and say how it ended."""
    payload: dict[str, Any] = {}
    if heard.counters and heard.cost:
        artifacts = {file.name: file.commit() for file in rows.values()}
        payload = {
            "metrics": heard.counters.model_dump(),
            "engine_cost": heard.cost.model_dump(),
            "denial_reasons": heard.denial_reasons,
            "artifacts": artifacts,
        }
        if plan.spec.observability.metrics:
            metrics = {"scenario": payload["metrics"], "engine": payload["engine_cost"]}
            write_record(folder, METRICS, {**metrics, "denial_reasons": heard.denial_reasons})
    every_bar = None if isinstance(plan.spec.strategy, OwnStrategy) else plan.engine.rows
    failure = heard.failure or verdict_on(heard, death, every_bar, stopped_by)
    if failure:
        log.tell("run_failed", {**payload, "failure": failure.model_dump()})
    elif stopped_by and not (heard.counters and heard.to_the_end):
        log.tell("run_interrupted", {**payload, "ended_by": stopped_by})
    else:
        results = {"metrics": payload["metrics"], "artifacts": payload["artifacts"]}
        log.tell("run_completed", {**payload, "result_digest": digest(results)})


def verdict_on(heard: Heard, death: Failure | None, every_bar: int | None, stopped_by: str | None) -> Failure | None:
    """Why a run failed whose engine reported no failure itself; None when it did not fail.

    every_bar: how many bars the strategy must have seen; None for a user's own, which may look at none.
    """
    if stopped_by:
        return None
    if death:
        return death
    if heard.counters is None:
        return Failure(kind="engine", message="the engine ended without a result")
    if every_bar is not None and heard.counters.bars_seen != every_bar:
        seen = heard.counters.bars_seen
        return Failure(kind="engine", message=f"the strategy saw {seen} bars of the dataset's {every_bar}")
    return None


def _intent(plan: BacktestPlan) -> dict[str, Any]:
    spec = plan.spec
    return {
        "run_id": plan.run_id,
        "mode": spec.mode,
        "strategy": spec.strategy.named(),
        "venue": spec.venue,
        "instrument": spec.instrument,
        "risk_profile": spec.risk.profile,
        "dataset": plan.run_dataset().model_dump(),
        "identity": plan.identity.model_dump(),
        "input_digest": plan.input_digest,
        "git": plan.git.model_dump() if plan.git else None,
        "lab_version": opslab.__version__,
        "spec_file_digest": plan.loaded.text_digest,
    }
