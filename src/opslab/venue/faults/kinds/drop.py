"""So many messages are lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Count, Fault, MessageTerms, FaultTarget


class Terms(MessageTerms):
    count: Count = Field(default=1, description="messages to lose")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    meant, left = terms.selector(), terms.count

    def lost(message: Message) -> list[Message]:
        nonlocal left
        if left and meant(message):
            left -= 1
            return []
        return [message]

    with target.hooks.held(target.hooks.messages, lost):
        yield


FAULT = Fault("drop", "so many messages are lost", Terms, _hold)
