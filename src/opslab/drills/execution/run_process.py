"""The process of a run that a drill makes: start it, signal it and its children, wait."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from opslab.errors import Environment
from opslab.model.messages.drill_messages import DrillRunPlan
from opslab.settings import child_environment
from opslab.system import child_processes, pause

RUN_COMMAND = (sys.executable, "-P", "-m", "opslab.children.drill_run")
_MODULES = {"engine": "opslab.children.engine", "venue": "opslab.children.venue"}
_OUTPUT_BYTES = 64 << 10
_DELIVERY_SECONDS = 1.0
"""Time for the kernel to deliver a signal."""
_DELIVERY_POLL_SECONDS = 0.002


class RunProcess:
    """One run. Its standard input is its life-line: the run is stopped when this process ends, however it ends."""

    def __init__(self, plan: DrillRunPlan, command: Sequence[str]) -> None:
        """Raises Environment when no process can be started."""
        self._is_stopping = False
        self._output = os.memfd_create("drill-run")
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=self._output,
                env=child_environment(),
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._output)
            raise Environment(f"cannot start the run's process: {error.strerror}") from None
        self._pidfd = os.pidfd_open(self._process.pid)
        self._stopped: list[int] = []
        """Pidfds of processes that were stopped."""
        pipe = self._process.stdin
        assert pipe
        with suppress(BrokenPipeError):
            pipe.write(plan.model_dump_json().encode() + b"\n")
            pipe.flush()

    def wait(self, seconds: float) -> bool:
        """Wait for its end, at most so long; whether it has ended."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def stop(self) -> None:
        """Request its end, once: a second signal would kill its engine."""
        if not self._is_stopping:
            self._is_stopping = True
            self._signal_own(signal.SIGTERM)

    def send_signal(self, process: Literal["engine", "venue", "control"], action: Literal["kill", "stop"]) -> bool:
        """Whether the process is then dead, or stopped. Raises Environment when the run has no such process."""
        number = signal.SIGKILL if action == "kill" else signal.SIGSTOP
        if process == "control":
            self._signal_own(number)
            return self.wait(_DELIVERY_SECONDS) if action == "kill" else _is_in_state(self._process.pid, "T")
        pids = [pid for pid, command in child_processes(self._process.pid) if _MODULES[process] in command]
        if not pids:
            raise Environment(f"the run has no {process} process")
        with suppress(ProcessLookupError):
            if action == "stop":
                self._stopped.append(os.pidfd_open(pids[-1]))
            os.kill(pids[-1], number)
        return _is_in_state(pids[-1], "ZX" if action == "kill" else "T")

    def resume(self) -> None:
        """Let stopped processes go on, if they still exist."""
        while self._stopped:
            descriptor = self._stopped.pop()
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGCONT)
            os.close(descriptor)

    def _signal_own(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def close(self) -> int | None:
        """After its end. Its exit code; None when a signal ended it."""
        code = self._process.wait()
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        os.close(self._pidfd)
        return code if code >= 0 else None

    def output(self) -> str:
        """The end of what it printed."""
        size = os.fstat(self._output).st_size
        return os.pread(self._output, _OUTPUT_BYTES, max(0, size - _OUTPUT_BYTES)).decode(errors="replace").strip()


def _is_in_state(pid: int, states: str) -> bool:
    """Wait until a process is in one of these states of the kernel. One that was reaped is dead."""
    for _ in range(round(_DELIVERY_SECONDS / _DELIVERY_POLL_SECONDS)):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return "X" in states
        if stat.rpartition(")")[2].split()[0] in states:
            return True
        pause(_DELIVERY_POLL_SECONDS)
    return False
