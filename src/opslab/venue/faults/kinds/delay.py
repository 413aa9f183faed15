"""Delay messages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.delay_queue import DelayQueues
from opslab.venue.faults.fault import Fault, FaultTarget, MessageTerms, Milliseconds


class Terms(MessageTerms):
    ms: Milliseconds = Field(default=500, description="delay in milliseconds")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    is_selected, queues = terms.selector(), DelayQueues(target.hooks)

    def delayed(message: Message) -> list[Message]:
        return queues.delay(message, terms.ms / 1000 if is_selected(message) else 0.0)

    with queues.installed(delayed):
        yield


FAULT = Fault("delay", "delays messages by `ms`; their order on a connection is kept", Terms, _inject)
