"""SIGTERM and Ctrl-C at any moment: `tc` ends by itself, and a run that has begun is sealed as interrupted."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from tests.breaking.aftermath import claim_nothing_half_done, claim_whole
from tests.breaking.processes import GONE_SECONDS, start, stays_for
from tests.breaking.scene import RUN, Scene, Turn, turns
from tests.breaking.trial import Attempt, Trial

FULL = 100
_INTERRUPTED = 130
_TWICE = 0.2
"""Share of the trials in which the signal comes once more."""
_TWICE_SECONDS = 0.5


def sigterm(scene: Scene) -> Iterator[Attempt]:
    return _attempts("sigterm", scene, signal.SIGTERM)


def ctrl_c(scene: Scene) -> Iterator[Attempt]:
    return _attempts("ctrl-c", scene, signal.SIGINT)


def _attempts(name: str, scene: Scene, which: signal.Signals) -> Iterator[Attempt]:
    return (attempt for attempt, _turn in turns(name, scene, FULL, partial(_stop, which=which)))


def _stop(trial: Trial, turn: Turn, which: signal.Signals) -> None:
    tc = turn.scene.home(trial)
    process = start(tc, trial.folder / "tc", "run", "backtest", "--spec", turn.kind.spec(tc.home), "--run-id", RUN)
    in_time = turn.reach(trial, process)
    process.send_signal(which)
    twice = trial.rng.random() < _TWICE
    if twice and stays_for(process, trial.rng.uniform(0, _TWICE_SECONDS)):
        process.send_signal(which)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GONE_SECONDS)
    if not trial.claim(process.poll() is not None, f"tc still runs {GONE_SECONDS:.0f} s after {which.name}"):
        return
    trial.saw("signals", "two" if twice else "one")
    trial.saw("exit", process.returncode)
    err = (trial.folder / "tc.err").read_text(errors="replace")
    if tc.run_folder(RUN).is_dir():
        trial.saw("found", "in time" if in_time else "too late")
        trial.claim("Traceback" not in err, f"tc printed a traceback: {err[-500:]}")
        shown = claim_whole(trial, tc, RUN, turn.watched.expected)
        _claim_said(trial, shown, process.returncode, which, twice)
    else:
        trial.saw("found", "before the run existed")
        claim_never_was(trial, process.returncode, err, which)
    claim_nothing_half_done(trial, tc)


def _claim_said(trial: Trial, shown: dict[str, Any], code: int, which: signal.Signals, twice: bool) -> None:
    """The exit code tells the status; but a signal to a Python that is shutting down, all done, ends it as such."""
    status, ended_by = shown["status"], shown["ended_by"]
    wanted = {("interrupted", _INTERRUPTED), ("completed", 0), ("completed", -which)}
    if twice:
        wanted.add(("interrupted", -which))
    trial.claim((status, code) in wanted, f"tc exits {code} with a run that is {status}")
    if status == "interrupted":
        trial.claim(ended_by == which.name, f"ended by {ended_by}, and not {which.name}")


def claim_never_was(trial: Trial, code: int, err: str, which: signal.Signals) -> None:
    """While Python itself is starting, `tc` has no say: the signal ends it, and of Ctrl-C Python prints a traceback."""
    if code == _INTERRUPTED:
        trial.claim("Traceback" not in err, f"tc printed a traceback: {err[-500:]}")
        return
    in_python = code == -which or err.rstrip().endswith("KeyboardInterrupt")
    trial.claim(in_python, f"tc exits {code} without a run: {err[-300:]}")
    if "Traceback" in err:
        trial.saw("said", "traceback of Python, before tc began")
