"""A child process of control that was started and has no plan yet: it loads its modules, and waits."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal, Self

from opslab.errors import Environment
from opslab.settings import child_environment

ChildName = Literal["engine", "venue"]

ENGINE_COMMAND = (sys.executable, "-P", "-m", "opslab.children.engine")
VENUE_COMMAND = (sys.executable, "-P", "-m", "opslab.children.venue")
_PIPE_BYTES = 1 << 20


class StartedProcess:
    """Process and pipes. `ChildProcess` takes it over; otherwise `discard` ends it."""

    def __init__(self, name: ChildName, command: Sequence[str], inherits: Sequence[int] = ()) -> None:
        """inherits: descriptors that stay open in the child. Raises Environment when it cannot be started."""
        self.name = name
        self.messages_fd, sending = os.pipe()
        with suppress(OSError):  # a large pipe: fewer wake-ups on both sides
            fcntl.fcntl(sending, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            self.process = subprocess.Popen(
                [*command, str(sending)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                pass_fds=(sending, *inherits),
                start_new_session=True,
            )
        except OSError as error:
            os.close(self.messages_fd)
            raise Environment(f"cannot start the {name} process: {error.strerror}") from None
        finally:
            os.close(sending)

    def discard(self) -> None:
        """Kill it: it was not needed."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.messages_fd)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


class EngineAhead:
    """An engine that is started while its run is being planned. A context manager: it ends one that was not taken."""

    def __init__(self, command: Sequence[str] = ENGINE_COMMAND) -> None:
        self._command = command
        self._started: StartedProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        if self._started is not None:
            self._started.discard()
            self._started = None

    def begin(self) -> None:
        """Without effect when it cannot be started: `take` tries again."""
        with suppress(Environment):
            self._started = self._started or StartedProcess("engine", self._command)

    def take(self) -> StartedProcess:
        """Raises Environment when it cannot be started."""
        started, self._started = self._started, None
        return started or StartedProcess("engine", self._command)
