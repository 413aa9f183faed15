"""A child process of control, engine or venue: start it, read its messages, stop it, classify its end."""

import fcntl
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from opslab.errors import Environment
from opslab.model.messages.engine_messages import LogLevelName
from opslab.model.pipe.messages import Command, ReceivedMessage, decode, encode
from opslab.model.primitives.record import Record
from opslab.model.run.metadata import Failure
from opslab.ports import Clock
from opslab.runs.processes.engine_log import EngineLogCounter
from opslab.settings import child_environment
from opslab.store.logs import BoundedLog
from opslab.system import memory_bytes

ENGINE_COMMAND = (sys.executable, "-P", "-m", "opslab.children.engine")
VENUE_COMMAND = (sys.executable, "-P", "-m", "opslab.children.venue")
STOP_SECONDS = 10.0
"""Time for a child to end its run after a stop request."""
COLLECT_SECONDS = 120.0
"""Time to send its results after that; long, because there may be many orders."""
_POLL_MS = 200
_READ_BYTES = 1 << 18
_SHOWN_BYTES = 60
"""Of an invalid line."""
_PIPE_BYTES = 1 << 20
_LOG_TAIL_BYTES = 64 << 10
_PANIC = re.compile(r"^thread .* panicked at .*$", re.MULTILINE)


class ChildProcess:
    """One child. `messages()` yields what it sends until it ends; then `failure()` classifies its end."""

    def __init__(
        self,
        name: Literal["engine", "venue"],
        plan: Record,
        log: Path,
        clock: Clock,
        command: Sequence[str],
        stop_seconds: float = STOP_SECONDS,
        inherits: Sequence[int] = (),
        log_level: LogLevelName = "debug",
    ) -> None:
        """plan: the first line on its standard input. log: file for its output. stop_seconds: time to end after
        a stop request. inherits: descriptors that stay open in the child. log_level: the lowest of the engine's lines
        that is stored. Raises Environment when the process cannot be started.
        """
        self._name = name
        self._clock = clock
        self._log = log
        self._stored_output = BoundedLog(log)
        self.log_counter = EngineLogCounter(log_level, log.name)
        self._deadline: float | None = None
        self._killed = False
        self._invalid: bytes | None = None
        """The beginning of a line that was no message."""
        self._stop_seconds: float | None = stop_seconds
        """None: no deadline."""
        receiving, sending = os.pipe()
        with suppress(OSError):  # a large pipe: fewer wake-ups on both sides
            fcntl.fcntl(sending, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            self._child = subprocess.Popen(
                [*command, str(sending)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                pass_fds=(sending, *inherits),
                start_new_session=True,
            )
        except OSError as error:
            os.close(receiving)
            self._stored_output.close()
            raise Environment(f"cannot start the {name} process: {error.strerror}") from None
        finally:
            os.close(sending)
        assert self._child.stdout
        self._messages_fd = receiving
        self._output_fd = self._child.stdout.fileno()
        os.set_blocking(self._output_fd, False)
        self._pidfd = os.pidfd_open(self._child.pid)
        self._send_line(plan.model_dump_json().encode())

    def send(self, command: Command) -> None:
        self._send_line(encode(command))

    def _send_line(self, line: bytes) -> None:
        """The pipe stays open: end of file means to the child that control has ended."""
        pipe = self._child.stdin
        assert pipe is not None
        with suppress(BrokenPipeError):  # the child died at once; its exit code and log have the reason
            pipe.write(line + b"\n")
            pipe.flush()

    def stop(self, count: int = 1) -> None:
        """Request the end; the second request, or an expired deadline, kills. Safe in a signal handler."""
        if count > 1:
            self.kill()
            return
        if self._stop_seconds is not None:
            self._deadline = self._clock.monotonic_s() + self._stop_seconds
        self._signal(signal.SIGTERM)

    def remove_deadline(self) -> None:
        """From now on `stop` has no deadline: the caller kills the process by deadlines of its own."""
        self._stop_seconds = self._deadline = None

    def stop_within(self, seconds: float) -> None:
        """As `stop`, with a shorter deadline. Results in transit are still waited for."""
        if self._stop_seconds != COLLECT_SECONDS:
            self._stop_seconds = seconds
        self.stop()

    def wait_for_results(self) -> None:
        """The run has ended and its results are in transit: a stop waits for them."""
        self._stop_seconds = COLLECT_SECONDS
        if self._deadline:
            self._deadline = self._clock.monotonic_s() + COLLECT_SECONDS

    def memory_bytes(self) -> int | None:
        """Resident memory; None when the process has ended."""
        try:
            return memory_bytes(self._child.pid)
        except (OSError, IndexError):
            return None

    def dump_stacks(self) -> None:
        """Have the process print the stack of each thread: for a hanging engine, before it is killed."""
        self._signal(signal.SIGUSR1)

    def kill(self) -> None:
        self._killed = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """By pidfd: never reaches another process that got the pid; no effect after the end."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def messages(self) -> Iterator[list[ReceivedMessage]]:
        """The child's messages in batches as they arrive; an empty batch when nothing arrived for a while.

        Ends with the child, even if a process that the child started keeps its descriptors open.
        """
        poll = select.poll()
        for descriptor in (self._messages_fd, self._output_fd, self._pidfd):
            poll.register(descriptor, select.POLLIN | select.POLLHUP)
        incomplete = b""
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(_POLL_MS)}
            if self._deadline and self._clock.monotonic_s() > self._deadline:
                self.kill()
                self._deadline = None
            if self._output_fd in ready and not self._store_output():
                poll.unregister(self._output_fd)
            if self._messages_fd not in ready:
                if self._pidfd in ready:  # read after its end: nothing more can arrive
                    break
                yield []
                continue
            data = os.read(self._messages_fd, _READ_BYTES)
            if not data:
                break
            *lines, incomplete = (incomplete + data).split(b"\n")
            yield [message for line in lines if (message := self._decoded(line))]
            if self._invalid is not None:
                break

    def _decoded(self, line: bytes) -> ReceivedMessage | None:
        """None for a line that is no message, and for those after it: the child is killed."""
        if self._invalid is None:
            try:
                return decode(line)
            except ValueError:
                self._invalid = line[:_SHOWN_BYTES]
                self.kill()
        return None

    def _store_output(self) -> bool:
        """False at end of file."""
        try:
            data = os.read(self._output_fd, _READ_BYTES)
        except BlockingIOError:
            return True
        self._store(data)
        return bool(data)

    def _store(self, data: bytes) -> None:
        self._stored_output.write(self.log_counter.write(data))

    def close(self) -> None:
        """End the process and everything it started in its session."""
        if not self._ends_within(STOP_SECONDS):
            self.kill()
            self._ends_within(STOP_SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)  # before it is reaped: the number is still its own
        self._child.wait()
        with suppress(BlockingIOError):
            while data := os.read(self._output_fd, _READ_BYTES):
                self._store(data)
        self._stored_output.write(self.log_counter.end())
        self._stored_output.close()
        self.log_counter.add_omitted(self._stored_output.omitted_bytes)
        os.close(self._messages_fd)
        os.close(self._pidfd)
        for pipe in (self._child.stdout, self._child.stdin):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _ends_within(self, seconds: float) -> bool:
        """Wait for the process and keep draining its output, so that it cannot block."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        poll.register(self._output_fd, select.POLLIN)
        deadline = self._clock.monotonic_s() + seconds
        while (remaining_s := deadline - self._clock.monotonic_s()) > 0:
            ready = {descriptor for descriptor, _ in poll.poll(remaining_s * 1000)}
            if self._pidfd in ready:
                return True
            if self._output_fd in ready and not self._store_output():
                poll.unregister(self._output_fd)
        return False

    @property
    def ended_with(self) -> str | None:
        """`exit N` or a signal name; None for exit code 0. After `close`."""
        code: int | None = self._child.returncode
        if not code:
            return None
        return f"exit {code}" if code > 0 else signal.Signals(-code).name

    def failure(self, redact: Callable[[str], str]) -> Failure | None:
        """Why it ended; None for exit code 0. Call after `close`."""
        code = self._child.returncode
        if code == 0 and self._invalid is None:
            return None
        tail = redact(self._tail())
        kind: Literal["engine", "lab"] = "engine" if self._name == "engine" else "lab"
        if self._invalid is not None:
            shown = redact(self._invalid.decode(errors="backslashreplace"))
            message = f"the {self._name} was killed: something else wrote to its pipe to tc: {shown!r}"
            return Failure(kind=kind, message=message, detail=tail)
        panic = _PANIC.search(tail)
        if panic:
            text = tail[panic.start() :].strip()
            return Failure(kind=kind, message=f"the {self._name} panicked: {_headline(text)}", detail=text)
        if code < 0:
            name = signal.Signals(-code).name
            cause = "killed by tc because it did not end" if self._killed else "killed from outside, or out of memory"
            reason = f"({cause})" if code == -signal.SIGKILL else ""
            return Failure(kind=kind, message=f"the {self._name} process died of {name} {reason}".strip(), detail=tail)
        return Failure(kind=kind, message=f"the {self._name} process ended with exit code {code}", detail=tail)

    def _tail(self) -> str:
        with open(self._log, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _LOG_TAIL_BYTES))
            return stream.read().decode(errors="replace")


def _headline(text: str) -> str:
    """The sentence of a panic: the line after `panicked at <location>:`, or that line itself."""
    lines = text.splitlines()
    return " ".join(lines[1:2] or lines[:1]).strip()
