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

    def listen(self, who: str, child: ChildProcess) -> None:
        thread = threading.Thread(target=self._listen, args=(who, child), name=f"inbox {who}", daemon=True)
        self._threads[who] = thread
        thread.start()

    def put(self, who: str, frame: Mapping[str, Any]) -> None:
        """Safe in a signal handler."""
        self._queue.put((who, [dict(frame)]))

    def take(self, seconds: float) -> tuple[str, Messages | None] | None:
        """(who, what); what is None once and last, when the child has ended. None: nothing came in time."""
        try:
            return self._queue.get(timeout=seconds)
        except queue.Empty:
            return None

    def leave(self, who: str) -> None:
        """Wait until nobody reads from that child any more, so that it can be closed. It must have ended."""
        thread = self._threads.pop(who, None)
        if thread:
            thread.join()

    def _listen(self, who: str, child: ChildProcess) -> None:
        try:
            for frames in child.frames():
                if frames:
                    self._queue.put((who, frames))
        finally:
            self._queue.put((who, None))
