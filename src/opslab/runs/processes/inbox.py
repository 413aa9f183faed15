"""One queue for the messages of a run's children and for other events, in order of arrival."""

import queue
import threading
from collections.abc import Mapping
from typing import Any

from opslab.runs.processes.child_process import ChildProcess

Messages = list[dict[str, Any]]


class Inbox:
    """One reader thread per child; a single consumer."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[str, Messages | None]] = queue.SimpleQueue()
        self._threads: dict[str, threading.Thread] = {}

    def register(self, source: str, child: ChildProcess) -> None:
        thread = threading.Thread(target=self._read, args=(source, child), name=f"inbox {source}", daemon=True)
        self._threads[source] = thread
        thread.start()

    def put(self, source: str, message: Mapping[str, Any]) -> None:
        """Safe in a signal handler."""
        self._queue.put((source, [dict(message)]))

    def receive(self, seconds: float) -> tuple[str, Messages | None] | None:
        """(source, messages); messages is None once, last, when the child has ended. None: nothing arrived in time."""
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
                    self._queue.put((source, messages))
        finally:
            self._queue.put((source, None))
