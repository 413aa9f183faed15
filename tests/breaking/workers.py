"""Parallel trials: each worker is a process of its own and takes the next attempt when one is done."""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from types import FrameType

from tests.breaking.trial import Attempt, Trial, TrialResult
from tests.drivers.processes import GONE_SECONDS, adopt_orphans, end_with_parent, kill_descendants, orphans_after

_FORK = get_context("fork")
"""An attempt contains functions; a fork inherits them without pickling."""
_END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class TrialFactory:
    """Creates trials below a work folder, with random generators from a seed."""

    work: Path
    seed: int

    def trial(self, attempt: Attempt) -> Trial:
        folder = self.work / attempt.label
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return Trial(attempt.label, folder, random.Random(f"{self.seed} {attempt.label}"))


def run_trials(factory: TrialFactory, attempts: Sequence[Attempt], workers: int) -> Iterator[TrialResult]:
    """Run all attempts; yield their results in the order in which they end. Leaves no process, however it ends."""
    next_index = _FORK.Value("i", 0)
    links, processes = [], []
    try:
        for _ in range(min(workers, len(attempts))):
            receiving, sending = _FORK.Pipe(duplex=False)
            process = _FORK.Process(target=_run_worker, args=(factory, attempts, next_index, sending))
            process.start()
            sending.close()
            processes.append(process)
            links.append(receiving)
        while links:
            ready = connection.wait(links)
            for link in [link for link in links if link in ready]:
                try:
                    yield link.recv()
                except EOFError:
                    links.remove(link)
        for process in processes:
            process.join(_END_SECONDS)
            if process.exitcode:
                yield TrialResult("worker", str(factory.work), 0.0, (), (f"a worker ended with {process.exitcode}",))
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            process.join(_END_SECONDS)


def _run_worker(
    factory: TrialFactory, attempts: Sequence[Attempt], next_index: "Synchronized[int]", sending: connection.Connection
) -> None:
    end_with_parent()
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_on_signal)
    signal.signal(signal.SIGALRM, _raise_on_timeout)
    while (attempt := _take_next(attempts, next_index)) is not None:
        sending.send(_run_trial(factory, attempt))


class _HangsError(BaseException):
    """Not an Exception: the code of a trial must not catch it as one of its own, such as an OSError, and continue."""


def _exit_on_signal(_number: int, _frame: FrameType | None) -> None:
    kill_descendants()
    os._exit(0)


def _raise_on_timeout(_number: int, _frame: FrameType | None) -> None:
    raise _HangsError("time limit exceeded")


def _take_next(attempts: Sequence[Attempt], next_index: "Synchronized[int]") -> Attempt | None:
    with next_index.get_lock():
        number = next_index.value
        next_index.value += 1
    return attempts[number] if number < len(attempts) else None


def _run_trial(factory: TrialFactory, attempt: Attempt) -> TrialResult:
    started_s = time.monotonic()
    trial = factory.trial(attempt)
    signal.setitimer(signal.ITIMER_REAL, attempt.limit_seconds)
    try:
        attempt.run(trial)
    except (Exception, _HangsError) as error:  # noqa: BLE001  (any error that ends a trial early is a violation)
        trial.claim(False, f"the trial ended early: {type(error).__name__}: {error}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    orphans = orphans_after(GONE_SECONDS)
    trial.claim(not orphans, f"processes left behind: {orphans}")
    kill_descendants()
    if trial.violations:
        (trial.folder / "violations.txt").write_text("\n".join(trial.violations) + "\n")
    else:
        shutil.rmtree(trial.folder, ignore_errors=True)
    seconds = time.monotonic() - started_s
    return TrialResult(trial.label, str(trial.folder), seconds, tuple(trial.observations), tuple(trial.violations))
