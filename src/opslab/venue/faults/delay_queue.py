"""Messages that a fault holds back: in their order, bounded, and all of them let go when it is over."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opslab.venue.fault_hooks import Message, MessageHook, Receiver, FaultHooks

MAX_BYTES = 64 << 20
"""What may wait for one connection; one for which more waits is let go."""


@dataclass(slots=True)
class _Lane:
    waiting: deque[tuple[float, Message]] = field(default_factory=deque)
    """With when each is due, by the loop's clock."""
    size_bytes: int = 0
    timer: asyncio.TimerHandle | None = None


class DelayQueues:
    """One for each connection. What leaves a lane goes on to the faults that began later, and then to the client."""

    def __init__(self, hooks: FaultHooks) -> None:
        self._hooks = hooks
        self._lanes: dict[Receiver, _Lane] = {}

    @contextmanager
    def behind(self, hook: MessageHook) -> Iterator[None]:
        """The hook is held while the block lasts; then nothing is held back any more."""
        self._hook = hook
        with self._hooks.held(self._hooks.messages, hook):
            try:
                yield
            finally:
                for lane in list(self._lanes.values()):
                    self._let_go(lane, until=None)

    def hold(self, message: Message, seconds: float) -> list[Message]:
        """For a hook to return: the message itself when it need not wait. None overtakes another in its lane."""
        lane = self._lanes.get(message.to)
        if lane is None:
            if seconds <= 0:
                return [message]
            lane = self._lanes[message.to] = _Lane()
        loop = asyncio.get_running_loop()
        last = lane.waiting[-1][0] if lane.waiting else 0.0
        lane.waiting.append((max(last, loop.time() + seconds), message))
        lane.size_bytes += len(message.text)
        if lane.size_bytes > MAX_BYTES:
            self._forget(message.to)
            message.to.drop("too much was held back")
        elif lane.timer is None:
            self._wake(lane)
        return []

    def _wake(self, lane: _Lane) -> None:
        loop = asyncio.get_running_loop()
        lane.timer = loop.call_at(lane.waiting[0][0], self._let_go_due, lane)

    def _let_go_due(self, lane: _Lane) -> None:
        self._let_go(lane, until=lane.waiting[0][0])

    def _let_go(self, lane: _Lane, until: float | None) -> None:
        if lane.timer:
            lane.timer.cancel()
            lane.timer = None
        receiver = lane.waiting[0][1].to
        while lane.waiting and (until is None or lane.waiting[0][0] <= until):
            _, message = lane.waiting.popleft()
            lane.size_bytes -= len(message.text)
            self._hooks.resume(message, self._hook)
        if lane.waiting:
            self._wake(lane)
        else:
            self._forget(receiver)

    def _forget(self, receiver: Receiver) -> None:
        lane = self._lanes.pop(receiver, None)
        if lane and lane.timer:
            lane.timer.cancel()
