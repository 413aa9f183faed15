"""kill -9 of the engine child at any time: `tc` reports it, and ends with a sealed run."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress

from tests.breaking.aftermath import claim_no_leftovers, claim_whole
from tests.breaking.context import RUN, ExperimentContext, TrialSlot, trial_slots
from tests.breaking.trial import Attempt, Trial
from tests.drivers.processes import engine_of, start

FULL = 500
_END_SECONDS = 300.0


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    return (attempt for attempt, _turn in trial_slots("kill-engine", context, FULL, _kill))


def _kill(trial: Trial, slot: TrialSlot) -> None:
    tc = slot.context.home(trial)
    process = start(tc, trial.folder / "tc", "run", "backtest", "--spec", slot.kind.spec(tc.home), "--run-id", RUN)
    engine = slot.reach_in_engine(trial, process)
    if engine is None:
        trial.claim(False, "no engine child was found")
        return
    hit = engine_of(process.pid) == engine
    if hit:
        with suppress(ProcessLookupError):
            os.kill(engine, signal.SIGKILL)
    try:
        code = process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        trial.claim(False, f"tc still runs {_END_SECONDS:.0f} s after its engine was killed")
        return
    trial.observe("killed", "a living engine" if hit else "too late")
    trial.observe("exit", code)
    status = claim_whole(trial, tc, RUN, slot.profile.expected)["status"]
    allowed = {("failed", 1), ("completed", 0)} if hit else {("completed", 0)}
    trial.claim((status, code) in allowed, f"tc exits {code} with a run that is {status}")
    claim_no_leftovers(trial, tc)
