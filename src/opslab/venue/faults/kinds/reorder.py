"""Neighbouring messages change places."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.fault_hooks import Message, Receiver
from opslab.venue.faults.fault import Fault, OfMessages, Stage


@asynccontextmanager
async def _hold(stage: Stage, terms: OfMessages) -> AsyncIterator[None]:
    meant = terms.chooser()
    waiting: dict[tuple[Receiver, str], Message] = {}

    def swapped(message: Message) -> list[Message]:
        """Held back until the next of its stream to the same client, which goes first."""
        place = (message.to, message.stream)
        before = waiting.pop(place, None)
        if before is not None:
            return [message, before]
        if message.stream and meant(message):
            waiting[place] = message
            return []
        return [message]

    with stage.seams.held(stage.seams.messages, swapped):
        try:
            yield
        finally:
            for message in waiting.values():
                stage.seams.send_on(message, swapped)


FAULT = Fault("reorder", "neighbouring messages of a stream change places", OfMessages, _hold)
