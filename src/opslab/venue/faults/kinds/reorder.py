"""Swap neighbouring messages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.fault_hooks import Message, Receiver
from opslab.venue.faults.fault import Fault, FaultTarget, MessageTerms


@asynccontextmanager
async def _inject(target: FaultTarget, terms: MessageTerms) -> AsyncIterator[None]:
    is_selected = terms.selector()
    waiting: dict[tuple[Receiver, str], Message] = {}

    def swapped(message: Message) -> list[Message]:
        """Hold a message back until the next one of its stream to the same client has been sent."""
        key = (message.receiver, message.stream)
        previous = waiting.pop(key, None)
        if previous is not None:
            return [message, previous]
        if message.stream and is_selected(message):
            waiting[key] = message
            return []
        return [message]

    with target.hooks.installed(target.hooks.messages, swapped):
        try:
            yield
        finally:
            for message in waiting.values():
                target.hooks.resume(message, swapped)


FAULT = Fault("reorder", "swaps neighbouring messages of a stream", MessageTerms, _inject)
