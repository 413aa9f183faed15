"""Every failure drill, many times: its verdict is `pass`, also on a machine that is busy.

Each finished drill is a line of `drills.jsonl` in the work folder. A later call with the same folder does not run it
again: an experiment that was interrupted goes on.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from opslab.drills.registry import DRILLS
from tests.breaking.context import ExperimentContext
from tests.breaking.trial import Attempt, Trial

REPETITIONS = 50
BUSY_LOOPS = 2
_RECORDED = "drills.jsonl"
_FAILED = "drills-failed"
"""Has the runs of drills that did not pass: the folder of a trial is emptied by a later call."""
_FIELDS = ("detect_seconds", "act_seconds", "recover_seconds")
_EXIT_CODES = {"pass": 0, "fail": 1, "unknown": 3}

type Finished = Mapping[str, Any]
"""A drill that was run: a line of `drills.jsonl`."""


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    """Round by round, so that a small number of trials has every drill. Half of a drill's trials are busy."""
    context.prepare_dataset("btcusdt-sample")
    finished = {one["label"]: one for one in _finished(context)}
    every = [(number, index, name) for number in range(REPETITIONS) for index, name in enumerate(DRILLS)]
    for number, index, name in every[: context.trial_count(len(every))]:
        is_busy = (number + index) % 2 == 1
        label = f"drill-{name}-{number}"
        if label in finished:
            yield Attempt(label, partial(_claim, finished=finished[label]))
        else:
            yield Attempt(label, partial(_run, context=context, name=name, is_busy=is_busy))


def _run(trial: Trial, context: ExperimentContext, name: str, is_busy: bool) -> None:
    tc = context.home(trial)
    with _busy_loops(BUSY_LOOPS if is_busy else 0):
        answer = tc.process("drill", "run", name, "--json")
    if not trial.claim(answer.code in _EXIT_CODES.values(), f"exit {answer.code}: {answer.err[-500:]}"):
        return
    record = answer.document
    judgement = record["judgement"]
    finished = {
        "label": trial.label,
        "drill": name,
        "is_busy": is_busy,
        "exit_code": answer.code,
        "verdict": judgement["verdict"],
        "status": record["status"],
        "deviated_at": judgement["deviated_at"],
        "times": judgement["times"],
    }
    if judgement["verdict"] != "pass":
        shutil.copytree(tc.home / "artifacts", context.work / _FAILED / trial.label, dirs_exist_ok=True)
    _append(context, finished)
    _claim(trial, finished)


def _claim(trial: Trial, finished: Finished) -> None:
    verdict = finished["verdict"]
    trial.observe("verdict", verdict)
    trial.observe(finished["drill"], f"{verdict} {'beside busy loops' if finished['is_busy'] else 'without them'}")
    trial.claim(verdict == "pass", f"{finished['status']}, {verdict}: {finished['deviated_at']}")
    expected = _EXIT_CODES[verdict]
    trial.claim(finished["exit_code"] == expected, f"{verdict} with exit {finished['exit_code']}")


def measured(context: ExperimentContext) -> Iterator[tuple[str, str]]:
    """Step of a drill, with its times: median, 95th percentile, worst."""
    seconds: dict[str, dict[str, list[float]]] = {}
    for one in _finished(context):
        for times in one["times"]:
            of_step = seconds.setdefault(f"{one['drill']}, {times['step']}", {})
            for field in _FIELDS:
                if times[field] is not None:
                    of_step.setdefault(field.removesuffix("_seconds"), []).append(times[field])
    for step, of_step in seconds.items():
        yield step, "; ".join(f"{name} {_spread(values)}" for name, values in of_step.items())


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    percentile = ordered[-(-95 * len(ordered) // 100) - 1]  # nearest rank
    return f"median {statistics.median(ordered):.3f} s, p95 {percentile:.3f} s, worst {ordered[-1]:.3f} s"


@contextmanager
def _busy_loops(count: int) -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


# Finished drills.


def _recorded(context: ExperimentContext) -> Path:
    return context.work / _RECORDED


def _append(context: ExperimentContext, finished: Finished) -> None:
    """In one call: several workers append, and one may be killed."""
    descriptor = os.open(_recorded(context), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, json.dumps(finished).encode() + b"\n")
    finally:
        os.close(descriptor)


def _finished(context: ExperimentContext) -> list[Finished]:
    path = _recorded(context)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
