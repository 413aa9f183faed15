"""Send messages to control as JSON lines on a descriptor, from a bounded queue by a thread of its own."""

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from opslab.model.pipe.messages import Message, encode, encode_order_event
from opslab.model.run.metadata import Failure

CAPACITY = 16_384
_BATCH = 4_096
"""Messages per write. Large, because for each write the thread must wait until the engine releases the interpreter."""
_FULL_SECONDS = 0.001

_Payload = Callable[[Any], Mapping[str, Any]]
_Queued = Message | tuple[_Payload, Any]
"""A message, or how to make the payload of an order event, and the event."""


class MessagePipe:
    """Implements `ports.MessageSink` on a file descriptor. After its reader has closed it, messages are discarded."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_batches, name="messages", daemon=True)
        self.dropped = 0
        self.reader_closed = threading.Event()
        self._thread.start()

    def send(self, message: Message) -> None:
        """Deliver in order; wait while the queue is full."""
        self._put(message)

    def send_order_event(self, event: Any, payload: _Payload) -> None:
        """As `send`. `payload` is called by the writer's thread, for many events in a row.

        On the engine's thread, between two steps of the engine, the same calls cost twice as much (measured).
        """
        self._put((payload, event))

    def _put(self, queued: _Queued) -> None:
        while self._queue.qsize() >= CAPACITY and not self.reader_closed.is_set():
            time.sleep(_FULL_SECONDS)
        self._queue.put(queued)

    def offer(self, message: Message) -> None:
        """Deliver unless the queue is more than half full; then count the message as dropped."""
        if self._queue.qsize() > CAPACITY // 2:
            self.dropped += 1
            return
        self._queue.put(message)

    def close(self) -> None:
        """Returns when all sent messages are written."""
        self._queue.put(None)
        self._thread.join()
        os.close(self._descriptor)

    def _write_batches(self) -> None:
        is_closing = False
        while not is_closing:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            is_closing = any(queued is None for queued in batch)
            lines = [_line(queued) for queued in batch if queued is not None]
            self._write(memoryview(b"\n".join([*lines, b""])))

    def _write(self, data: memoryview) -> None:
        while data and not self.reader_closed.is_set():
            try:
                data = data[os.write(self._descriptor, data) :]
            except BrokenPipeError:
                self.reader_closed.set()


def _line(queued: _Queued) -> bytes:
    try:
        if isinstance(queued, tuple):
            payload, event = queued
            return encode_order_event(payload(event))
        return encode(queued)
    except Exception as error:  # noqa: BLE001  (the message is lost: the run must not end as if it were not)
        return encode(Failure(kind="lab", message=f"a message could not be encoded: {type(error).__name__}: {error}"))
