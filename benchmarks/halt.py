"""The kill switch: from its activation to a closed gate, to no open order, to flat, by the venue's own ledger.

Beside it what NautilusTrader does alone in the same cases when its strategy, or its node, is stopped.
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

from benchmarks.process import CouldNotMeasure, run
from benchmarks.scene import Scene
from benchmarks.table import AtMost, Goal, Row
from benchmarks.venue_process import ROOT, make_home, program, venue, venue_home, venue_plan

STOPS = 100
"""Of each case, unless `--repeat` says otherwise."""
ALONE = 20
"""The engine alone is stopped once for so many of ours: what it leaves open it leaves open every time."""
ENDING = 2
"""How many runs may be on their way to their end when the next one is measured: they wait for sockets to close."""
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
AT_REST_SECONDS = 0.5
"""So long after an activation at the least the next run begins, to disturb nobody; this one's node says goodbye."""
WATCH_SECONDS = 6.0
"""For so long a node that was stopped is watched: longer than a handler blocks."""
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
class Stop:
    """Milliseconds since the stop was asked for; inf: it did not come to that. None of what was not measured."""

    gate: float | None
    no_orders: float
    flat: float


def halt(scene: Scene) -> list[Row]:
    make_home(scene)
    count, rows = scene.repeat or STOPS, []
    for case, what in CASES.items():
        ours: list[Stop] = []
        ending: deque[Halted] = deque()
        try:
            for number in range(count):
                scene.tell(f"{what}: stop {number + 1} of {count}")
                ending.append(_halt(scene, case, f"{case}-{number}"))
                while len(ending) > ENDING:
                    ours.append(ending.popleft().stop())
            while ending:
                ours.append(ending.popleft().stop())
        finally:
            for left in ending:
                left.child.kill()
                left.child.wait()
        alone = {way: [_alone(scene, way, case) for _ in range(-(-count // ALONE))] for way in ("handle", "strategy")}
        rows += _rows(case, what, ours, alone)
    return rows


def _rows(case: str, what: str, ours: list[Stop], alone: dict[str, list[Stop]]) -> list[Row]:
    goal: dict[str, tuple[Goal, ...]] = {"gate": (GATE,), "flat": (FLAT,) if case == "resting" else ()}
    figures: list[tuple[str, str, Callable[[Stop], float | None]]] = [
        ("gate", "to gate closed", lambda stop: stop.gate),
        ("no_orders", "to no open order", lambda stop: stop.no_orders),
        ("flat", "to flat", lambda stop: stop.flat),
    ]
    rows = []
    for key, title, of in figures:
        taken = sorted(value for stop in ours if (value := of(stop)) is not None)
        for name, at in (("median", 50), ("p95", 95), ("max", 100)):
            goals = goal.get(key, ()) if name == "p95" else ()
            rows.append(Row("halt", f"{what}, {title}: {name}", "ms", (_at(taken, at),), (), goals))
    left = tuple(float(stop.flat == math.inf) for stop in ours)
    for way, name in (("handle", "handle.stop()"), ("strategy", "Strategy.stop()")):
        open_alone = tuple(float(stop.flat == math.inf) for stop in alone[way])
        title = f"{what}: stops that left something open, beside {name}"
        rows.append(Row("halt", title, "of 1", (_mean(left),), (_mean(open_alone),), (AtMost(0.0, of_ratio=False),)))
        ended = sorted(stop.flat for stop in alone[way] if stop.flat != math.inf)
        if ended:
            rows.append(Row("halt", f"{what}, {name} alone, to flat: max", "ms", (ended[-1],), ()))
    return rows


def _at(values: list[float], percent: int) -> float:
    return values[min(len(values) - 1, len(values) * percent // 100)]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


# The lab's.


@dataclass(frozen=True, slots=True)
class Halted:
    """A run that was told to stop, and is flat by its venue's ledger, or should be long since."""

    child: subprocess.Popen[Any]
    kept: Path

    def stop(self) -> Stop:
        """Once it has ended."""
        code = self.child.wait(END_SECONDS)
        metadata = json.loads((self.kept / "metadata.json").read_text())
        if code != 4 or metadata["status"] != "halted":
            raise CouldNotMeasure(f"run {self.kept.name} ended {metadata['status']} with {code}: see {self.kept}")
        found = metadata["halt"]
        times = Ledger.read(self.kept / "venue" / "ledger.jsonl")
        since = found["activated_at"]
        shutil.rmtree(self.kept)
        return Stop(found["seconds_to_gate"] * 1000, times.ms_to_no_orders(since), times.ms_to_flat(since))


def _halt(scene: Scene, case: str, run_id: str) -> Halted:
    home, folder = venue_home(scene), _strategies(scene, run_id)
    spec = folder / "spec.yaml"
    spec.write_text(_SPEC.format(name=CLASSES[case], speed=SPEED))
    errors = scene.work / "halt.err"
    words: list[str | Path] = [scene.tc, "run", "paper", "--spec", spec, "--run-id", run_id, "--home", home]
    with open(errors, "wb") as stream:
        child = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stream)
    try:
        _wait_ready(folder, child, errors)
        if case == "socket-down":
            _cut_trading(scene, run_id)
        run([scene.tc, "kill", "activate", "--run-id", run_id, "--reason", "measured", "--home", home], scene.work)
        time.sleep(AT_REST_SECONDS)
        _wait_flat(home / "runtime" / "venues" / run_id / "ledger.jsonl")
    except BaseException:
        child.kill()
        child.wait()
        raise
    return Halted(child, home / "artifacts" / "runs" / run_id)


def _wait_flat(ledger: Path) -> None:
    """Until it says so, or has been put away; one that never does is found out when its run has ended."""
    deadline = time.monotonic() + END_SECONDS
    with suppress(FileNotFoundError):
        while Ledger.read(ledger).flat_at == math.inf and time.monotonic() < deadline:
            time.sleep(0.1)


def _strategies(scene: Scene, name: str) -> Path:
    """A folder of its own: a run that is ending must not say that the next one is ready."""
    folder = scene.work / "halt-strategies" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(scene.program("halt_strategies"), folder)
    return folder


def _wait_ready(folder: Path, child: subprocess.Popen[Any], errors: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not (folder / "ready").exists():
        if child.poll() is not None or time.monotonic() > deadline:
            raise CouldNotMeasure(f"it did not come that far: {errors.read_text()[-300:]}")
        time.sleep(0.01)


def _cut_trading(scene: Scene, name: str) -> None:
    where: list[str | Path] = ["--name", name, "--home", venue_home(scene), "--term", "which=trading"]
    run([scene.tc, "venue", "fault", "start", "refuse", *where], scene.work)
    run([scene.tc, "venue", "fault", "start", "reset", *where], scene.work)


# The engine alone.


def _alone(scene: Scene, way: str, case: str) -> Stop:
    """A venue and a node of its own. An order that is accepted in the last second of the watch never ends."""
    name = f"alone-{way}-{case}"
    folder = _strategies(scene, name)
    shutil.rmtree(venue_home(scene) / "runtime" / "venues" / name, ignore_errors=True)
    errors = scene.work / "halt_node.err"
    with venue(scene, venue_plan(scene, name, speed=SPEED, ticks=30)) as (_, endpoints):
        with open(errors, "wb") as stream:
            node = subprocess.Popen(
                program(scene, "halt_node", way, case, folder, endpoints),
                cwd=ROOT,
                env={key: value for key, value in os.environ.items() if not key.startswith(("TC_", "PYTHON"))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
            )
        try:
            _wait_ready(folder, node, errors)
            if case == "socket-down":
                _cut_trading(scene, name)
            assert node.stdin
            assert node.stdout
            node.stdin.write(b"stop\n")
            node.stdin.flush()
            stopped_at = json.loads(node.stdout.readline())["stopped_at"]
            time.sleep(WATCH_SECONDS)
        finally:
            node.kill()
            node.wait()
        times = Ledger.read(venue_home(scene) / "runtime" / "venues" / name / "ledger.jsonl")
        return Stop(None, times.ms_to_no_orders(stopped_at), times.ms_to_flat(stopped_at))


@dataclass(slots=True)
class Ledger:
    """Since when a ledger's account has nothing open; None: it never had anything; inf: it still has."""

    no_orders_at: float | None = None
    flat_at: float | None = None

    @staticmethod
    def read(path: Path) -> "Ledger":
        found, left, position = Ledger(), dict[int, float](), 0.0
        for line in path.read_bytes().splitlines():
            with suppress(ValueError):  # a torn end
                transaction = json.loads(line)
                for event in transaction["events"]:
                    position = _take(event, left, position)
                at = _seconds(transaction["time"])
                found.no_orders_at = _since(bool(left), at, found.no_orders_at)
                found.flat_at = _since(bool(left or position), at, found.flat_at)
        return found

    def ms_to_no_orders(self, since: str) -> float:
        return _ms(since, self.no_orders_at)

    def ms_to_flat(self, since: str) -> float:
        return _ms(since, self.flat_at)


def _take(event: dict[str, Any], left: dict[int, float], position: float) -> float:
    number = event.get("order_id", 0)
    if event["kind"] == "accepted":
        left[number] = float(event["quantity"])
    elif event["kind"] in ("canceled", "expired"):
        left.pop(number, None)
    elif event["kind"] == "filled":
        left[number] -= float(event["quantity"])
        if left[number] < 1e-9:
            del left[number]
        return float(event["position"])
    return position


def _since(is_open: bool, at: float, since: float | None) -> float | None:
    if is_open:
        return math.inf
    return at if since == math.inf else since


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _ms(since: str, at: float | None) -> float:
    return 0.0 if at is None else max(0.0, (at - _seconds(since)) * 1000)
