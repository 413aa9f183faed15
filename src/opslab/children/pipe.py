"""The way up: frames as JSON lines on a descriptor, written by a thread of their own from a bounded queue."""

import os
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

CAPACITY = 16_384
_BATCH = 4_096
"""Frames written at once. Large, because the thread must wait for the engine to let go of the interpreter each time."""
_FULL_SECONDS = 0.001


class MessagePipe:
    """Implements `ports.Frames` on a file descriptor. Ends quietly when the reader is gone; `gone` says so."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="frames", daemon=True)
        self.dropped = 0
        self.gone = threading.Event()
        self._thread.start()

    def send(self, frame: Mapping[str, Any]) -> None:
        """Deliver in order; waits while the queue is full."""
        while self._queue.qsize() >= CAPACITY and not self.gone.is_set():
            time.sleep(_FULL_SECONDS)
        self._queue.put(frame)

    def offer(self, frame: Mapping[str, Any]) -> None:
        """Deliver unless the queue is more than half full; then count it."""
        if self._queue.qsize() > CAPACITY // 2:
            self.dropped += 1
            return
        self._queue.put(frame)

    def close(self) -> None:
        """Everything sent is written when this returns."""
        self._queue.put(None)
        self._thread.join()
        os.close(self._descriptor)

    def _write(self) -> None:
        ended = False
        while not ended:
            messages = [self._queue.get()]
            while len(messages) < _BATCH and not self._queue.empty():
                messages.append(self._queue.get())
            ended = None in messages
            lines = [to_json(frame) for frame in messages if frame is not None]
            self._put(memoryview(b"\n".join([*lines, b""])))

    def _put(self, data: memoryview) -> None:
        while data and not self.gone.is_set():
            try:
                data = data[os.write(self._descriptor, data) :]
            except BrokenPipeError:
                self.gone.set()
