"""Messages come twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Fault, OfMessages, FaultTarget


@asynccontextmanager
async def _hold(target: FaultTarget, terms: OfMessages) -> AsyncIterator[None]:
    meant = terms.chooser()

    def twice(message: Message) -> list[Message]:
        return [message, message] if meant(message) else [message]

    with target.hooks.held(target.hooks.messages, twice):
        yield


FAULT = Fault("duplicate", "messages come twice", OfMessages, _hold)
