"""What the children of a run say, and what happens besides, in one place and in the order it came."""

import queue
import threading
from collections.abc import Mapping
from typing import Any

from opslab.runs.processes.child_process import ChildProcess

Messages = list[dict[str, Any]]


class Inbox:
    """Each child is listened to by a thread of its own; everything is taken from here by one."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[str, Messages | None]] = queue.SimpleQueue()
        self._threads: dict[str, threading.Thread] = {}

    def listen(self, source: str, child: ChildProcess) -> None:
        thread = threading.Thread(target=self._listen, args=(source, child), name=f"inbox {source}", daemon=True)
        self._threads[source] = thread
        thread.start()

    def put(self, source: str, message: Mapping[str, Any]) -> None:
        """Safe in a signal handler."""
        self._queue.put((source, [dict(message)]))

    def take(self, seconds: float) -> tuple[str, Messages | None] | None:
        """(who, what); what is None once and last, when the child has ended. None: nothing came in time."""
        try:
            return self._queue.get(timeout=seconds)
        except queue.Empty:
            return None

    def leave(self, source: str) -> None:
        """Wait until nobody reads from that child any more, so that it can be closed. It must have ended."""
        thread = self._threads.pop(source, None)
        if thread:
            thread.join()

    def _listen(self, source: str, child: ChildProcess) -> None:
        try:
            for messages in child.messages():
                if messages:
                    self._queue.put((source, messages))
        finally:
            self._queue.put((source, None))
