"""The kernel's lock of an open file or folder (flock); the death of who holds it frees it. Standard library alone."""

import fcntl
import time

_POLL_SECONDS = 0.002


def take_lock(descriptor: int, patience_seconds: float) -> bool:
    """Take the lock, if it can be had in that time; whether it was. Closing the descriptor gives it back.

    Raises OSError where there are no locks.
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
