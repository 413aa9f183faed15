"""Drop messages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Count, Fault, FaultTarget, MessageTerms


class Terms(MessageTerms):
    count: Count = Field(default=1, description="number of messages to drop")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    is_selected, remaining = terms.selector(), terms.count

    def dropped(message: Message) -> list[Message]:
        nonlocal remaining
        if remaining and is_selected(message):
            remaining -= 1
            return []
        return [message]

    with target.hooks.installed(target.hooks.messages, dropped):
        yield


FAULT = Fault("drop", "drops `count` messages", Terms, _inject)
