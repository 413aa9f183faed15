"""Bounded queues for messages that a fault delays. Order is kept; all messages are released when the fault ends."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opslab.venue.fault_hooks import FaultHooks, Message, MessageHook, Receiver

MAX_DELAYED_BYTES = 64 << 20
"""Per connection; a connection with more delayed bytes is reset."""


@dataclass(slots=True)
class _DelayQueue:
    waiting: deque[tuple[float, Message]] = field(default_factory=deque)
    """(loop time at which it is due, message)."""
    size_bytes: int = 0
    timer: asyncio.TimerHandle | None = None


class DelayQueues:
    """One queue per connection. A released message goes on to the faults that started later, then to the client."""

    def __init__(self, hooks: FaultHooks) -> None:
        self._hooks = hooks
        self._queues: dict[Receiver, _DelayQueue] = {}

    @contextmanager
    def installed(self, hook: MessageHook) -> Iterator[None]:
        """Keep the hook installed while the block lasts; then release every delayed message."""
        self._hook = hook
        with self._hooks.installed(self._hooks.messages, hook):
            try:
                yield
            finally:
                for queue in list(self._queues.values()):
                    self._release(queue, until=None)

    def delay(self, message: Message, seconds: float) -> list[Message]:
        """The result for a hook to return: the message itself when it need not wait, else nothing.

        A message with less delay does not overtake an earlier one of its connection.
        """
        queue = self._queues.get(message.receiver)
        if queue is None:
            if seconds <= 0:
                return [message]
            queue = self._queues[message.receiver] = _DelayQueue()
        loop = asyncio.get_running_loop()
        last_due = queue.waiting[-1][0] if queue.waiting else 0.0
        queue.waiting.append((max(last_due, loop.time() + seconds), message))
        queue.size_bytes += len(message.text)
        if queue.size_bytes > MAX_DELAYED_BYTES:
            self._discard(message.receiver)
            message.receiver.drop("too many delayed bytes")
        elif queue.timer is None:
            self._schedule(queue)
        return []

    def _schedule(self, queue: _DelayQueue) -> None:
        loop = asyncio.get_running_loop()
        queue.timer = loop.call_at(queue.waiting[0][0], self._release_due, queue)

    def _release_due(self, queue: _DelayQueue) -> None:
        self._release(queue, until=queue.waiting[0][0])

    def _release(self, queue: _DelayQueue, until: float | None) -> None:
        if queue.timer:
            queue.timer.cancel()
            queue.timer = None
        receiver = queue.waiting[0][1].receiver
        while queue.waiting and (until is None or queue.waiting[0][0] <= until):
            _, message = queue.waiting.popleft()
            queue.size_bytes -= len(message.text)
            self._hooks.resume(message, self._hook)
        if queue.waiting:
            self._schedule(queue)
        else:
            self._discard(receiver)

    def _discard(self, receiver: Receiver) -> None:
        queue = self._queues.pop(receiver, None)
        if queue and queue.timer:
            queue.timer.cancel()
