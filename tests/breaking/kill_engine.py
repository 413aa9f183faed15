"""kill -9 of the engine child at any moment of its life: `tc` says so, and ends with a sealed run."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress

from tests.breaking.aftermath import claim_nothing_half_done, claim_whole
from tests.breaking.processes import engine_of, start
from tests.breaking.scene import RUN, Scene, Turn, turns
from tests.breaking.trial import Attempt, Trial

FULL = 500
_END_SECONDS = 60.0


def attempts(scene: Scene) -> Iterator[Attempt]:
    return (attempt for attempt, _turn in turns("kill-engine", scene, FULL, _kill))


def _kill(trial: Trial, turn: Turn) -> None:
    tc = turn.scene.home(trial)
    process = start(tc, trial.folder / "tc", "run", "backtest", "--spec", turn.kind.spec(tc.home), "--run-id", RUN)
    engine = turn.reach_in_engine(trial, process)
    if engine is None:
        trial.claim(False, "no engine child was seen")
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
    trial.saw("killed", "a living engine" if hit else "too late")
    trial.saw("exit", code)
    status = claim_whole(trial, tc, RUN, turn.watched.expected)["status"]
    wanted = {("failed", 1), ("completed", 0)} if hit else {("completed", 0)}
    trial.claim((status, code) in wanted, f"tc exits {code} with a run that is {status}")
    claim_nothing_half_done(trial, tc)
