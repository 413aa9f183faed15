"""Messages come twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Fault, OfMessages, Stage


@asynccontextmanager
async def _hold(stage: Stage, terms: OfMessages) -> AsyncIterator[None]:
    meant = terms.chooser()

    def twice(message: Message) -> list[Message]:
        return [message, message] if meant(message) else [message]

    with stage.seams.held(stage.seams.messages, twice):
        yield


FAULT = Fault("duplicate", "messages come twice", OfMessages, _hold)
