"""Messages arrive as something that is no JSON."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import Field

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Fault, MessageTerms, FaultTarget


class Terms(MessageTerms):
    text: Annotated[str, Field(max_length=10_000)] = Field(default='{"e":"bookTicker",', description="what arrives")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    meant = terms.selector()

    def garbled(message: Message) -> list[Message]:
        return [message.with_text(terms.text)] if meant(message) else [message]

    with target.hooks.held(target.hooks.messages, garbled):
        yield


FAULT = Fault("garbage", "messages arrive as half a JSON document, or as any text", Terms, _hold)
