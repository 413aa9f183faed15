"""Processes that a test starts, and those they leave running. Ended by pid, never by name."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.drivers.load import stretched
from tests.drivers.tc import Tc, fork_server_pids

type Process = subprocess.Popen[bytes]

TC = (sys.executable, "-m", "opslab")
ENGINE = b"opslab.children.engine"
GONE_SECONDS = 15.0
"""How long after its `tc` was killed an engine child may go on."""
_ENGINE_SECONDS = 200.0
_POLL_SECONDS = 0.002
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on what our children leave behind becomes our child, so that none of it can hide."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def start(tc: Tc, log: Path, *arguments: str) -> Process:
    """Begin a `tc` command in a session of its own; what it says goes to `<log>.out` and `<log>.err`."""
    with open(f"{log}.out", "wb") as out, open(f"{log}.err", "wb") as err:
        return subprocess.Popen(
            [*TC, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=log.parent,
            env=tc.environment(),
            start_new_session=True,
        )


def runs_for(process: Process, seconds: float) -> bool:
    """Whether it is still there after so many seconds; comes back at once when it has ended."""
    try:
        process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return True
    return False


def children(pid: int) -> list[int]:
    """Its children, zombies included."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                if int(_fields(int(path.name))[1]) == pid:
                    found.append(int(path.name))
    return found


def is_living(pid: int) -> bool:
    """Zombies do not live."""
    try:
        return _fields(pid)[0] not in "ZX"
    except OSError:
        return False


def _fields(pid: int) -> list[str]:
    """Of its stat, from the state on: state, parent, ..."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def engine_of(pid: int) -> int | None:
    """The living engine child of a `tc` process."""
    for child in children(pid):
        with suppress(OSError):
            if ENGINE in Path(f"/proc/{child}/cmdline").read_bytes() and is_living(child):
                return child
    return None


def wait_for_engine(process: subprocess.Popen[Any]) -> int | None:
    """The engine child of a `tc` process, as soon as there is one; None when it ends without, or takes too long."""
    deadline = time.monotonic() + _ENGINE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if engine := engine_of(process.pid):
            return engine
        time.sleep(_POLL_SECONDS)
    return None


def orphans_after(seconds: float, known: Sequence[int] = ()) -> list[int]:
    """Wait for everything below us but `known` to end, reaping it; what still lives after `seconds`."""
    known = [*known, *fork_server_pids()]
    deadline = time.monotonic() + stretched(seconds)
    while True:
        left = [pid for pid in children(os.getpid()) if pid not in known]
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        left = [pid for pid in left if is_living(pid)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(_POLL_SECONDS)


def kill_descendants() -> None:
    """Kill our children, then what they leave to us, until nothing is there."""
    while left := children(os.getpid()):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
