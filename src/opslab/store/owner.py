"""Who may write into a run's folder: one process at a time, by a lock that the kernel frees when it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opslab.errors import Environment
from opslab.store.files import writing
from opslab.store.lock import take_lock

_PATIENCE_SECONDS = 1.0
"""Somebody who only asks holds the lock for a moment."""


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Hold the run in `folder` alone. Raises Environment when a living process holds it."""
    with writing(f"open the folder of run {folder.name}"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not take_lock(descriptor, _PATIENCE_SECONDS):
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
