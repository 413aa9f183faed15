"""Word of a fill comes later, behind what happened after it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Message
from opslab.venue.faults.delay_queue import DelayQueues
from opslab.venue.faults.fault import Fault, Milliseconds, FaultTarget, is_fill


class Terms(Record):
    ms: Milliseconds = Field(default=2_000, description="how much later")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    lanes = DelayQueues(target.hooks)

    def late(message: Message) -> list[Message]:
        return lanes.hold(message, terms.ms / 1000) if is_fill(message) else [message]

    with lanes.behind(late):
        yield


FAULT = Fault("late-fill", "word of a fill comes later, behind what happened after it", Terms, _hold)
