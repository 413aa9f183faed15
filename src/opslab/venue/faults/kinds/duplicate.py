"""Messages come twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Fault, MessageTerms, FaultTarget


@asynccontextmanager
async def _hold(target: FaultTarget, terms: MessageTerms) -> AsyncIterator[None]:
    meant = terms.selector()

    def twice(message: Message) -> list[Message]:
        return [message, message] if meant(message) else [message]

    with target.hooks.held(target.hooks.messages, twice):
        yield


FAULT = Fault("duplicate", "messages come twice", MessageTerms, _hold)
