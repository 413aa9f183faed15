"""A venue's child, a bare server or a client, that runs while others do; each ended by whoever started it."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from benchmarks.process import CouldNotMeasure, run
from benchmarks.scene import Scene

ROOT = Path(__file__).parent.parent
DATASET = "btcusdt-sample"
TICKS = 1_500
"""Drawn in a minute: many, so that the market need not run too fast to send much."""
START_SECONDS = 60.0
_STOP_SECONDS = 15.0


class Running:
    """A process that prints JSON lines."""

    def __init__(self, command: Sequence[str | Path], errors: Path, *, plan: str | None = None) -> None:
        """plan: a line for its standard input, which stays open; it then writes to a descriptor it is given."""
        self.errors = errors
        receiving, sending = os.pipe()
        began = time.perf_counter()
        with open(errors, "wb") as log:
            self._child = subprocess.Popen(
                [*command, str(sending)] if plan is not None else command,
                cwd=ROOT,
                stdin=subprocess.PIPE if plan is not None else subprocess.DEVNULL,
                stdout=log if plan is not None else sending,
                stderr=log,
                pass_fds=(sending,),
                env={name: value for name, value in os.environ.items() if not name.startswith(("TC_", "PYTHON"))},
            )
        os.close(sending)
        self._began = began
        self.ready_seconds = 0.0
        """From its start to the line that `first` waited for."""
        self.pid = self._child.pid
        self._lines: list[tuple[float, dict[str, Any]]] = []
        self._heard = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, args=(os.fdopen(receiving, "rb"),), daemon=True)
        self._reader.start()
        if plan is not None:
            assert self._child.stdin
            self._child.stdin.write(plan.encode() + b"\n")
            self._child.stdin.flush()

    def first(self, wanted: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
        """The first line that is wanted, once it is there. Raises CouldNotMeasure."""
        deadline, looked = time.monotonic() + seconds, 0
        with self._heard:
            while True:
                for at, line in self._lines[looked:]:
                    if wanted(line):
                        self.ready_seconds = at - self._began
                        return line
                looked = len(self._lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    raise CouldNotMeasure(f"{self.errors.stem} {'ended' if self._ended else 'did not come that far'}")
                self._heard.wait(left)

    def last(self, key: str) -> Any:
        """What the last line with this key has under it; None when there was none."""
        with self._heard:
            return next((line[key] for _, line in reversed(self._lines) if key in line), None)

    def stop(self) -> None:
        """End it, and wait until it has."""
        if self._child.returncode is not None:
            return
        os.kill(self.pid, signal.SIGTERM)  # `terminate` would reap it, were it over
        killer = threading.Timer(_STOP_SECONDS, os.kill, (self.pid, signal.SIGKILL))
        killer.start()
        _, status = os.waitpid(self.pid, 0)
        killer.cancel()
        self._child.returncode = os.waitstatus_to_exitcode(status)
        self._reader.join(_STOP_SECONDS)
        if self._child.stdin:
            with suppress(BrokenPipeError):
                self._child.stdin.close()

    def cpu_so_far(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise CouldNotMeasure(f"{self.errors.stem} has no memory left")

    def _read(self, stream: IO[bytes]) -> None:
        for text in stream:
            line = json.loads(text)
            with self._heard:
                self._lines.append((time.perf_counter(), line))
                self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()


@contextmanager
def running(command: Sequence[str | Path], errors: Path, *, plan: str | None = None) -> Iterator[Running]:
    found = Running(command, errors, plan=plan)
    try:
        yield found
    finally:
        found.stop()


def program(scene: Scene, name: str, *words: str | Path) -> list[str | Path]:
    """The command of a program that imports others of its folder."""
    command: list[str | Path] = [scene.python, "-m", f"benchmarks.programs.{name}"]
    return [*command, *words]


def venue_home(scene: Scene) -> Path:
    return scene.work / "venue-home"


def make_home(scene: Scene) -> None:
    """The sample prepared, and no venue."""
    shutil.rmtree(venue_home(scene), ignore_errors=True)
    run([scene.tc, "data", "prepare", "--dataset", DATASET, "--home", venue_home(scene)], scene.work)


def venue_plan(
    scene: Scene,
    name: str,
    *,
    speed: float | None,
    ticks: int = TICKS,
    start: str = "kline",
    max_bars: int | None = None,
    unlimited: bool = False,
) -> str:
    """One line for the child; see `programs/venue_plan.py`."""
    asked = {"speed": speed, "ticks": ticks, "start": start, "max_bars": max_bars, "unlimited": unlimited}
    command: list[str | Path] = [scene.python, scene.program("venue_plan"), venue_home(scene), name, json.dumps(asked)]
    return run(command, scene.work).output.strip()


@contextmanager
def venue(scene: Scene, plan: str) -> Iterator[tuple[Running, Path]]:
    """(the child, a file with its endpoints)."""
    command: list[str | Path] = [scene.python, "-P", "-m", "opslab.children.venue"]
    with running(command, scene.work / "venue.err", plan=plan) as child:
        line = child.first(lambda line: "listening" in line, START_SECONDS)
        yield child, endpoints_file(scene, "venue", line["listening"])


@contextmanager
def bare(scene: Scene, name: str, *words: str | Path) -> Iterator[tuple[Running, Path]]:
    """(a bare server, a file with its endpoints)."""
    with running(program(scene, name, *words), scene.work / f"{name}.err") as child:
        line = child.first(lambda _line: True, START_SECONDS)
        yield child, endpoints_file(scene, name, line)


def endpoints_file(scene: Scene, name: str, endpoints: Mapping[str, str]) -> Path:
    path = scene.work / f"{name}-endpoints.json"
    path.write_text(json.dumps(endpoints))
    return path
