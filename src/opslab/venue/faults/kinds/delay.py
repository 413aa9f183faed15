"""Messages come later."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.delay_queue import DelayQueues
from opslab.venue.faults.fault import Fault, Milliseconds, MessageTerms, FaultTarget


class Terms(MessageTerms):
    ms: Milliseconds = Field(default=500, description="how much later")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    meant, lanes = terms.selector(), DelayQueues(target.hooks)

    def later(message: Message) -> list[Message]:
        return lanes.hold(message, terms.ms / 1000 if meant(message) else 0.0)

    with lanes.behind(later):
        yield


FAULT = Fault("delay", "messages come so much later; those of one connection keep their order", Terms, _hold)
