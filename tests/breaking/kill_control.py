"""kill -9 of `tc` at any time of a run: no recorded event is lost, and the run can be settled."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.breaking.aftermath import claim_can_run, claim_no_leftovers, phase_of, settle
from tests.breaking.chain import journal_bytes
from tests.breaking.context import RUN, SMOKE_TINY, ExperimentContext, TrialSlot, trial_slots
from tests.breaking.trial import Attempt, Trial
from tests.drivers.processes import GONE_SECONDS, Process, engine_of, is_living, orphans_after, runs_for, start
from tests.drivers.tc import Tc

FULL = 500
_AIMED = 10
"""Every `_AIMED`-th trial adds one with a narrow condition: just after the folder appeared, or the end was recorded."""
_AIMED_SECONDS = 0.04
_POLL_SECONDS = 0.0005
_END_BYTES = 16_384
"""Bytes at a journal's end that contain its last event."""
_SAMPLE = 5
"""Every `_SAMPLE`-th trial also checks the next run in the same home."""


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    context.prepare_dataset(SMOKE_TINY.dataset)
    for attempt, slot in trial_slots("kill-control", context, FULL, _kill):
        yield attempt
        if slot.number % _AIMED == 0:
            condition = _has_ended if slot.number // _AIMED % 3 else Path.is_dir
            aimed = partial(_kill, slot=slot, condition=condition)
            yield Attempt(f"{attempt.label}-aimed", aimed)


def _kill(trial: Trial, slot: TrialSlot, condition: Callable[[Path], bool] | None = None) -> None:
    """condition: kill just after it is true for the run's folder, instead of at the kill time of the slot."""
    tc = slot.context.home(trial)
    folder = tc.run_folder(RUN)
    process = start(tc, trial.folder / "tc", "run", "backtest", "--spec", slot.kind.spec(tc.home), "--run-id", RUN)
    alive = _reach(trial, process, condition, folder) if condition else slot.reach(trial, process)
    engine = engine_of(process.pid) if alive else None
    before = journal_bytes(folder)
    process.kill()
    code = process.wait()
    trial.observe("exit", code)
    trial.observe("aimed", "at a condition" if condition else "anywhere")
    trial.observe("engine", "killed with a living engine" if engine else "no engine at that time")
    if folder.is_dir():
        if settle(trial, tc, RUN, before, slot.profile.expected) == "initialized":
            claim_can_run(trial, tc, RUN, slot.kind.spec(tc.home), slot.profile.expected)
    else:
        trial.observe("phase", phase_of(folder))
    _claim_engine_gone(trial, engine)
    if slot.number % _SAMPLE == 0:
        _claim_next_run_works(trial, tc)


def _reach(trial: Trial, process: Process, condition: Callable[[Path], bool], folder: Path) -> bool:
    while process.poll() is None and not condition(folder):
        time.sleep(_POLL_SECONDS)
    return runs_for(process, trial.rng.uniform(0, _AIMED_SECONDS))


def _has_ended(folder: Path) -> bool:
    """Whether the journal's last event is the run's end; cheap for a journal of any length."""
    try:
        with open(folder / "journal.jsonl", "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _END_BYTES))
            return b'"event":"run_completed"' in stream.read()
    except FileNotFoundError:
        return False


def _claim_engine_gone(trial: Trial, engine: int | None) -> None:
    orphans = orphans_after(GONE_SECONDS)
    has_ended = engine is None or not is_living(engine)
    trial.claim(
        has_ended and not orphans, f"the engine child is alive {GONE_SECONDS:.0f} s after its tc: {engine}, {orphans}"
    )


def _claim_next_run_works(trial: Trial, tc: Tc) -> None:
    """In the same home, under the same run id if that is free; it removes the leftovers of the killed run."""
    run_id = "next" if tc.run_folder(RUN).exists() else RUN
    answer = tc("run", "backtest", "--spec", SMOKE_TINY.spec(tc.home), "--run-id", run_id)
    trial.claim(answer.code == 0, f"the next run exits {answer.code}: {answer.err.strip()}")
    claim_no_leftovers(trial, tc)
