"""Paper runs whose venue breaks, whose strategy misbehaves, or that are told to end: nothing lost, nothing made up."""

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
from tests.breaking.disk_full import CANNOT_MOUNT, can_mount, leave_the_shared_mounts, mount
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
"""Of an undisturbed run of `_SHORT`; signals are spread over it."""
_END_SECONDS = 120.0
_SHORT = {"speed": 240, "max_bars": 16}
_LONG = {"speed": 60, "reconcile_every_seconds": 4}
_DEAD, _DONE, _WRONG, _STOPPED = ("failed", 1), ("completed", 0), ("completed", 1), ("interrupted", 130)

End = tuple[str, int]
"""Status and exit code."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    ends: tuple[End, ...]
    """As which it may end."""
    do: Callable[[PaperRun, Trial], None] = lambda _run, _trial: None
    """What is done to the run, from its fifth bar on."""
    paper: Mapping[str, Any] = field(default_factory=lambda: _SHORT)
    strategy: str | None = None
    """One of the unruly ones; else the demo."""


def cases() -> Iterator[Case]:
    yield Case("zero-quantity", (_DEAD,), lambda run, _: run.fault("zero-quantity"), {"speed": 240})
    yield Case("broken-ohlc", (_DEAD,), lambda run, _: run.fault("broken-ohlc"), {"speed": 240})
    again = {"speed": 240, "max_bars": 40, "restart": "on_failure"}
    yield Case("broken-ohlc-restart", (_DONE,), lambda run, _: run.fault("broken-ohlc"), again)
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
    yield Case("venue-hangs", (_STOPPED,), partial(_stop_and_end, names=("venue",)), {"speed": 240})
    yield Case("engine-hangs", (_STOPPED,), partial(_stop_and_end, names=("engine",)), {"speed": 240})
    yield Case("both-hang", (_STOPPED,), partial(_stop_and_end, names=("engine", "venue")), {"speed": 240})
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


def skipped_reasons(_scene: ExperimentContext) -> list[str]:
    return [] if can_mount() else [CANNOT_MOUNT]


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    context.prepare_dataset(_DATASET)
    found = [
        *(Attempt(f"paper-signal-{number}", partial(_signal, context=context, number=number)) for number in range(SIGNALS)),
        *((Attempt(f"paper-disk-{how}", partial(_no_room, context=context, how=how)) for how in ("full", "read-only"))
          if can_mount() else ()),
        *(Attempt(f"paper-{case.name}", partial(_try, context=context, case=case)) for case in cases()),
    ]  # fmt: skip
    found.append(found.pop(next(place for place, one in enumerate(found) if one.label == "paper-broken-ohlc")))
    for place in evenly_spread(range(len(found)), context.count):
        yield found[place]


# One case.


def _spec(tc: Tc, case: Case) -> str:
    if case.strategy is None:
        return tc.spec(strategy="order_lifecycle_demo", mode="paper", paper=dict(case.paper))
    folder = tc.home / "own"
    folder.mkdir()
    shutil.copy(_UNRULY, folder)
    return tc.own_spec(folder, {"path": f"unruly:{case.strategy}"}, mode="paper", paper=dict(case.paper))


def _try(trial: Trial, context: ExperimentContext, case: Case) -> None:
    tc = context.home(trial)
    with PaperRun(tc, _spec(tc, case)) as run:
        if case.strategy is None and case.paper.get("speed") != 3000:
            run.wait_for_bars(_AT_BAR)
            case.do(run, trial)
        at = time.monotonic()
        code = run.end(_END_SECONDS).code
        ended = (_claim_true(trial, run, code), code)
        trial.observe("ended", f"{ended[0]}, exit {ended[1]}")
        trial.observe(case.name, f"{ended[0]}, {_bucket(run.ended_s - at)}")
        trial.claim(ended in case.ends, f"it ended as {ended}, and not as one of {case.ends}")


def _claim_true(trial: Trial, run: PaperRun, code: int) -> str:
    for what in untruths(run.tc, run.run_id, code):
        trial.claim(False, what)
    metadata = run.tc.json("run", "show", run.run_id)
    account = (metadata["paper"] or {}).get("final_account")
    trial.claim(account is not None and account["flat"], f"the account at the end: {account}")
    trial.claim(bool(run.told("positions_flattened")), "nobody told that it was flattened")
    return str(metadata["status"])


def _bucket(seconds: float) -> str:
    limit = next((limit for limit in (1, 2, 3, 5, 10, 15, 20, 30, 60) if seconds < limit), None)
    return f"within {limit} s" if limit else "later"


def _cut(run: PaperRun, trial: Trial, which: str, seconds: float) -> None:
    at = run.events[-1]["seq"]
    run.cut(which, seconds)
    lost = run.wait_for("socket_state_changed", lambda told: told["to"] == "disconnected", after=at)
    back = run.wait_for("socket_state_changed", lambda told: told["to"] == "connected", after=lost["seq"], seconds=90)
    trial.observe("connections lost, noticed", _bucket(lost["payload"]["noticed_after_seconds"]))
    trial.observe(f"cut for {seconds:g} s, back", _bucket(_apart(lost, back) - seconds))


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    def seconds(event: Mapping[str, Any]) -> float:
        hours, minutes, rest = event["time"].partition("T")[2].rstrip("Z").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest)

    return (seconds(other) - seconds(one)) % 86_400


def _silence(run: PaperRun, trial: Trial, seconds: float = 10, **terms: str) -> None:
    at = run.events[-1]["seq"]
    run.fault("silence", seconds=seconds, **terms)
    if terms.get("which") == "user":
        found = run.wait_for("reconciliation_checked", lambda told: told["state"] == "mismatch", after=at)
        trial.observe("silent user stream, found by", f"{found['payload']['occasion']} reconciliation")
        return
    silent = run.wait_for("feed_state_changed", lambda told: told["to"] == "silent", after=at)["payload"]
    trial.observe(f"{silent['feed']} silent, noticed", f"{silent['noticed_after_seconds']:.1f} s")
    run.wait_for("feed_state_changed", lambda told: (told["feed"], told["to"]) == (silent["feed"], "live"), after=at)


def _kill_venue(run: PaperRun, trial: Trial) -> None:
    time.sleep(trial.rng.uniform(0, 3))
    run.kill_child("venue")
    lost = run.wait_for("venue_lost")
    again = run.wait_for("venue_started", after=lost["seq"])
    trial.observe("venue killed, serves again", _bucket(_apart(lost, again)))


def _kill_venue_often(run: PaperRun, trial: Trial) -> None:
    start = 1
    with suppress(AssertionError):  # the run gives up
        while True:
            run.kill_child("venue")
            start += 1
            run.wait_for("venue_started", with_fields(start=start))
    trial.observe("venue started before it was given up", start - 1)


def _stop_and_end(run: PaperRun, _trial: Trial, names: tuple[str, ...]) -> None:
    for name in names:
        os.kill(run.wait_for_child(name), signal.SIGSTOP)
    run.signal(signal.SIGINT)


def _signal(trial: Trial, context: ExperimentContext, number: int) -> None:
    """At moments that are spread evenly over a run's life; every fifth is followed by another."""
    tc = context.home(trial)
    which = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[number % 3]
    moment = (number + trial.rng.random()) / SIGNALS * _LIFE_SECONDS
    twice = number % 5 == 4
    with PaperRun(tc, tc.spec(strategy="order_lifecycle_demo", mode="paper", paper=_SHORT)) as run:
        with suppress(subprocess.TimeoutExpired):
            run.process.wait(moment)
        at = run.signal(which)
        if twice:
            with suppress(subprocess.TimeoutExpired):
                run.process.wait(trial.rng.uniform(0, 1))
            run.signal(which)
        answer = run.end(_END_SECONDS)
        trial.observe("signals", "two" if twice else "one")
        if not run.folder.is_dir():
            trial.observe("ended", "before the run existed")
            claim_no_run(trial, answer.code, answer.err, which)
            return
        code = answer.code if answer.code >= 0 else None  # a Python that is shutting down is ended as such
        status = _claim_true(trial, run, code) if code is not None else "too late"
        trial.observe("ended", f"{status}, exit {answer.code}")
        trial.observe("from the signal to the end", _bucket(run.ended_s - at))
        trial.claim(status in ("interrupted", "completed", "too late"), f"it is {status}")


# No room.


def _no_room(trial: Trial, context: ExperimentContext, how: str) -> None:
    """The home is a file system of its own, which fills up, or whose artifacts can be written no more."""
    leave_the_shared_mounts(os.getpid())
    home = trial.folder / "home"
    home.mkdir()
    mount("-t", "tmpfs", "-o", f"size={_ROOM}", "tmpfs", str(home))
    try:
        tc = context.home_in(home)
        with PaperRun(tc, tc.spec(strategy="order_lifecycle_demo", mode="paper", paper={"speed": 240})) as run:
            run.wait_for_bars(_AT_BAR)
            make_room = _fill(home) if how == "full" else _forbid(home / "artifacts")
            at = time.monotonic()
            answer = run.end(_END_SECONDS)
            trial.observe("ended", f"without room, exit {answer.code}")
            trial.observe(f"disk {how}", _bucket(run.ended_s - at))
            trial.claim(answer.code == 5, f"exit {answer.code}: {answer.err[-500:]}")
            trial.claim("tc: error: cannot " in answer.err, f"it does not say why: {answer.err[-500:]}")
            trial.claim(not living_in(home), f"processes are left: {living_in(home)}")
            make_room()
        recovered = tc("run", "recover", "pp")
        trial.claim(recovered.code == 0, f"recover exits {recovered.code}: {recovered.err}")
        verified = tc("run", "verify", "pp")
        trial.claim(verified.code == 0, f"verify exits {verified.code}: {verified.out}")
        account = tc.json("venue", "audit", "pp")
        trial.claim(not account["open_orders"] and not float(account["position"]), f"not flat: {account}")
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


def _fill(home: Path) -> Callable[[], None]:
    filler = home / "filler"
    with open(filler, "wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(1 << 16))
    return filler.unlink


def _forbid(folder: Path) -> Callable[[], None]:
    mount("--bind", str(folder), str(folder))
    mount("-o", "remount,bind,ro", str(folder))

    def allow() -> None:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)

    return allow
