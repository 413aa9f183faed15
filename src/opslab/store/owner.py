"""Who may write into a run's folder: one process at a time, by a lock that the kernel frees when it dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opslab.errors import Environment
from opslab.store.files import writing

_PATIENCE_SECONDS = 1.0
"""Somebody who only asks holds the lock for a moment."""
_POLL_SECONDS = 0.01


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Hold the run in `folder` alone. Raises Environment when a living process holds it."""
    with writing(f"open the folder of run {folder.name}"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not _locked(descriptor):
            raise Environment(
                f"run {folder.name} is in the hands of another process",
                hint=f"wait for it to end, or stop it; look at it with: tc run show {folder.name}",
            )
        yield
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Whether a living process holds the run; asks without waiting. False too when it cannot be asked."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _locked(descriptor: int) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
