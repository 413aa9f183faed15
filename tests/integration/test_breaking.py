"""Runs broken on purpose, a few times in each way: the program of tests/breaking, with small counts."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.breaking.chain import chain_faults, chained
from tests.breaking.registry import EXPERIMENTS
from tests.drivers.processes import children
from tests.drivers.tc import wait_until
from tests.drivers.tools import need_tools

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 1800

# Experiments that are run in one call, and the number of trials of each.
CALLS = (
    {"journal-bytes": 4, "record-bytes": 4, "kill-recover": 4, "tamper": 1},
    {"kill-control": 2, "kill-engine": 1, "sigterm": 1, "ctrl-c": 1, "disk-full": 1, "race": 1, "owner": 3},
    {"venue-kill-node": 2, "venue-kill-venue": 3, "venue-ledger": 3, "venue-hostile": 3},
    {"paper-kill-engine": 2, "paper-kill-control": 2, "paper-recover": 6},
    {"paper-faults": 2, "paper-halt": 6},
    {"drills": 2},
)
ON_SMALL_DISKS = {"disk-full", "paper-faults"}
# Observations without which an experiment has tested nothing.
OBSERVED = {
    "journal-bytes": {"death at a byte": "by the kernel", "death at a step": "killed", "torn end": "kept aside"},
    "record-bytes": {
        "death at a byte": "by the kernel",
        "death at a step": "killed",
        "seal": "none",
        "check after the seal": "torn",
    },
    "kill-recover": {"death at a byte": "by the kernel", "death at a step": "killed", "the next recover": "settled"},
    "kill-control": {"exit": "-9", "phase": "while running", "recover": "settled"},
    "kill-engine": {"killed": "a living engine", "status": "failed"},
    "sigterm": {"exit": "130", "status": "interrupted"},
    "ctrl-c": {"exit": "130", "status": "interrupted"},
    "disk-full": {"exit": "5", "error": "with its cause"},
    "race": {"to recover": "exits [0, 0]", "status": "completed"},
    "owner": {"phase": "while running", "recover of a living run": "5"},
    "venue-kill-node": {"first state of the new node": "as at the venue", "moment": "at an order"},
    "venue-kill-venue": {"candles missing from the stream": "0", "moment": "at a close"},
    "venue-ledger": {"killed": "at a request", "candles received": "some"},
    "venue-hostile": {"malformed-http": "within 10 s"},
    "paper-kill-engine": {"moment": "with position and orders", "exit": "0"},
    "paper-kill-control": {"phase": "while running", "recover": "settled", "status": "interrupted"},
    "paper-recover": {"death at a step": "killed", "the next recover": "settled", "stage": "ledger kept"},
    "paper-faults": {"signals": "one", "ended": "failed, exit 1"},
    "drills": {"verdict": "pass", "stale-market-data": "pass without them"},
    "paper-halt": {"status": "halted", "recover": "settled"},
    "tamper": {"verify": "6", "location": "right", "interface": "command"},
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("breaking")


def program(work: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "tests.breaking", "--work", str(work), "--scale", "small", "--json", *words]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TC_")}


@pytest.fixture(scope="module")
def found(work: Path) -> Callable[[str], dict[str, Any]]:
    """What came of an experiment, by name."""
    documents: dict[str, dict[str, Any]] = {}

    def find(name: str) -> dict[str, Any]:
        if name not in documents:
            (call,) = (call for call in CALLS if name in call)
            done = subprocess.run(
                program(work, "--forks", *(f"--only={each}={count}" for each, count in call.items())),
                cwd=ROOT,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
                check=False,
            )
            assert done.returncode in (0, 1), done.stderr
            documents.update({one["experiment"]: one for one in json.loads(done.stdout)["experiments"]})
        return documents[name]

    return find


def test_every_experiment_is_here() -> None:
    assert OBSERVED.keys() == EXPERIMENTS.keys() == {name for call in CALLS for name in call}


@pytest.mark.parametrize(
    "name", [pytest.param(name, id=f"call-{number}-{name}") for number, call in enumerate(CALLS) for name in call]
)  # tests/schedule.py keeps those of a call together
def test_every_claim_holds(found: Callable[[str], dict[str, Any]], name: str) -> None:
    if name in ON_SMALL_DISKS:
        need_tools("mount", "umount", "unshare")
    document = found(name)
    assert document["violations"] == []
    assert document["trials"] > 0
    for what, value in OBSERVED[name].items():
        assert value in document["observed"].get(what, {}), (what, document["observed"])


@pytest.mark.parametrize(
    ("experiment", "command"), [("kill-engine=2", b"opslab.children.engine"), ("owner=14", b"opslab\0run\0recover")]
)
def test_ctrl_c_ends_the_program_and_all_that_it_started(work: Path, experiment: str, command: bytes) -> None:
    """In the middle of what comes before the trials, an engine below a `tc`; and of a trial, a `tc` below a worker."""
    process = subprocess.Popen(
        program(work, "--only", experiment),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    below: set[int] = set()

    def command_runs() -> bool:
        pids = children(process.pid)
        pids += [child for pid in pids for child in children(pid)]
        below.update(pids)
        return any(command in command_line(pid) for pid in pids)

    wait_until(command_runs, f"{command!r} to run")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 130
    assert json.loads(out)["experiments"][0]["experiment"] == experiment.partition("=")[0]
    assert [pid for pid in below if Path(f"/proc/{pid}").exists()] == []


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def event(name: str, **payload: Any) -> dict[str, Any]:
    return {"time": "2024-01-01T00:00:00.000000Z", "event": name, "payload": payload}


def test_the_second_reader_of_journals_notices_a_broken_chain() -> None:
    whole = chained([event("run_initialized"), event("run_started"), event("run_completed", bars=1)])
    assert chain_faults(whole) == []
    assert chain_faults(whole.replace(b"run_started", b"run_begun")) != []
    assert chain_faults(whole[: whole.index(b"\n") + 1] + whole[whole.rindex(b'{"seq":3') :]) != []
    assert chain_faults(whole[:-1]) != []
