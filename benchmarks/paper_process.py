"""A paper run as started by an operator, observed from outside: its journal, its processes, its ledger."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from benchmarks.context import BenchmarkContext
from benchmarks.process import MeasurementError
from benchmarks.venue_process import DATASET, ROOT, Running, program, running, venue_home

POLL_SECONDS = 0.02
START_SECONDS = 60.0
END_SECONDS = 60.0
Role = Literal["control", "venue", "engine"]
ROLES: tuple[Role, ...] = ("control", "venue", "engine")
_MODULE = "benchmarks.programs.paper_strategies"


@dataclass(frozen=True, slots=True)
class MeasuringStrategy:
    """A strategy of `programs/paper_strategies.py`, which appends JSON lines to `out`."""

    name: str
    out: Path
    config: Mapping[str, Any]

    @property
    def path(self) -> str:
        return f"{_MODULE}:{self.name}"

    @property
    def config_path(self) -> str:
        return f"{_MODULE}:{self.name}Config"

    def values(self) -> dict[str, Any]:
        return {**self.config, "out": str(self.out)}


class PaperRun:
    """A `tc run paper` process. Created by `paper_run`, which ends it."""

    def __init__(
        self, context: BenchmarkContext, run_id: str, strategy: str | MeasuringStrategy, paper: Mapping[str, Any]
    ) -> None:
        """strategy: name of a scenario, or a measuring strategy. paper: the spec's block."""
        self.folder = venue_home(context) / "artifacts" / "runs" / run_id
        self._live = venue_home(context) / "runtime" / "live" / f"{run_id}.json"
        spec = _write_spec(context, run_id, strategy, paper)
        command: list[str | Path] = [context.tc, "run", "paper", "--spec", spec, "--run-id", run_id]
        command += ["--home", venue_home(context)]
        self._errors = context.work / "paper.err"
        with open(self._errors, "wb") as errors:
            self.started_s = time.time()
            """Wall clock, as the times of the journal."""
            self._child = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={name: value for name, value in os.environ.items() if not name.startswith(("TC_", "PYTHON"))},
            )
        self.ended: float | None = None
        self._events: list[dict[str, Any]] = []
        self._offset = 0

    def events(self) -> list[dict[str, Any]]:
        """The journal so far, without order events; `at` is the time of an event on the wall clock."""
        try:
            with open(self.folder / "journal.jsonl", "rb") as stream:
                stream.seek(self._offset)
                complete = stream.read().rpartition(b"\n")[0]
        except FileNotFoundError:
            return self._events
        if complete:
            self._offset += len(complete) + 1
            for line in complete.split(b"\n"):
                if b'"event":"order_event"' not in line[:128]:
                    event = json.loads(line)
                    self._events.append({**event, "at": datetime.fromisoformat(event["time"]).timestamp()})
        return self._events

    def time_of_first(
        self,
        name: str,
        seconds: float = START_SECONDS,
        matches: Callable[[dict[str, Any]], bool] = lambda _payload: True,
        since: float = 0.0,
    ) -> float:
        """Time of the first such event after `since`. Raises MeasurementError without one in time."""
        deadline = time.monotonic() + seconds
        while True:
            has_ended = self._child.poll() is not None
            for event in self.events():
                if event["event"] == name and event["at"] > since and matches(event["payload"]):
                    at: float = event["at"]
                    return at
            if has_ended or time.monotonic() > deadline:
                outcome = "ended" if has_ended else "timed out"
                raise MeasurementError(f"the run {outcome} without {name}: {self._last_error_line()}")
            time.sleep(POLL_SECONDS)

    def wait_for_report(self, measuring: MeasuringStrategy, key: str, seconds: float) -> Any:
        """Wait for a line of the strategy with this key; return the last value. Raises MeasurementError."""
        deadline = time.monotonic() + seconds
        while True:
            has_ended = self._child.poll() is not None
            values = [line[key] for line in report_lines(measuring.out) if key in line]
            if values:
                return values[-1]
            if has_ended or time.monotonic() > deadline:
                raise MeasurementError(f"the strategy did not report {key}: {self._last_error_line()}")
            time.sleep(POLL_SECONDS)

    def processes(self) -> dict[Role, int]:
        """Process ids; those of the children as long as they are alive."""
        processes: dict[Role, int] = {"control": self._child.pid}
        children = Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children")
        for pid in children.read_text().split():
            try:
                arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            for role in ROLES[1:]:
                if f"opslab.children.{role}".encode() in arguments:
                    processes[role] = int(pid)
        return processes

    def live(self) -> dict[str, Any] | None:
        """The run's live values; None without any."""
        try:
            live = json.loads(self._live.read_bytes())
        except (OSError, ValueError):
            return None
        assert isinstance(live, dict)
        return live

    @property
    def has_ended(self) -> bool:
        return self._child.poll() is not None

    def interrupt(self) -> float:
        """Send SIGINT, as Ctrl-C does; return the time."""
        at = time.time()
        self._child.send_signal(signal.SIGINT)
        return at

    def wait(self, seconds: float = END_SECONDS) -> int:
        """Wait for the end; return the exit code."""
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise MeasurementError(f"the run did not end: {self._last_error_line()}") from None
        self.ended = self.ended or time.time()
        return code

    def finish(self, seconds: float, *, expected: int = 0) -> None:
        """Wait until the run ends by itself. Raises MeasurementError for an exit code other than `expected`."""
        code = self.wait(seconds)
        if code != expected:
            raise MeasurementError(f"the run ended with {code}: {self._last_error_line()}")

    def flat_at(self) -> float:
        """Time of the last event in the venue's ledger of an ended run."""
        return ledger_end(self.folder / "venue" / "ledger.jsonl")

    def close(self) -> None:
        """End the run; no process is left."""
        for seconds in (END_SECONDS, END_SECONDS):
            if self._child.poll() is not None:
                return
            self._child.send_signal(signal.SIGINT)
            try:
                self._child.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        self._child.kill()
        self._child.wait()

    def _last_error_line(self) -> str:
        lines = [line for line in self._errors.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:200] if lines else "no output"


@contextmanager
def paper_run(
    context: BenchmarkContext, run_id: str, strategy: str | MeasuringStrategy, **paper: Any
) -> Iterator[PaperRun]:
    """paper: the spec's block."""
    run = PaperRun(context, run_id, strategy, paper)
    try:
        yield run
    finally:
        run.close()


@contextmanager
def bare_node(
    context: BenchmarkContext, endpoints: Path, measuring: MeasuringStrategy, *, stop_seconds: int = 0
) -> Iterator[Running]:
    """The yardstick: a live node with the same adapters and the same strategy, without the lab.

    stop_seconds: time of the node, when it is stopped, to flatten orders and position; 0 leaves them.
    """
    values = {**measuring.config, "out": "/dev/stdout"}
    command = program(context, "bare_paper", measuring.name, json.dumps(values), endpoints, str(stop_seconds))
    with running(command, context.work / f"bare_{measuring.name}.err") as child:
        yield child


def report_lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def ledger_end(path: Path) -> float:
    """Time of the last transaction, wall clock in seconds, from whole ms."""
    with open(path, "rb") as stream:
        stream.seek(max(0, path.stat().st_size - (1 << 16)))
        last = stream.read().splitlines()[-1]
    return max(float(event["time_ms"]) for event in json.loads(last)["events"]) / 1000


def cpu_seconds(pid: int) -> float:
    """CPU time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _write_spec(
    context: BenchmarkContext, run_id: str, strategy: str | MeasuringStrategy, paper: Mapping[str, Any]
) -> Path:
    """Write the spec into a folder with the files of its strategy."""
    folder = context.work / "paper-specs"
    (folder / "benchmarks" / "programs").mkdir(parents=True, exist_ok=True)
    for name in ("__init__.py", "programs/__init__.py", "programs/paper_strategies.py", "programs/feed_lag.py"):
        shutil.copyfile(ROOT / "benchmarks" / name, folder / "benchmarks" / name)
    strategy_block: dict[str, Any] = {"name": strategy, "version": "v1"}
    if isinstance(strategy, MeasuringStrategy):
        strategy_block = {"path": strategy.path, "config_path": strategy.config_path, "config": strategy.values()}
    spec = {
        "spec_version": "v1",
        "mode": "paper",
        "engine": "nautilus",
        "venue": "binance",
        "instrument": "BTCUSDT",
        "strategy": strategy_block,
        "data": {"dataset": DATASET},
        "paper": dict(paper),
    }
    path = folder / f"{run_id}.yaml"
    path.write_text(json.dumps(spec, indent=1))  # JSON is valid YAML
    return path
