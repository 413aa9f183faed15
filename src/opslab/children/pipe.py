"""Send messages to control as JSON lines on a descriptor, from a bounded queue by a thread of its own."""

import os
import queue
import threading
import time

from opslab.model.pipe.messages import Message, encode

CAPACITY = 16_384
_BATCH = 4_096
"""Messages per write. Large, because for each write the thread must wait until the engine releases the interpreter."""
_FULL_SECONDS = 0.001


class MessagePipe:
    """Implements `ports.MessageSink` on a file descriptor. After its reader has closed it, messages are discarded."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_batches, name="messages", daemon=True)
        self.dropped = 0
        self.reader_closed = threading.Event()
        self._thread.start()

    def send(self, message: Message) -> None:
        """Deliver in order; wait while the queue is full."""
        while self._queue.qsize() >= CAPACITY and not self.reader_closed.is_set():
            time.sleep(_FULL_SECONDS)
        self._queue.put(message)

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
            messages = [self._queue.get()]
            while len(messages) < _BATCH and not self._queue.empty():
                messages.append(self._queue.get())
            is_closing = None in messages
            lines = [encode(message) for message in messages if message is not None]
            self._write(memoryview(b"\n".join([*lines, b""])))

    def _write(self, data: memoryview) -> None:
        while data and not self.reader_closed.is_set():
            try:
                data = data[os.write(self._descriptor, data) :]
            except BrokenPipeError:
                self.reader_closed.set()
