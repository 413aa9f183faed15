"""One fresh process, measured by the kernel.

The measuring process stays small, and imports the standard library only: the peak memory of a child, as counted by the
kernel, starts with the memory of its parent at the fork.
"""

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

POLL_MS = 10
_MAX_SECONDS = 1800.0


class MeasurementError(Exception):
    """A measured program failed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Cost of one process, its children included. `own_peak_bytes`: without them; None unless it was watched."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    own_peak_bytes: int | None
    output: str


def run(command: Sequence[str | Path], work: Path, *, watch: bool = False) -> Sample:
    """Run to the end in `work`. Raises MeasurementError for any exit code but 0.

    watch: also sample the process's own peak memory, every 10 ms; growth in its last 10 ms is missed.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started_s = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=work, env=_environment(os.environ), stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
        own_peak_bytes = _wait(child, watch)
        _, status, usage = os.wait4(child.pid, 0)
        wall_seconds = time.perf_counter() - started_s
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise MeasurementError(
                f"{_command_text(command)} ended with {child.returncode}: {_last_line(_text(errors))}"
            )
        return Sample(
            wall_seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, own_peak_bytes, _text(output)
        )


def _wait(child: subprocess.Popen[bytes], watch: bool) -> int | None:
    """Wait for the end of the process, without reaping it. Returns the highest sampled own peak."""
    peak_bytes: int | None = None
    descriptor = os.pidfd_open(child.pid)
    try:
        end_poll = select.poll()
        end_poll.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + _MAX_SECONDS
        while not end_poll.poll(POLL_MS if watch else _MAX_SECONDS * 1000):
            peak_bytes = _peak(child.pid) or peak_bytes
            if time.monotonic() > deadline:
                child.kill()
    except BaseException:
        child.send_signal(signal.SIGTERM)
        child.wait()
        raise
    finally:
        os.close(descriptor)
    return peak_bytes


def _peak(pid: int) -> int | None:
    """VmHWM in bytes; None after the process released its memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Environment without variables that configure the lab or Python."""
    return {name: value for name, value in inherited.items() if not name.startswith(("TC_", "PYTHON"))}


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"


def _command_text(command: Sequence[str | Path]) -> str:
    return " ".join([Path(command[0]).name, *(str(argument) for argument in command[1:])])[:160]
