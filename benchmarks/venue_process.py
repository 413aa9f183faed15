"""Long-running processes (a venue's child, a bare server, a client); the caller that starts one also ends it."""

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

from benchmarks.context import BenchmarkContext
from benchmarks.process import MeasurementError, run

ROOT = Path(__file__).parent.parent
DATASET = "btcusdt-sample"
TICKS = 1_500
"""Simulated ticks a minute: many, so that a high message rate does not need a very high speed."""
START_SECONDS = 60.0
_STOP_SECONDS = 15.0


class Running:
    """A process that prints JSON lines."""

    def __init__(self, command: Sequence[str | Path], errors: Path, *, plan: str | None = None) -> None:
        """plan: a line for its standard input, which stays open; the process then writes to an extra descriptor."""
        self.errors = errors
        receiving, sending = os.pipe()
        started_s = time.perf_counter()
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
        self._started_s = started_s
        self.ready_seconds = 0.0
        """From its start to the line of `wait_for`."""
        self.pid = self._child.pid
        self._lines: list[tuple[float, dict[str, Any]]] = []
        self._condition = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, args=(os.fdopen(receiving, "rb"),), daemon=True)
        self._reader.start()
        if plan is not None:
            assert self._child.stdin
            self._child.stdin.write(plan.encode() + b"\n")
            self._child.stdin.flush()

    def wait_for(self, matches: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
        """Wait for the first matching line. Raises MeasurementError."""
        deadline, read_count = time.monotonic() + seconds, 0
        with self._condition:
            while True:
                for at, line in self._lines[read_count:]:
                    if matches(line):
                        self.ready_seconds = at - self._started_s
                        return line
                read_count = len(self._lines)
                remaining_s = deadline - time.monotonic()
                if self._ended or remaining_s <= 0:
                    raise MeasurementError(f"{self.errors.stem} {'ended' if self._ended else 'timed out'}")
                self._condition.wait(remaining_s)

    def last_value(self, key: str) -> Any:
        """Value of the last line with this key; None without one."""
        with self._condition:
            return next((line[key] for _, line in reversed(self._lines) if key in line), None)

    def stop(self) -> None:
        """End the process, and wait for its end."""
        if self._child.returncode is not None:
            return
        os.kill(self.pid, signal.SIGTERM)  # `terminate` would reap an ended process
        killer = threading.Timer(_STOP_SECONDS, os.kill, (self.pid, signal.SIGKILL))
        killer.start()
        _, status = os.waitpid(self.pid, 0)
        killer.cancel()
        self._child.returncode = os.waitstatus_to_exitcode(status)
        self._reader.join(_STOP_SECONDS)
        if self._child.stdin:
            with suppress(BrokenPipeError):
                self._child.stdin.close()

    def cpu_seconds_so_far(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise MeasurementError(f"{self.errors.stem} has no memory left")

    def _read(self, stream: IO[bytes]) -> None:
        for text in stream:
            line = json.loads(text)
            with self._condition:
                self._lines.append((time.perf_counter(), line))
                self._condition.notify_all()
        with self._condition:
            self._ended = True
            self._condition.notify_all()


@contextmanager
def running(command: Sequence[str | Path], errors: Path, *, plan: str | None = None) -> Iterator[Running]:
    process = Running(command, errors, plan=plan)
    try:
        yield process
    finally:
        process.stop()


def program(context: BenchmarkContext, name: str, *arguments: str | Path) -> list[str | Path]:
    """Command of a program that imports other modules of its folder."""
    command: list[str | Path] = [context.python, "-m", f"benchmarks.programs.{name}"]
    return [*command, *arguments]


def venue_home(context: BenchmarkContext) -> Path:
    return context.work / "venue-home"


def make_home(context: BenchmarkContext) -> None:
    """Create a home with the sample and without venues."""
    shutil.rmtree(venue_home(context), ignore_errors=True)
    run([context.tc, "data", "prepare", "--dataset", DATASET, "--home", venue_home(context)], context.work)


def venue_plan(
    context: BenchmarkContext,
    name: str,
    *,
    speed: float | None,
    ticks: int = TICKS,
    start: str = "kline",
    max_bars: int | None = None,
    unlimited: bool = False,
) -> str:
    """Plan of a venue's child, one line; see `programs/venue_plan.py`."""
    options = {"speed": speed, "ticks": ticks, "start": start, "max_bars": max_bars, "unlimited": unlimited}
    command: list[str | Path] = [
        context.python,
        context.program("venue_plan"),
        venue_home(context),
        name,
        json.dumps(options),
    ]
    return run(command, context.work).output.strip()


@contextmanager
def venue(context: BenchmarkContext, plan: str) -> Iterator[tuple[Running, Path]]:
    """Yields the child and a file with its endpoints."""
    command: list[str | Path] = [context.python, "-P", "-m", "opslab.children.venue"]
    with running(command, context.work / "venue.err", plan=plan) as child:
        line = child.wait_for(lambda line: "listening" in line, START_SECONDS)
        yield child, endpoints_file(context, "venue", line["listening"]["endpoints"])


@contextmanager
def bare_server(context: BenchmarkContext, name: str, *arguments: str | Path) -> Iterator[tuple[Running, Path]]:
    """Yields a bare server and a file with its endpoints."""
    with running(program(context, name, *arguments), context.work / f"{name}.err") as child:
        line = child.wait_for(lambda _line: True, START_SECONDS)
        yield child, endpoints_file(context, name, line)


def endpoints_file(context: BenchmarkContext, name: str, endpoints: Mapping[str, str]) -> Path:
    path = context.work / f"{name}-endpoints.json"
    path.write_text(json.dumps(endpoints))
    return path
