"""A run is claimed once: folder, lock, journal and state in one step, and nothing is read twice on the way to it."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opslab.context import Context
from opslab.errors import AlreadyExists, Environment
from opslab.lab.context import context_of
from opslab.lab.run.claim import claim, initialize
from opslab.lab.run.plan import make_plan
from opslab.model.journal.run_events import RunFailed, RunStarted
from opslab.runs.planning.plan import BacktestPlan
from opslab.settings import Settings
from opslab.store.runs.owner import is_held
from tests.drivers.tc import LIMIT_SECONDS, Tc
from tests.fakes.journal_events import FAILURE, OWNER

OPENED_FILES = Path(__file__).parents[1] / "drivers" / "opened_files.py"
RUN = "r1"
PAPER = {"speed": "max", "max_bars": 3}


def spec_of(tc: Tc, mode: str) -> str:
    return tc.spec(mode=mode, paper=PAPER) if mode == "paper" else tc.spec()


def opened_by_start(tc: Tc, *words: str) -> list[str]:
    """What `tc` opened before its first child, in order: `read` or `write` with the file's name."""
    found = tc.home / "opened"
    done = subprocess.run(
        [sys.executable, OPENED_FILES, found, *words],
        capture_output=True,
        text=True,
        env=tc.environment(),
        cwd=tc.home,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split(" ", 1) for line in found.read_text().splitlines()]
    return [f"{how} {Path(path).name}" for how, path in lines]


def reads(opened: list[str], name: str) -> int:
    """`open` with an opener is two events for one file."""
    count = opened.count(f"read {name}")
    assert count % 2 == 0, f"{name} was opened in another way"
    return count // 2


@pytest.mark.parametrize("mode", ["backtest", "paper"])
def test_an_initialized_run_is_read_once_when_it_starts(tc: Tc, mode: str) -> None:
    spec = spec_of(tc, mode)
    tc.ok("run", "init", "--spec", spec, "--run-id", RUN)
    opened = opened_by_start(tc, "run", mode, "--spec", spec, "--run-id", RUN)
    assert reads(opened, "journal.jsonl") == 1
    assert opened.count("write journal.jsonl") == 1
    assert reads(opened, "run_spec.yaml") == 1
    assert reads(opened, "spec.yaml") == 1


@pytest.mark.parametrize("mode", ["backtest", "paper"])
def test_a_new_run_is_not_read_at_all(tc: Tc, mode: str) -> None:
    spec = spec_of(tc, mode)
    opened = opened_by_start(tc, "run", mode, "--spec", spec, "--run-id", RUN)
    assert opened.count("write journal.jsonl") == 1
    assert opened.count("read journal.jsonl") == 1  # to sync it, before the folder has its name
    assert opened.count("read run_spec.yaml") == 1
    assert reads(opened, "spec.yaml") == 1


def planned(tc: Tc) -> tuple[Context, BacktestPlan]:
    context = context_of(Settings(tc.home, "--home"))
    return context, make_plan(context, Path(tc.spec()), RUN, "backtest")


@pytest.mark.parametrize("initialized", [False, True])
def test_a_claimed_run_is_locked_until_the_end_of_the_block(tc: Tc, initialized: bool) -> None:
    context, plan = planned(tc)
    if initialized:
        initialize(context, plan)
        assert not is_held(tc.run_folder(RUN))
    with claim(context, plan) as run:
        assert is_held(run.folder)
        assert run.folder == tc.run_folder(RUN)
        assert run.log.metadata.status == "initialized"
        assert (run.folder / "inputs" / "code.json").is_file()
        run.log.append(RunStarted(owner=OWNER))
    assert not is_held(run.folder)
    assert [event["event"] for event in tc.events(RUN)] == ["run_initialized", "run_started"]
    with pytest.raises(AlreadyExists, match="run r1 exists already"), claim(context, plan):
        pass


def test_the_journal_of_a_new_run_is_in_the_folder_of_the_run(tc: Tc) -> None:
    """Also for the torn end of another process that died while it appended."""
    context, plan = planned(tc)
    with claim(context, plan) as run:
        with open(run.folder / "journal.jsonl", "ab") as journal:
            journal.write(b'{"seq":2,')
        run.log.append(RunFailed(failure=FAILURE))
    assert [event["event"] for event in tc.events(RUN)] == ["run_initialized", "journal_torn_end_kept", "run_failed"]
    assert [path.read_bytes() for path in tc.run_folder(RUN).glob("journal-torn-at-*.bin")] == [b'{"seq":2,']


def test_what_a_killed_claim_left_is_removed_by_the_next_one(tc: Tc) -> None:
    context, plan = planned(tc)
    initialize(context, plan)
    left = tc.run_folder(RUN) / ".metadata.json.tmp"
    left.write_bytes(b"{")
    with pytest.raises(AlreadyExists):
        initialize(context, plan)
    assert left.exists(), "removed by a process that owned nothing"
    with claim(context, plan):
        assert not left.exists()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def test_a_run_that_another_process_has_locked_is_not_claimed(tc: Tc) -> None:
    context, plan = planned(tc)
    initialize(context, plan)
    lock, refusal = locked(tc.run_folder(RUN)), pytest.raises(Environment, match="is locked by another process")
    with lock, refusal as refused, claim(context, plan):
        pass
    assert not isinstance(refused.value, AlreadyExists)
    assert [event["event"] for event in tc.events(RUN)] == ["run_initialized"]


def test_a_run_that_runs_exists_already(tc: Tc) -> None:
    """Its lock is not waited for, and is not what the message is about."""
    context, plan = planned(tc)
    with claim(context, plan) as run:
        run.log.append(RunStarted(owner=OWNER))
        with pytest.raises(AlreadyExists, match="run r1 exists already"), claim(context, plan):
            pass
