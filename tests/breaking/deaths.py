"""Processes that die at an exact point of their work. Cheap: forks of this process."""

import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

Work = Callable[[Callable[[], None]], None]
"""Work under test; it calls its argument each time it has acknowledged something to its caller."""

XFSZ, KILLED = -signal.SIGXFSZ, -signal.SIGKILL
"""Exit codes of a death at a byte, and at a step."""
_COMPLETED, _RAISED = 0, 9
_LIFTED = 1 << 40
_OUTSIDE = ("posix", "fcntl", "_io")
"""Modules whose functions reach the kernel."""


def dies_at_byte(work: Work, size_bytes: int) -> tuple[int, int]:
    """Run work with a limit on file sizes: the kernel writes up to the limit, then ends the process.

    Returns the exit code (negative for a signal) and the number of acknowledgements before.
    """

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, _LIFTED))

    return _run_in_fork(work, limit)


def fails_at_byte(work: Work, size_bytes: int) -> tuple[int, int]:
    """As `dies_at_byte`, but the process survives and gets the error, as with a full disk. Then the limit is lifted."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, _LIFTED))

    return _run_in_fork(work, limit)


def dies_at_step(work: Work, step: int) -> tuple[int, int]:
    """Run work, and kill it before the `step`-th call (from 0) of a function that may reach the kernel."""
    remaining_steps = iter(range(step))

    def on_call() -> None:
        if next(remaining_steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    return _run_in_fork(work, lambda: _profile_calls(on_call))


def count_steps(work: Work) -> int:
    """Run work; return the number of steps that `dies_at_step` can distinguish."""

    def counted(acknowledge: Callable[[], None]) -> None:
        _profile_calls(acknowledge)
        work(lambda: None)

    code, steps = _run_in_fork(counted, lambda: None)
    assert code == _COMPLETED, code
    return steps


def evenly_spread(positions: Sequence[int], count: int | None) -> list[int]:
    """All positions, or `count` of them evenly spread, including the first and the last."""
    if count is None or count >= len(positions):
        return list(positions)
    if count == 1:
        return [positions[len(positions) // 2]]
    return sorted({positions[round(number * (len(positions) - 1) / (count - 1))] for number in range(count)})


def _profile_calls(on_call: Callable[[], None]) -> None:
    def profile(_frame: FrameType, kind: str, function: Any) -> None:
        if kind == "c_call" and _is_system_call(function):
            on_call()

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
        work(lambda: _acknowledge(sending))
        sys.setprofile(None)
    except BaseException as error:  # noqa: BLE001  (this process must never continue in the parent's code)
        sys.setprofile(None)
        os.write(2, f"tests.breaking: a forked process ended with {error!r}\n".encode())
        os._exit(_RAISED)
    os._exit(_COMPLETED)


def _acknowledge(sending: int) -> None:
    os.write(sending, b"!")
