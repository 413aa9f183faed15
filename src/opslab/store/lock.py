"""Exclusive kernel locks (flock) on an open file or folder; released when the holder exits. Standard library only."""

import fcntl
import time

_POLL_SECONDS = 0.002


def take_lock(descriptor: int, patience_seconds: float) -> bool:
    """Take the lock within that time; returns whether it was taken. Closing the descriptor releases it.

    Raises OSError on a file system without locks.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
