"""Trials, several at a time: each worker is a process of its own, and takes the next attempt when one is done."""

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
"""An attempt holds functions; a fork hands them on as they are."""
_END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class TrialFactory:
    """Where trials take place, and with which seed."""

    work: Path
    seed: int

    def trial(self, attempt: Attempt) -> Trial:
        folder = self.work / attempt.label
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return Trial(attempt.label, folder, random.Random(f"{self.seed} {attempt.label}"))


def run_trials(factory: TrialFactory, attempts: Sequence[Attempt], workers: int) -> Iterator[TrialResult]:
    """Run all attempts; what came of each, in the order in which they end. Leaves no process, however it ends."""
    slot = _FORK.Value("i", 0)
    links, processes = [], []
    try:
        for _ in range(min(workers, len(attempts))):
            receiving, sending = _FORK.Pipe(duplex=False)
            process = _FORK.Process(target=_work, args=(factory, attempts, slot, sending))
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


def _work(factory: TrialFactory, attempts: Sequence[Attempt], slot: "Synchronized[int]", sending: connection.Connection) -> None:
    end_with_parent()
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    signal.signal(signal.SIGALRM, _give_up)
    while (attempt := _next(attempts, slot)) is not None:
        sending.send(_try(factory, attempt))


class _HangsError(BaseException):
    """No Exception: nothing that is tried may take it for one of its own, such as an OSError, and go on."""


def _leave(_number: int, _frame: FrameType | None) -> None:
    kill_descendants()
    os._exit(0)


def _give_up(_number: int, _frame: FrameType | None) -> None:
    raise _HangsError("for too long")


def _next(attempts: Sequence[Attempt], slot: "Synchronized[int]") -> Attempt | None:
    with slot.get_lock():
        number = slot.value
        slot.value += 1
    return attempts[number] if number < len(attempts) else None


def _try(factory: TrialFactory, attempt: Attempt) -> TrialResult:
    started_s = time.monotonic()
    trial = factory.trial(attempt)
    signal.setitimer(signal.ITIMER_REAL, attempt.limit_seconds)
    try:
        attempt.run(trial)
    except (Exception, _HangsError) as error:  # noqa: BLE001  (whatever keeps a trial from its end is a claim that does not hold)
        trial.claim(False, f"the trial broke off: {type(error).__name__}: {error}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    left = orphans_after(GONE_SECONDS)
    trial.claim(not left, f"processes left behind: {left}")
    kill_descendants()
    if trial.violations:
        (trial.folder / "broken.txt").write_text("\n".join(trial.violations) + "\n")
    else:
        shutil.rmtree(trial.folder, ignore_errors=True)
    seconds = time.monotonic() - started_s
    return TrialResult(trial.label, str(trial.folder), seconds, tuple(trial.observations), tuple(trial.violations))
