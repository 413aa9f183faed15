"""Connections stay open, and nothing is said."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.venue.fault_hooks import ConnectionKind, Message
from opslab.venue.faults.fault import Fault, MessageTerms, FaultTarget


class Terms(MessageTerms):
    pongs: bool = Field(default=True, description="whether pings are answered all the same")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    meant = terms.selector()

    def silenced(message: Message) -> list[Message]:
        return [] if meant(message) else [message]

    def mute(kind: ConnectionKind) -> bool:
        return not terms.pongs and terms.which in ("all", kind)

    with target.hooks.held(target.hooks.messages, silenced), target.hooks.held(target.hooks.mute, mute):
        yield


FAULT = Fault("silence", "nothing is said on connections that stay open, or on one stream", Terms, _hold)
