"""Replace messages by a text that is not JSON."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import Field

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Fault, FaultTarget, MessageTerms


class Terms(MessageTerms):
    text: Annotated[str, Field(max_length=10_000)] = Field(
        default='{"e":"bookTicker",', description="text sent instead"
    )


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    is_selected = terms.selector()

    def replaced(message: Message) -> list[Message]:
        return [message.with_text(terms.text)] if is_selected(message) else [message]

    with target.hooks.installed(target.hooks.messages, replaced):
        yield


FAULT = Fault("garbage", "replaces messages by half a JSON document, or by any text", Terms, _inject)
