"""System clock, random ids, process table, memory and signals; no other module uses them directly."""

import os
import secrets
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from opslab.model.messages.engine_messages import SignalName
    from opslab.model.run.metadata import Owner


class SystemClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()


def random_suffix() -> str:
    """Four hex digits, which make names distinct that were generated in the same second."""
    return secrets.token_hex(2)


def random_token() -> str:
    """64 unpredictable hex digits: a key or a token."""
    return secrets.token_hex(32)


class SystemProcesses:
    """The process table of this machine, read from `/proc`.

    is_alive_elsewhere: decides for an owner whose process table is not visible from here, on another machine or in
    another container. Arguments: run id, owner, whether the kernel is the same.
    """

    def __init__(
        self, is_alive_elsewhere: "Callable[[str, Owner, bool], bool]" = lambda _run_id, _owner, _kernel: True
    ) -> None:
        self._is_alive_elsewhere = is_alive_elsewhere

    def this_process(self) -> "Owner":
        from opslab.model.run.metadata import Owner

        pid = os.getpid()
        return Owner(
            host=socket.gethostname(),
            boot_id=_boot_id(),
            pid=pid,
            process_start=_start_ticks(pid) or 0,
            pid_namespace=_pid_namespace(),
        )

    def is_alive(self, owner: "Owner", run_id: str) -> bool:
        if owner.boot_id == _boot_id():
            if owner.pid_namespace in (None, _pid_namespace()):
                return _start_ticks(owner.pid) == owner.process_start
            return self._is_alive_elsewhere(run_id, owner, True)
        if owner.host == socket.gethostname():
            return False  # this machine was rebooted since
        return self._is_alive_elsewhere(run_id, owner, False)


def _pid_namespace() -> str | None:
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    return None


def _boot_id() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "unknown"


def _start_ticks(pid: int) -> int | None:
    """The kernel's start time of a live process; None when it does not exist or is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def memory_bytes(pid: int | None = None) -> int:
    """Resident memory of a process; by default of this one. Raises OSError when it does not exist."""
    pages = Path(f"/proc/{'self' if pid is None else pid}/statm").read_bytes().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def peak_memory_bytes() -> int:
    """Peak resident memory of this process. That of `getrusage` starts with the peak of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def pause(seconds: float) -> None:
    time.sleep(seconds)


def child_processes(pid: int) -> list[tuple[int, str]]:
    """(pid, command line) of the living children of a process, oldest first."""
    children: list[tuple[int, int, str]] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if int(fields[1]) == pid and fields[0] not in "ZX":
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    children.append((int(fields[19]), int(entry.name), command))
    return [(number, command) for _, number, command in sorted(children)]


def random_hex(size_bytes: int) -> str:
    """Random bytes as hexadecimal digits."""
    return secrets.token_hex(size_bytes)


class StopSignals:
    """Inside the `with` block, SIGINT, SIGTERM and SIGHUP are recorded instead of raised.

    `name` is the name of the first signal, `count` the number of signals. For each signal `announce(name, count)` and
    then `on_signal(count)` run in the main thread, at whatever point its code is.
    """

    NAMES: ClassVar[dict[int, "SignalName"]] = {
        signal.SIGINT: "SIGINT",
        signal.SIGTERM: "SIGTERM",
        signal.SIGHUP: "SIGHUP",
    }

    def __init__(self) -> None:
        self.name: SignalName | None = None
        self.count = 0
        self.announce: Callable[[str, int], None] = lambda _name, _count: None
        self.on_signal: Callable[[int], None] = lambda _count: None
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in self.NAMES:
            self._previous_handlers[number] = signal.signal(number, self._record)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _record(self, number: int, _frame: FrameType | None) -> None:
        self.name = self.name or self.NAMES[number]
        self.count += 1
        self.announce(self.NAMES[number], self.count)
        self.on_signal(self.count)


def raise_on_signals() -> None:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, so that its staged files are removed."""
    for number in StopSignals.NAMES:
        signal.signal(number, _interrupt)


def ignore_signals() -> None:
    """The result is final and printed: a later signal must not change the exit code."""
    for number in StopSignals.NAMES:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """The first signal starts the cleanup; the next one exits immediately, at any point."""
    for number in StopSignals.NAMES:
        signal.signal(number, _exit)
    raise KeyboardInterrupt


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(130)
