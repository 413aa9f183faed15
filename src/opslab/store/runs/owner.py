"""Who may write into a folder, a run's above all: one process at a time, by a lock that dies with it."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from opslab.errors import Environment
from opslab.store.files import writing
from opslab.store.lock import take_lock

_PATIENCE_SECONDS = 1.0
"""Somebody who only asks holds the lock for a moment."""


@contextmanager
def owned(folder: Path, take: Callable[[int, float], bool] = take_lock) -> Iterator[None]:
    """Hold the run in `folder` alone. Raises Environment when a living process holds it; Unwritable without locks."""
    hint = f"wait for it to end, or stop it; look at it with: tc run show {folder.name}"
    brief = "is locked by another process"
    locked = Environment(f"run {folder.name} {brief}", hint=hint, brief=brief)
    with held(folder, locked, take):
        yield


@contextmanager
def held(folder: Path, otherwise: Environment, take: Callable[[int, float], bool] = take_lock) -> Iterator[int]:
    """A descriptor that holds `folder`, as long as anybody has it open: a child that inherited it, too.

    Raises `otherwise` when a living process holds it; Unwritable without locks.
    """
    with writing(f"open folder {folder.name}"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with writing(f"lock {folder.name}"):
            is_ours = take(descriptor, _PATIENCE_SECONDS)
        if not is_ours:
            raise otherwise
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Whether a living process holds it; asks without waiting. False too when it cannot be asked."""
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
