"""Drop order-book changes, so that the id chain of a depth stream breaks."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Message, Receiver
from opslab.venue.faults.fault import Count, Fault, FaultTarget


class Terms(Record):
    count: Count = Field(default=1, description="number of pushes to drop, per depth stream and connection")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    counts: WeakKeyDictionary[Receiver, Counter[str]] = WeakKeyDictionary()

    def dropped(message: Message) -> list[Message]:
        if '"e":"depthUpdate"' not in message.text:
            return [message]
        streams = counts.setdefault(message.receiver, Counter())
        streams[message.stream] += 1
        return [] if streams[message.stream] <= terms.count else [message]

    with target.hooks.installed(target.hooks.messages, dropped):
        yield


FAULT = Fault("depth-gap", "drops `count` pushes of each depth stream: their id chain breaks", Terms, _inject)
