"""Send messages twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Fault, FaultTarget, MessageTerms


@asynccontextmanager
async def _inject(target: FaultTarget, terms: MessageTerms) -> AsyncIterator[None]:
    is_selected = terms.selector()

    def duplicated(message: Message) -> list[Message]:
        return [message, message] if is_selected(message) else [message]

    with target.hooks.installed(target.hooks.messages, duplicated):
        yield


FAULT = Fault("duplicate", "sends messages twice", MessageTerms, _inject)
