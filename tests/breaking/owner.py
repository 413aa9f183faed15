"""Owner of a run: a reused pid or a reboot is not accepted as the owner, and a living owner is never replaced."""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from opslab.runs.record.state import read_state
from opslab.store.runs.run_folders import write_metadata
from opslab.system import SystemProcesses
from tests.breaking.aftermath import Expected, settle
from tests.breaking.context import RUN, ExperimentContext
from tests.breaking.deaths import evenly_spread
from tests.breaking.forged import copy_into, cut_off, finished, rewrite_journal
from tests.breaking.trial import Attempt, Trial
from tests.drivers.tc import Tc

_REFUSED = 5
_NO_PID = 4_194_304
"""One more than the maximum pid of Linux."""


@dataclass(frozen=True, slots=True)
class RecordedOwner:
    """Owner of the run as recorded in the journal: this process, with `changes`; and whether the folder is locked."""

    name: str
    changes: dict[str, Any]
    is_alive: bool
    is_locked: bool = False


RECORDED_OWNERS = (
    RecordedOwner("reused-pid", {"process_start": 1}, is_alive=False),
    RecordedOwner("before-a-reboot", {"boot_id": "00000000-0000-0000-0000-000000000000"}, is_alive=False),
    RecordedOwner("no-such-process", {"pid": _NO_PID}, is_alive=False),
    RecordedOwner("living", {}, is_alive=True),
    RecordedOwner("living-and-locked", {}, is_alive=True, is_locked=True),
    RecordedOwner("dead-but-locked", {"pid": _NO_PID}, is_alive=True, is_locked=True),
    RecordedOwner("another-host", {"host": "a-host-that-is-not-this-one"}, is_alive=True),
)


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    """Each recorded owner with metadata, and without."""
    run = finished(context)
    cases = [(recorded, has_metadata) for has_metadata in (True, False) for recorded in RECORDED_OWNERS]
    for number in evenly_spread(range(len(cases)), context.count):
        recorded, has_metadata = cases[number]
        label = f"owner-{recorded.name}-{'with' if has_metadata else 'without'}-metadata"
        yield Attempt(label, partial(_claim, run=run, recorded=recorded, has_metadata=has_metadata))


def _claim(trial: Trial, run: Path, recorded: RecordedOwner, has_metadata: bool) -> None:
    tc = Tc(trial.folder / "home")
    folder = copy_into(tc, run)
    owner = SystemProcesses().this_process().model_dump() | recorded.changes
    cut_off(folder, torn_bytes=0)
    rewrite_journal(folder, lambda event: event["payload"].update(owner=owner) if "owner" in event["payload"] else None)
    if has_metadata:
        write_metadata(folder, read_state(folder))
    before = (folder / "journal.jsonl").read_bytes()
    lock_descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if recorded.is_locked:
            fcntl.flock(lock_descriptor, fcntl.LOCK_EX)
        if recorded.is_alive:
            _claim_untouched(trial, tc, folder, recorded)
        else:
            trial.claim(tc.json("run", "show", RUN)["status"] == "interrupted", "show does not report interrupted")
            settle(trial, tc, RUN, before, Expected("an interrupted run has none"))
    finally:
        os.close(lock_descriptor)


def _claim_untouched(trial: Trial, tc: Tc, folder: Path, recorded: RecordedOwner) -> None:
    """`recover ID` refuses it, `recover --all` skips it, and no byte is changed."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    answer, every = tc("run", "recover", RUN, "--json"), tc("run", "recover", "--all", "--json")
    trial.observe("recover of a living run", answer.code)
    trial.claim(answer.code == _REFUSED, f"recover of a {recorded.name} run exits {answer.code}: {answer.out}")
    trial.claim(every.code == 0, f"recover --all beside a {recorded.name} run exits {every.code}: {every.err}")
    verified = tc("run", "verify", RUN, "--json")
    trial.claim(verified.code == 3, f"verify of a {recorded.name} run exits {verified.code}: {verified.out}")
    if "pid" not in recorded.changes:
        status = tc.json("run", "show", RUN)["status"]
        trial.claim(status == "running", f"show reports {status} for a {recorded.name} run")
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    trial.claim(after == before, f"the folder of a {recorded.name} run was changed")
