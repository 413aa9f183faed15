"""Exclusive folder locks (flock): one writer; the kernel releases the lock when the holder exits."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from opslab.errors import Environment
from opslab.store.files import writing
from opslab.store.lock import take_lock

_PATIENCE_SECONDS = 1.0
"""`is_held` takes the lock for a moment in other processes."""


@contextmanager
def owned(folder: Path, take: Callable[[int, float], bool] = take_lock) -> Iterator[None]:
    """Lock the run's folder. Raises Environment when another process has the lock; Unwritable without locks."""
    hint = f"wait for its end, or stop it; tc run show {folder.name}"
    brief = "is locked by another process"
    locked = Environment(f"run {folder.name} {brief}", hint=hint, brief=brief)
    with held(folder, locked, take):
        yield


@contextmanager
def held(folder: Path, otherwise: Environment, take: Callable[[int, float], bool] = take_lock) -> Iterator[int]:
    """Lock `folder`; yields the descriptor. The lock lasts while any process has it open, an inheriting child too.

    Raises `otherwise` when another process has the lock; Unwritable without locks.
    """
    with writing(f"open folder {folder.name}"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with writing(f"lock {folder.name}"):
            is_locked = take(descriptor, _PATIENCE_SECONDS)
        if not is_locked:
            raise otherwise
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Whether a process has the lock; does not wait. False too when the lock state cannot be read."""
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
