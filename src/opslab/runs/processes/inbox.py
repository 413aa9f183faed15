"""One queue for the messages of a run's children and for other events, in order of arrival."""

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from opslab.killswitch.state import Switch
from opslab.model.pipe.messages import ReceivedMessage
from opslab.runs.processes.child_process import ChildProcess


@dataclass(frozen=True, slots=True)
class FromChild:
    source: str
    messages: Sequence[ReceivedMessage]


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """Once, last: nothing more comes from this child."""

    source: str


@dataclass(frozen=True, slots=True)
class Signaled:
    """Control received a signal."""

    count: int
    """Number of signals so far."""


@dataclass(frozen=True, slots=True)
class SwitchSeen:
    """The kill switch is active."""

    switch: Switch


Incoming = FromChild | ChildEnded | Signaled | SwitchSeen


class Inbox:
    """One reader thread per child; a single consumer."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Incoming] = queue.SimpleQueue()
        self._threads: dict[str, threading.Thread] = {}

    def register(self, source: str, child: ChildProcess) -> None:
        thread = threading.Thread(target=self._read, args=(source, child), name=f"inbox {source}", daemon=True)
        self._threads[source] = thread
        thread.start()

    def put(self, incoming: Incoming) -> None:
        """Safe in a signal handler."""
        self._queue.put(incoming)

    def receive(self, seconds: float) -> Incoming | None:
        """None: nothing arrived in time."""
        try:
            return self._queue.get(timeout=seconds)
        except queue.Empty:
            return None

    def unregister(self, source: str) -> None:
        """Wait for the child's reader thread to end, so that the child can be closed. The child must have ended."""
        thread = self._threads.pop(source, None)
        if thread:
            thread.join()

    def _read(self, source: str, child: ChildProcess) -> None:
        try:
            for messages in child.messages():
                if messages:
                    self._queue.put(FromChild(source, messages))
        finally:
            self._queue.put(ChildEnded(source))
