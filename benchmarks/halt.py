"""Kill-switch times: from the activation to a closed gate, to no open order, to flat, by the venue's own ledger.

Compared with NautilusTrader alone in the same cases, when its strategy or its node is stopped.
"""

import json
import math
import os
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.context import BenchmarkContext
from benchmarks.process import MeasurementError, run
from benchmarks.table import AtMost, Goal, Row
from benchmarks.venue_process import ROOT, make_home, program, venue, venue_home, venue_plan

STOPS = 100
"""Stops of each case, unless `--repeat` is given."""
LAB_STOPS_PER_BARE_STOP = 20
"""The bare engine is stopped once for this number of lab stops: its result is the same every time."""
MAX_ENDING_RUNS = 2
"""Runs that may still be ending when the next one is measured: they wait for sockets to close."""
CASES = {
    "idle": "idle",
    "resting": "20 orders rest, a position",
    "sending": "an order every ms",
    "blocked": "handler blocked 4 s",
    "socket-down": "trading socket down",
}
CLASSES = {"idle": "Idle", "resting": "Resting", "sending": "Sending", "blocked": "Blocked", "socket-down": "Resting"}
GATE = AtMost(15.0, of_ratio=False)
FLAT = AtMost(50.0, of_ratio=False)
READY_SECONDS = 60.0
END_SECONDS = 60.0
MIN_PAUSE_SECONDS = 0.5
"""Minimum pause between an activation and the next run, to avoid disturbance; meanwhile the node disconnects."""
OBSERVED_SECONDS = 6.0
"""Observation time of a stopped bare node: longer than a handler blocks."""
SPEED = 240
_SPEC = """\
spec_version: v1
mode: paper
engine: nautilus
venue: binance
instrument: BTCUSDT
strategy:
  path: halt_strategies:{name}
data:
  dataset: btcusdt-sample
paper:
  speed: {speed}
  on_stop: leave
"""


@dataclass(frozen=True, slots=True)
class StopTimes:
    """Milliseconds since the stop request; inf: not reached. None: not measured."""

    gate: float | None
    no_orders: float
    flat: float


def halt(context: BenchmarkContext) -> list[Row]:
    make_home(context)
    count, rows = context.repeat or STOPS, []
    for case, label in CASES.items():
        lab: list[StopTimes] = []
        ending: deque[HaltedRun] = deque()
        try:
            for number in range(count):
                context.note(f"{label}: stop {number + 1} of {count}")
                ending.append(_halt(context, case, f"{case}-{number}"))
                while len(ending) > MAX_ENDING_RUNS:
                    lab.append(ending.popleft().stop())
            while ending:
                lab.append(ending.popleft().stop())
        finally:
            for halted in ending:
                halted.child.kill()
                halted.child.wait()
        bare_stops = range(-(-count // LAB_STOPS_PER_BARE_STOP))
        bare = {
            stop_method: [_stop_bare_node(context, stop_method, case) for _ in bare_stops]
            for stop_method in ("handle", "strategy")
        }
        rows += _rows(case, label, lab, bare)
    return rows


def _rows(case: str, label: str, lab: list[StopTimes], bare: dict[str, list[StopTimes]]) -> list[Row]:
    goal: dict[str, tuple[Goal, ...]] = {"gate": (GATE,), "flat": (FLAT,) if case == "resting" else ()}
    figures: list[tuple[str, str, Callable[[StopTimes], float | None]]] = [
        ("gate", "to gate closed", lambda stop: stop.gate),
        ("no_orders", "to no open order", lambda stop: stop.no_orders),
        ("flat", "to flat", lambda stop: stop.flat),
    ]
    rows = []
    for key, title, of in figures:
        times = sorted(value for stop in lab if (value := of(stop)) is not None)
        for name, at in (("median", 50), ("p95", 95), ("max", 100)):
            goals = goal.get(key, ()) if name == "p95" else ()
            rows.append(Row("halt", f"{label}, {title}: {name}", "ms", (_percentile(times, at),), (), goals))
    left_open = tuple(float(stop.flat == math.inf) for stop in lab)
    for stop_method, name in (("handle", "handle.stop()"), ("strategy", "Strategy.stop()")):
        bare_left_open = tuple(float(stop.flat == math.inf) for stop in bare[stop_method])
        title = f"{label}: stops that left something open, compared with {name}"
        rows.append(
            Row("halt", title, "of 1", (_mean(left_open),), (_mean(bare_left_open),), (AtMost(0.0, of_ratio=False),))
        )
        ended = sorted(stop.flat for stop in bare[stop_method] if stop.flat != math.inf)
        if ended:
            rows.append(Row("halt", f"{label}, {name} alone, to flat: max", "ms", (ended[-1],), ()))
    return rows


def _percentile(values: list[float], percent: int) -> float:
    return values[min(len(values) - 1, len(values) * percent // 100)]


def _mean(values: Iterable[float]) -> float:
    items = list(values)
    return sum(items) / len(items)


# The lab.


@dataclass(frozen=True, slots=True)
class HaltedRun:
    """A run that was stopped, and is flat by its venue's ledger or past the wait for it."""

    child: subprocess.Popen[Any]
    run_folder: Path

    def stop(self) -> StopTimes:
        """Wait for the end of the run; return its times."""
        code = self.child.wait(END_SECONDS)
        metadata = json.loads((self.run_folder / "metadata.json").read_text())
        if code != 4 or metadata["status"] != "halted":
            raise MeasurementError(
                f"run {self.run_folder.name} ended {metadata['status']} with {code}: see {self.run_folder}"
            )
        record = metadata["halt"]
        times = Ledger.read(self.run_folder / "venue" / "ledger.jsonl")
        since = record["activated_at"]
        shutil.rmtree(self.run_folder)
        return StopTimes(record["seconds_to_gate"] * 1000, times.ms_to_no_orders(since), times.ms_to_flat(since))


def _halt(context: BenchmarkContext, case: str, run_id: str) -> HaltedRun:
    home, folder = venue_home(context), _strategies(context, run_id)
    spec = folder / "spec.yaml"
    spec.write_text(_SPEC.format(name=CLASSES[case], speed=SPEED))
    errors = context.work / "halt.err"
    arguments: list[str | Path] = [context.tc, "run", "paper", "--spec", spec, "--run-id", run_id, "--home", home]
    with open(errors, "wb") as stream:
        child = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stream)
    try:
        _wait_until_ready(folder, child, errors)
        if case == "socket-down":
            _cut_trading(context, run_id)
        run([context.tc, "kill", "activate", "--run-id", run_id, "--reason", "measured", "--home", home], context.work)
        time.sleep(MIN_PAUSE_SECONDS)
        _wait_until_flat(home / "runtime" / "venues" / run_id / "ledger.jsonl")
    except BaseException:
        child.kill()
        child.wait()
        raise
    return HaltedRun(child, home / "artifacts" / "runs" / run_id)


def _wait_until_flat(ledger: Path) -> None:
    """Wait until the ledger is flat or was moved away. The end of the run shows if it never is flat."""
    deadline = time.monotonic() + END_SECONDS
    with suppress(FileNotFoundError):
        while Ledger.read(ledger).flat_at == math.inf and time.monotonic() < deadline:
            time.sleep(0.1)


def _strategies(context: BenchmarkContext, name: str) -> Path:
    """A separate folder: a run that is ending must not mark the next one as ready."""
    folder = context.work / "halt-strategies" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(context.program("halt_strategies"), folder)
    return folder


def _wait_until_ready(folder: Path, child: subprocess.Popen[Any], errors: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not (folder / "ready").exists():
        if child.poll() is not None or time.monotonic() > deadline:
            raise MeasurementError(f"it did not become ready: {errors.read_text()[-300:]}")
        time.sleep(0.01)


def _cut_trading(context: BenchmarkContext, name: str) -> None:
    where: list[str | Path] = ["--name", name, "--home", venue_home(context), "--term", "which=trading"]
    run([context.tc, "venue", "fault", "start", "refuse", *where], context.work)
    run([context.tc, "venue", "fault", "start", "reset", *where], context.work)


# The bare engine.


def _stop_bare_node(context: BenchmarkContext, stop_method: str, case: str) -> StopTimes:
    """Use a separate venue and node. An order that is accepted in the last second of the observation never ends."""
    name = f"alone-{stop_method}-{case}"
    folder = _strategies(context, name)
    shutil.rmtree(venue_home(context) / "runtime" / "venues" / name, ignore_errors=True)
    errors = context.work / "halt_node.err"
    with venue(context, venue_plan(context, name, speed=SPEED, ticks=30)) as (_, endpoints):
        with open(errors, "wb") as stream:
            node = subprocess.Popen(
                program(context, "halt_node", stop_method, case, folder, endpoints),
                cwd=ROOT,
                env={key: value for key, value in os.environ.items() if not key.startswith(("TC_", "PYTHON"))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
            )
        try:
            _wait_until_ready(folder, node, errors)
            if case == "socket-down":
                _cut_trading(context, name)
            assert node.stdin
            assert node.stdout
            node.stdin.write(b"stop\n")
            node.stdin.flush()
            stopped_at = json.loads(node.stdout.readline())["stopped_at"]
            time.sleep(OBSERVED_SECONDS)
        finally:
            node.kill()
            node.wait()
        times = Ledger.read(venue_home(context) / "runtime" / "venues" / name / "ledger.jsonl")
        return StopTimes(None, times.ms_to_no_orders(stopped_at), times.ms_to_flat(stopped_at))


@dataclass(slots=True)
class Ledger:
    """Times from which a ledger's account has nothing open; None: it never had anything; inf: it still has."""

    no_orders_at: float | None = None
    flat_at: float | None = None

    @staticmethod
    def read(path: Path) -> "Ledger":
        times, open_quantities, position = Ledger(), dict[int, float](), 0.0
        for line in path.read_bytes().splitlines():
            with suppress(ValueError):  # a torn end
                transaction = json.loads(line)
                for event in transaction["events"]:
                    position = _apply_event(event, open_quantities, position)
                at = _seconds(transaction["time"])
                times.no_orders_at = _open_since(bool(open_quantities), at, times.no_orders_at)
                times.flat_at = _open_since(bool(open_quantities or position), at, times.flat_at)
        return times

    def ms_to_no_orders(self, since: str) -> float:
        return _ms(since, self.no_orders_at)

    def ms_to_flat(self, since: str) -> float:
        return _ms(since, self.flat_at)


def _apply_event(event: dict[str, Any], open_quantities: dict[int, float], position: float) -> float:
    number = event.get("order_id", 0)
    if event["kind"] == "accepted":
        open_quantities[number] = float(event["quantity"])
    elif event["kind"] in ("canceled", "expired"):
        open_quantities.pop(number, None)
    elif event["kind"] == "filled":
        open_quantities[number] -= float(event["quantity"])
        if open_quantities[number] < 1e-9:
            del open_quantities[number]
        return float(event["position"])
    return position


def _open_since(is_open: bool, at: float, since: float | None) -> float | None:
    if is_open:
        return math.inf
    return at if since == math.inf else since


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _ms(since: str, at: float | None) -> float:
    return 0.0 if at is None else max(0.0, (at - _seconds(since)) * 1000)
