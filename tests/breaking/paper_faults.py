"""Paper runs with venue faults, misbehaving strategies or stop signals: no order or fill is lost or invented."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.breaking.context import ExperimentContext
from tests.breaking.deaths import evenly_spread
from tests.breaking.disk_full import CANNOT_MOUNT, can_mount, mount, unshare_mounts
from tests.breaking.stop_signals import claim_no_run
from tests.breaking.trial import Attempt, Trial
from tests.drivers.paper_run import PaperRun, living_in, with_fields
from tests.drivers.tc import Tc
from tests.oracles.paper_truth import untruths

SIGNALS = 40
KILLS = 20
_UNRULY = Path(__file__).parents[1] / "strategies" / "paper" / "unruly.py"
_DATASET = "btcusdt-sample"
_ROOM = "64m"
_AT_BAR = 5
_LIFE_SECONDS = 7.0
"""Duration of an undisturbed run of `_SHORT`; signals are spread over it."""
_END_SECONDS = 300.0
_SHORT = {"speed": 240, "max_bars": 16}
_LONG = {"speed": 60, "reconcile_every_seconds": 4}
_DEAD, _DONE, _WRONG, _STOPPED = ("failed", 1), ("completed", 0), ("completed", 1), ("interrupted", 130)

End = tuple[str, int]
"""Status and exit code."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    allowed_ends: tuple[End, ...]
    """Accepted final statuses."""
    disturb: Callable[[PaperRun, Trial], None] = lambda _run, _trial: None
    """Applied to the run after its fifth bar."""
    paper: Mapping[str, Any] = field(default_factory=lambda: _SHORT)
    strategy: str | None = None
    """Name of an unruly strategy; None for the demo."""


def cases() -> Iterator[Case]:
    yield Case("zero-quantity", (_DEAD,), lambda run, _: run.fault("zero-quantity"), {"speed": 240})
    yield Case("broken-ohlc", (_DEAD,), lambda run, _: run.fault("broken-ohlc"), {"speed": 240})
    restarting = {"speed": 240, "max_bars": 40, "restart": "on_failure"}
    yield Case("broken-ohlc-restart", (_DONE,), lambda run, _: run.fault("broken-ohlc"), restarting)
    for seconds in (1, 10, 60):
        for which in ("market", "user", "trading", "all"):
            long = {**_LONG, "max_bars": 20 + seconds}
            yield Case(f"cut-{which}-{seconds}-s", (_DONE,), partial(_cut, which=which, seconds=seconds), long)
    for stream in ("kline_1m", "bookTicker", "aggTrade"):
        yield Case(
            f"silent-{stream}", (_DONE,), partial(_silence, stream=f"btcusdt@{stream}"), {**_LONG, "max_bars": 35}
        )
    yield Case("silent-market", (_DONE,), partial(_silence, which="market"), {**_LONG, "max_bars": 35})
    yield Case("silent-user", (_WRONG,), partial(_silence, which="user", seconds=600), {"speed": 120, "max_bars": 30})
    for number in range(KILLS):
        yield Case(f"kill-venue-{number}", (_DONE,), _kill_venue, {"speed": 240, "max_bars": 30})
    yield Case("kill-venue-often", (_DEAD,), _kill_venue_often, {"speed": 240})
    yield Case("venue-hangs", (_STOPPED,), partial(_stop_processes, names=("venue",)), {"speed": 240})
    yield Case("engine-hangs", (_STOPPED,), partial(_stop_processes, names=("engine",)), {"speed": 240})
    yield Case("both-hang", (_STOPPED,), partial(_stop_processes, names=("engine", "venue")), {"speed": 240})
    yield Case("too-fast", (_WRONG,), paper={"speed": 3000, "max_bars": 600})
    yield from strategies()


def strategies() -> Iterator[Case]:
    hang, memory = {**_SHORT, "hang_after_seconds": 2}, {**_SHORT, "max_memory_mb": 300}
    failing: dict[str, Mapping[str, Any]] = {
        **dict.fromkeys(("RaisesInOnBar", "RaisesInOnOrderFilled", "RaisesInATimer", "RaisesInOnStart"), _SHORT),
        **dict.fromkeys(("RaisesInOnStop", "Exits", "LeavesAtOnce", "LeavesAsIfAllWereWell", "KillsItself"), _SHORT),
        **dict.fromkeys(("EndsItself", "StopsTheNode", "ClosesDescriptors"), _SHORT),
        **dict.fromkeys(("BlocksForEver", "BlocksInOnStart", "BlocksInOnStop", "HearsNothing"), hang),
        **dict.fromkeys(("Leaks", "LeaksAtOnce"), memory),
    }
    for name, paper in failing.items():
        yield Case(name, (_DEAD,), paper=paper, strategy=name)
    yield Case("Floods", (_WRONG,), paper=_SHORT, strategy="Floods")
    for name in ("BlocksForAWhile", "Unruly"):
        yield Case(name, (_DONE,), paper=_SHORT, strategy=name)


def skipped_reasons(_context: ExperimentContext) -> list[str]:
    return [] if can_mount() else [CANNOT_MOUNT]


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    context.prepare_dataset(_DATASET)
    signals = [
        Attempt(f"paper-signal-{number}", partial(_signal, context=context, number=number)) for number in range(SIGNALS)
    ]
    disks = [
        Attempt(f"paper-disk-{condition}", partial(_without_space, context=context, condition=condition))
        for condition in ("full", "read-only")
    ]
    broken = [Attempt(f"paper-{case.name}", partial(_run_case, context=context, case=case)) for case in cases()]
    all_attempts = [*signals, *(disks if can_mount() else ()), *broken]
    (ohlc_index,) = (index for index, attempt in enumerate(all_attempts) if attempt.label == "paper-broken-ohlc")
    all_attempts.append(all_attempts.pop(ohlc_index))
    for index in evenly_spread(range(len(all_attempts)), context.count):
        yield all_attempts[index]


# Cases.


def _spec(tc: Tc, case: Case) -> str:
    if case.strategy is None:
        return tc.spec(strategy="order_lifecycle_demo", mode="paper", paper=dict(case.paper))
    folder = tc.home / "own"
    folder.mkdir()
    shutil.copy(_UNRULY, folder)
    return tc.own_spec(folder, {"path": f"unruly:{case.strategy}"}, mode="paper", paper=dict(case.paper))


def _run_case(trial: Trial, context: ExperimentContext, case: Case) -> None:
    tc = context.home(trial)
    with PaperRun(tc, _spec(tc, case)) as run:
        if case.strategy is None and case.paper.get("speed") != 3000:
            run.wait_for_bars(_AT_BAR)
            case.disturb(run, trial)
        at = time.monotonic()
        code = run.end(_END_SECONDS).code
        ended = (_claim_truth(trial, run, code), code)
        trial.observe("ended", f"{ended[0]}, exit {ended[1]}")
        trial.observe(case.name, f"{ended[0]}, {_time_bucket(run.ended_s - at)}")
        trial.claim(ended in case.allowed_ends, f"it ended as {ended}, not as one of {case.allowed_ends}")


def _claim_truth(trial: Trial, run: PaperRun, code: int) -> str:
    for untruth in untruths(run.tc, run.run_id, code):
        trial.claim(False, untruth)
    metadata = run.tc.json("run", "show", run.run_id)
    account = (metadata["paper"] or {}).get("final_account")
    trial.claim(account is not None and account["flat"], f"the final account: {account}")
    trial.claim(bool(run.told("positions_flattened")), "the journal has no positions_flattened")
    return str(metadata["status"])


def _time_bucket(seconds: float) -> str:
    limit = next((limit for limit in (1, 2, 3, 5, 10, 15, 20, 30, 60) if seconds < limit), None)
    return f"within {limit} s" if limit else "later"


def _cut(run: PaperRun, trial: Trial, which: str, seconds: float) -> None:
    at = run.events[-1]["seq"]
    run.cut(which, seconds)
    loss = run.wait_for("socket_state_changed", lambda payload: payload["to"] == "disconnected", after=at)
    back = run.wait_for(
        "socket_state_changed", lambda payload: payload["to"] == "connected", after=loss["seq"], seconds=90
    )
    trial.observe("connections lost, detected", _time_bucket(loss["payload"]["noticed_after_seconds"]))
    trial.observe(f"cut for {seconds:g} s, reconnected", _time_bucket(_seconds_between(loss, back) - seconds))


def _seconds_between(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> float:
    def seconds(event: Mapping[str, Any]) -> float:
        hours, minutes, rest = event["time"].partition("T")[2].rstrip("Z").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest)

    return (seconds(later) - seconds(earlier)) % 86_400


def _silence(run: PaperRun, trial: Trial, seconds: float = 10, **terms: str) -> None:
    at = run.events[-1]["seq"]
    run.fault("silence", seconds=seconds, **terms)
    if terms.get("which") == "user":
        all_attempts = run.wait_for("reconciliation_checked", lambda payload: payload["state"] == "mismatch", after=at)
        trial.observe("silent user stream, detected by", f"{all_attempts['payload']['occasion']} reconciliation")
        return
    silent = run.wait_for("feed_state_changed", lambda payload: payload["to"] == "silent", after=at)["payload"]
    trial.observe(f"{silent['feed']} silent, detected after", f"{silent['noticed_after_seconds']:.1f} s")
    run.wait_for(
        "feed_state_changed", lambda payload: (payload["feed"], payload["to"]) == (silent["feed"], "live"), after=at
    )


def _kill_venue(run: PaperRun, trial: Trial) -> None:
    time.sleep(trial.rng.uniform(0, 3))
    run.kill_child("venue")
    loss = run.wait_for("venue_lost")
    restarted = run.wait_for("venue_started", after=loss["seq"])
    trial.observe("venue killed, restarted", _time_bucket(_seconds_between(loss, restarted)))


def _kill_venue_often(run: PaperRun, trial: Trial) -> None:
    start = 1
    with suppress(AssertionError):  # the run ends
        while True:
            run.kill_child("venue")
            start += 1
            run.wait_for("venue_started", with_fields(start_number=start))
    trial.observe("venue starts before the run ended", start - 1)


def _stop_processes(run: PaperRun, _trial: Trial, names: tuple[str, ...]) -> None:
    for name in names:
        os.kill(run.wait_for_child(name), signal.SIGSTOP)
    run.signal(signal.SIGINT)


def _signal(trial: Trial, context: ExperimentContext, number: int) -> None:
    """Signals at times that are spread evenly over a run; every fifth trial sends a second one."""
    tc = context.home(trial)
    signal_number = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[number % 3]
    moment = (number + trial.rng.random()) / SIGNALS * _LIFE_SECONDS
    is_twice = number % 5 == 4
    with PaperRun(tc, tc.spec(strategy="order_lifecycle_demo", mode="paper", paper=_SHORT)) as run:
        with suppress(subprocess.TimeoutExpired):
            run.process.wait(moment)
        at = run.signal(signal_number)
        if is_twice:
            with suppress(subprocess.TimeoutExpired):
                run.process.wait(trial.rng.uniform(0, 1))
            run.signal(signal_number)
        answer = run.end(_END_SECONDS)
        trial.observe("signals", "two" if is_twice else "one")
        if not run.folder.is_dir():
            trial.observe("ended", "before the run existed")
            claim_no_run(trial, answer.code, answer.err, signal_number)
            return
        code = answer.code if answer.code >= 0 else None  # a signal during Python's own shutdown ends the process
        status = _claim_truth(trial, run, code) if code is not None else "too late"
        trial.observe("ended", f"{status}, exit {answer.code}")
        trial.observe("from the signal to the end", _time_bucket(run.ended_s - at))
        trial.claim(status in ("interrupted", "completed", "too late"), f"it is {status}")


# Full and read-only disks.


def _without_space(trial: Trial, context: ExperimentContext, condition: str) -> None:
    """The home is a file system of its own, which becomes full, or whose artifacts become read-only."""
    unshare_mounts(os.getpid())
    home = trial.folder / "home"
    home.mkdir()
    mount("-t", "tmpfs", "-o", f"size={_ROOM}", "tmpfs", str(home))
    try:
        tc = context.home_in(home)
        with PaperRun(tc, tc.spec(strategy="order_lifecycle_demo", mode="paper", paper={"speed": 240})) as run:
            run.wait_for_bars(_AT_BAR)
            free_space = _fill_disk(home) if condition == "full" else _make_read_only(home / "artifacts")
            at = time.monotonic()
            answer = run.end(_END_SECONDS)
            trial.observe("ended", f"without space, exit {answer.code}")
            trial.observe(f"disk {condition}", _time_bucket(run.ended_s - at))
            trial.claim(answer.code == 5, f"exit {answer.code}: {answer.err[-500:]}")
            trial.claim("tc: error: cannot " in answer.err, f"the error has no cause: {answer.err[-500:]}")
            trial.claim(not living_in(home), f"processes are left: {living_in(home)}")
            free_space()
        recovered = tc("run", "recover", "pp")
        trial.claim(recovered.code == 0, f"recover exits {recovered.code}: {recovered.err}")
        verified = tc("run", "verify", "pp")
        trial.claim(verified.code == 0, f"verify exits {verified.code}: {verified.out}")
        account = tc.json("venue", "audit", "pp")
        trial.claim(not account["open_orders"] and not float(account["position"]), f"not flat: {account}")
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


def _fill_disk(home: Path) -> Callable[[], None]:
    filler = home / "filler"
    with open(filler, "wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(1 << 16))
    return filler.unlink


def _make_read_only(folder: Path) -> Callable[[], None]:
    mount("--bind", str(folder), str(folder))
    mount("-o", "remount,bind,ro", str(folder))

    def make_writable() -> None:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)

    return make_writable
