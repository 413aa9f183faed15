"""The process of a run that a drill makes: start it, signal it and its children, wait."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from opslab.errors import Environment
from opslab.model.messages.drill_messages import DrillRunPlan
from opslab.settings import child_environment
from opslab.system import child_processes

RUN_COMMAND = (sys.executable, "-P", "-m", "opslab.children.drill_run")
_MODULES = {"engine": "opslab.children.engine", "venue": "opslab.children.venue"}
_OUTPUT_BYTES = 64 << 10


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

    def send_signal(self, process: Literal["engine", "venue", "control"], action: Literal["kill", "stop"]) -> None:
        """Raises Environment when the run has no such process."""
        number = signal.SIGKILL if action == "kill" else signal.SIGSTOP
        if process == "control":
            self._signal_own(number)
            return
        pids = [pid for pid, command in child_processes(self._process.pid) if _MODULES[process] in command]
        if not pids:
            raise Environment(f"the run has no {process} process")
        for pid in pids[-1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

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
