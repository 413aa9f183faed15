"""Messages come later, each by another time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.delay_queue import DelayQueues
from opslab.venue.faults.fault import Fault, Milliseconds, MessageTerms, FaultTarget


class Terms(MessageTerms):
    ms: Milliseconds = Field(default=200, description="at most how much later")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    meant, dice, lanes = terms.selector(), terms.dice("jitter"), DelayQueues(target.hooks)

    def later(message: Message) -> list[Message]:
        return lanes.hold(message, dice(message) * terms.ms / 1000 if meant(message) else 0.0)

    with lanes.behind(later):
        yield


FAULT = Fault("jitter", "messages come later by a random time; those of one connection keep their order", Terms, _hold)
