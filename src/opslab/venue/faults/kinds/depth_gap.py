"""Changes of the book are lost, so that the chain of a depth stream breaks."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Message, Receiver
from opslab.venue.faults.fault import Count, Fault, FaultTarget


class Terms(Record):
    count: Count = Field(default=1, description="pushes of each depth stream to lose, on each connection")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    lost: WeakKeyDictionary[Receiver, Counter[str]] = WeakKeyDictionary()

    def gap(message: Message) -> list[Message]:
        if '"e":"depthUpdate"' not in message.text:
            return [message]
        streams = lost.setdefault(message.to, Counter())
        streams[message.stream] += 1
        return [] if streams[message.stream] <= terms.count else [message]

    with target.hooks.held(target.hooks.messages, gap):
        yield


FAULT = Fault("depth-gap", "pushes of depth streams are lost: their chain of ids breaks", Terms, _hold)
