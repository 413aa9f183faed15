"""Send nothing on open connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.venue.fault_hooks import ConnectionKind, Message
from opslab.venue.faults.fault import Fault, FaultTarget, MessageTerms


class Terms(MessageTerms):
    pongs: bool = Field(default=True, description="whether pings are still answered")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    is_selected = terms.selector()

    def suppressed(message: Message) -> list[Message]:
        return [] if is_selected(message) else [message]

    def mute(kind: ConnectionKind) -> bool:
        return not terms.pongs and terms.which in ("all", kind)

    with target.hooks.installed(target.hooks.messages, suppressed), target.hooks.installed(target.hooks.mute, mute):
        yield


FAULT = Fault("silence", "sends nothing on connections that stay open, or on one stream", Terms, _inject)
