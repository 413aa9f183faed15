"""Neighbouring messages change places."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.fault_hooks import Message, Receiver
from opslab.venue.faults.fault import Fault, MessageTerms, FaultTarget


@asynccontextmanager
async def _hold(target: FaultTarget, terms: MessageTerms) -> AsyncIterator[None]:
    meant = terms.selector()
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

    with target.hooks.held(target.hooks.messages, swapped):
        try:
            yield
        finally:
            for message in waiting.values():
                target.hooks.resume(message, swapped)


FAULT = Fault("reorder", "neighbouring messages of a stream change places", MessageTerms, _hold)
