"""A paper run as an operator starts one, watched from outside: its journal, its processes, its ledger."""

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

from benchmarks.process import CouldNotMeasure
from benchmarks.scene import Scene
from benchmarks.venue_process import DATASET, ROOT, Running, program, running, venue_home

LOOK_SECONDS = 0.02
START_SECONDS = 60.0
END_SECONDS = 60.0
Role = Literal["control", "venue", "engine"]
ROLES: tuple[Role, ...] = ("control", "venue", "engine")
_MODULE = "benchmarks.programs.paper_strategies"


@dataclass(frozen=True, slots=True)
class Own:
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
    """`tc run paper`. Made by `paper_run`, which ends it."""

    def __init__(self, scene: Scene, run_id: str, strategy: str | Own, paper: Mapping[str, Any]) -> None:
        """strategy: a scenario's name, or one of ours. paper: the spec's block."""
        self.folder = venue_home(scene) / "artifacts" / "runs" / run_id
        self._live = venue_home(scene) / "runtime" / "live" / f"{run_id}.json"
        spec = _write_spec(scene, run_id, strategy, paper)
        command: list[str | Path] = [scene.tc, "run", "paper", "--spec", spec, "--run-id", run_id]
        command += ["--home", venue_home(scene)]
        self._errors = scene.work / "paper.err"
        with open(self._errors, "wb") as errors:
            self.began = time.time()
            """On the wall clock, as the journal's times are."""
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
        """The journal so far, order events left out; `at` is an event's time on the wall clock."""
        try:
            with open(self.folder / "journal.jsonl", "rb") as stream:
                stream.seek(self._offset)
                whole = stream.read().rpartition(b"\n")[0]
        except FileNotFoundError:
            return self._events
        if whole:
            self._offset += len(whole) + 1
            for line in whole.split(b"\n"):
                if b'"event":"order_event"' not in line[:128]:
                    event = json.loads(line)
                    self._events.append({**event, "at": datetime.fromisoformat(event["time"]).timestamp()})
        return self._events

    def first(
        self,
        name: str,
        seconds: float = START_SECONDS,
        wanted: Callable[[dict[str, Any]], bool] = lambda _payload: True,
        since: float = 0.0,
    ) -> float:
        """When the first such event behind `since` was written. Raises CouldNotMeasure when none comes in time."""
        deadline = time.monotonic() + seconds
        while True:
            is_over = self._child.poll() is not None
            for event in self.events():
                if event["event"] == name and event["at"] > since and wanted(event["payload"]):
                    at: float = event["at"]
                    return at
            if is_over or time.monotonic() > deadline:
                why = "ended" if is_over else "did not come that far"
                raise CouldNotMeasure(f"the run {why} without {name}: {self._said()}")
            time.sleep(LOOK_SECONDS)

    def told(self, own: Own, key: str, seconds: float) -> Any:
        """What the strategy's last line with this key has under it, once there is one. Raises CouldNotMeasure."""
        deadline = time.monotonic() + seconds
        while True:
            is_over = self._child.poll() is not None
            found = [line[key] for line in told_lines(own.out) if key in line]
            if found:
                return found[-1]
            if is_over or time.monotonic() > deadline:
                raise CouldNotMeasure(f"the strategy did not tell of {key}: {self._said()}")
            time.sleep(LOOK_SECONDS)

    def processes(self) -> dict[Role, int]:
        """Their ids; the children's as long as they live."""
        found: dict[Role, int] = {"control": self._child.pid}
        children = Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children")
        for pid in children.read_text().split():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            for role in ROLES[1:]:
                if f"opslab.children.{role}".encode() in words:
                    found[role] = int(pid)
        return found

    def live(self) -> dict[str, Any] | None:
        """The run's live values; None while there are none."""
        try:
            found = json.loads(self._live.read_bytes())
        except (OSError, ValueError):
            return None
        assert isinstance(found, dict)
        return found

    @property
    def is_over(self) -> bool:
        return self._child.poll() is not None

    def interrupt(self) -> float:
        """As Ctrl-C does. When that was."""
        at = time.time()
        self._child.send_signal(signal.SIGINT)
        return at

    def wait(self, seconds: float = END_SECONDS) -> int:
        """Its exit code, once it has ended."""
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise CouldNotMeasure(f"the run did not end: {self._said()}") from None
        self.ended = self.ended or time.time()
        return code

    def finish(self, seconds: float, *, expected: int = 0) -> None:
        """Wait for an end of its own. Raises CouldNotMeasure when it is another than `expected`."""
        code = self.wait(seconds)
        if code != expected:
            raise CouldNotMeasure(f"the run ended with {code}: {self._said()}")

    def flat_at(self) -> float:
        """When the venue's ledger says of an ended run that it did its last order's last step."""
        return ledger_end(self.folder / "venue" / "ledger.jsonl")

    def close(self) -> None:
        """Nothing of it is left running."""
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

    def _said(self) -> str:
        lines = [line for line in self._errors.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:200] if lines else "it said nothing"


@contextmanager
def paper_run(scene: Scene, run_id: str, strategy: str | Own, **paper: Any) -> Iterator[PaperRun]:
    """paper: the spec's block."""
    run = PaperRun(scene, run_id, strategy, paper)
    try:
        yield run
    finally:
        run.close()


@contextmanager
def bare_node(scene: Scene, endpoints: Path, own: Own, *, stop_seconds: int = 0) -> Iterator[Running]:
    """The yardstick: a live node with the same adapters and the same strategy, and nothing of the lab around it.

    stop_seconds: what it gives itself, when it is stopped, to end orders and position; 0 leaves them.
    """
    values = {**own.config, "out": "/dev/stdout"}
    command = program(scene, "bare_paper", own.name, json.dumps(values), endpoints, str(stop_seconds))
    with running(command, scene.work / f"bare_{own.name}.err") as child:
        yield child


def told_lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def ledger_end(path: Path) -> float:
    """When its last transaction took place, on the wall clock, in whole ms."""
    with open(path, "rb") as stream:
        stream.seek(max(0, path.stat().st_size - (1 << 16)))
        last = stream.read().splitlines()[-1]
    return max(float(event["time_ms"]) for event in json.loads(last)["events"]) / 1000


def cpu_seconds(pid: int) -> float:
    """So far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _write_spec(scene: Scene, run_id: str, strategy: str | Own, paper: Mapping[str, Any]) -> Path:
    """In a folder with what its strategy needs."""
    folder = scene.work / "paper-specs"
    (folder / "benchmarks" / "programs").mkdir(parents=True, exist_ok=True)
    for name in ("__init__.py", "programs/__init__.py", "programs/paper_strategies.py", "programs/feed_lag.py"):
        shutil.copyfile(ROOT / "benchmarks" / name, folder / "benchmarks" / name)
    asked: dict[str, Any] = {"name": strategy, "version": "v1"}
    if isinstance(strategy, Own):
        asked = {"path": strategy.path, "config_path": strategy.config_path, "config": strategy.values()}
    spec = {
        "spec_version": "v1",
        "mode": "paper",
        "engine": "nautilus",
        "venue": "binance",
        "instrument": "BTCUSDT",
        "strategy": asked,
        "data": {"dataset": DATASET},
        "paper": dict(paper),
    }
    path = folder / f"{run_id}.yaml"
    path.write_text(json.dumps(spec, indent=1))  # a YAML document as well
    return path
