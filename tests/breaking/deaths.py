"""A process that dies in the middle of its work, exactly where it is told to. Cheap: a fork of this one."""

import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

Work = Callable[[Callable[[], None]], None]
"""Something to do; it calls its argument each time when something has been promised to its caller."""

XFSZ, KILLED = -signal.SIGXFSZ, -signal.SIGKILL
"""How those end who die at a byte, and at a step."""
_DONE, _RAISED = 0, 9
_LIFTED = 1 << 40
_OUTSIDE = ("posix", "fcntl", "_io")
"""Modules whose functions reach the kernel."""


def dies_at_byte(work: Work, size_bytes: int) -> tuple[int, int]:
    """Do it where no file may grow past a size: the kernel writes up to there, then ends the process.

    Returns how it ended, negative for a signal, and how many promises were made before.
    """

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, _LIFTED))

    return _run_in_fork(work, limit)


def fails_at_byte(work: Work, size_bytes: int) -> tuple[int, int]:
    """As `dies_at_byte`, and the process lives on to see the error, as with a full disk. The limit is then lifted."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, _LIFTED))

    return _run_in_fork(work, limit)


def dies_at_step(work: Work, step: int) -> tuple[int, int]:
    """Do it, and kill it as it is about to call the step-th function that may reach the kernel, from 0."""
    left = iter(range(step))

    def look() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    return _run_in_fork(work, lambda: _profile_calls(look))


def count_steps(work: Work) -> int:
    """Do it; how many steps `dies_at_step` can tell apart in it."""

    def counted(acknowledge: Callable[[], None]) -> None:
        _profile_calls(acknowledge)
        work(lambda: None)

    code, steps = _run_in_fork(counted, lambda: None)
    assert code == _DONE, code
    return steps


def evenly_spread(places: Sequence[int], count: int | None) -> list[int]:
    """All of them, or `count` evenly spread, the first and the last among them."""
    if count is None or count >= len(places):
        return list(places)
    if count == 1:
        return [places[len(places) // 2]]
    return sorted({places[round(number * (len(places) - 1) / (count - 1))] for number in range(count)})


def _profile_calls(look: Callable[[], None]) -> None:
    def profile(_frame: FrameType, what: str, function: Any) -> None:
        if what == "c_call" and _is_system_call(function):
            look()

    sys.setprofile(profile)


def lift_limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LIFTED, _LIFTED))


def _is_system_call(function: Any) -> bool:
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None) or type(owner).__module__
    return module in _OUTSIDE


def _run_in_fork(work: Work, limit: Callable[[], None]) -> tuple[int, int]:
    receiving, sending = os.pipe()
    gc.disable()
    child = os.fork()
    if child == 0:
        _run_and_exit(work, limit, sending)
    gc.enable()
    os.close(sending)
    acknowledged = 0
    while data := os.read(receiving, 4096):
        acknowledged += len(data)
    os.close(receiving)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), acknowledged


def _run_and_exit(work: Work, limit: Callable[[], None], sending: int) -> None:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit()
        work(lambda: _promise(sending))
        sys.setprofile(None)
    except BaseException as error:  # noqa: BLE001  (nothing of this process may go on in the parent's code)
        sys.setprofile(None)
        os.write(2, f"tests.breaking: a forked process ended with {error!r}\n".encode())
        os._exit(_RAISED)
    os._exit(_DONE)


def _promise(sending: int) -> None:
    os.write(sending, b"!")
