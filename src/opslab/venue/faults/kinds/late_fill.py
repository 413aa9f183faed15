"""Delay fill notifications past later messages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Message
from opslab.venue.faults.delay_queue import DelayQueues
from opslab.venue.faults.fault import Fault, FaultTarget, Milliseconds, is_fill


class Terms(Record):
    ms: Milliseconds = Field(default=2_000, description="delay in milliseconds")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    queues = DelayQueues(target.hooks)

    def delayed(message: Message) -> list[Message]:
        return queues.delay(message, terms.ms / 1000) if is_fill(message) else [message]

    with queues.installed(delayed):
        yield


FAULT = Fault("late-fill", "delays fill notifications by `ms`: they arrive after later messages", Terms, _inject)
