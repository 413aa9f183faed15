"""SIGTERM and Ctrl-C at any time: `tc` ends by itself, and a started run is sealed as interrupted."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from tests.breaking.aftermath import claim_no_leftovers, claim_whole
from tests.breaking.context import RUN, ExperimentContext, TrialSlot, trial_slots
from tests.breaking.trial import Attempt, Trial
from tests.drivers.load import stretched
from tests.drivers.processes import GONE_SECONDS, runs_for, start

FULL = 100
_INTERRUPTED = 130
_TWICE = 0.2
"""Share of the trials with a second signal."""
_TWICE_SECONDS = 0.5


def sigterm(context: ExperimentContext) -> Iterator[Attempt]:
    return _attempts("sigterm", context, signal.SIGTERM)


def ctrl_c(context: ExperimentContext) -> Iterator[Attempt]:
    return _attempts("ctrl-c", context, signal.SIGINT)


def _attempts(name: str, context: ExperimentContext, which: signal.Signals) -> Iterator[Attempt]:
    return (attempt for attempt, _turn in trial_slots(name, context, FULL, partial(_stop, which=which)))


def _stop(trial: Trial, slot: TrialSlot, which: signal.Signals) -> None:
    tc = slot.context.home(trial)
    process = start(tc, trial.folder / "tc", "run", "backtest", "--spec", slot.kind.spec(tc.home), "--run-id", RUN)
    is_in_time = slot.reach(trial, process)
    process.send_signal(which)
    is_twice = trial.rng.random() < _TWICE
    if is_twice and runs_for(process, trial.rng.uniform(0, _TWICE_SECONDS)):
        process.send_signal(which)
    with suppress(subprocess.TimeoutExpired):
        process.wait(stretched(GONE_SECONDS))
    if not trial.claim(process.poll() is not None, f"tc still runs {GONE_SECONDS:.0f} s after {which.name}"):
        return
    trial.observe("signals", "two" if is_twice else "one")
    trial.observe("exit", process.returncode)
    err = (trial.folder / "tc.err").read_text(errors="replace")
    if tc.run_folder(RUN).is_dir():
        trial.observe("phase", "in time" if is_in_time else "too late")
        trial.claim("Traceback" not in err, f"tc printed a traceback: {err[-500:]}")
        metadata = claim_whole(trial, tc, RUN, slot.profile.expected)
        _claim_exit_code(trial, metadata, process.returncode, which, is_twice)
    else:
        trial.observe("phase", "before the run existed")
        claim_no_run(trial, process.returncode, err, which)
    claim_no_leftovers(trial, tc)


def _claim_exit_code(trial: Trial, metadata: dict[str, Any], code: int, which: signal.Signals, is_twice: bool) -> None:
    """The exit code matches the status; but a signal during Python's own shutdown ends the process by that signal."""
    status, ended_by = metadata["status"], metadata["ended_by"]
    allowed = {("interrupted", _INTERRUPTED), ("completed", 0), ("completed", -which)}
    if is_twice:
        allowed.add(("interrupted", -which))
    trial.claim((status, code) in allowed, f"tc exits {code} with a run that is {status}")
    if status == "interrupted":
        trial.claim(ended_by == which.name, f"ended by {ended_by}, expected {which.name}")


def claim_no_run(trial: Trial, code: int, err: str, which: signal.Signals) -> None:
    """During Python's own start the signal ends the process before `tc` runs; for Ctrl-C Python prints a traceback."""
    if code == _INTERRUPTED:
        trial.claim("Traceback" not in err, f"tc printed a traceback: {err[-500:]}")
        return
    in_python = code == -which or err.rstrip().endswith("KeyboardInterrupt")
    trial.claim(in_python, f"tc exits {code} without a run: {err[-300:]}")
    if "Traceback" in err:
        trial.observe("output", "traceback of Python, before tc started")
