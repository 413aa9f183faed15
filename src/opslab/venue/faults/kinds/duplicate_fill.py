"""Word of a fill comes twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Fault, FaultTarget, is_fill


class Terms(Record):
    pass


@asynccontextmanager
async def _hold(target: FaultTarget, _terms: Terms) -> AsyncIterator[None]:
    def twice(message: Message) -> list[Message]:
        return [message, message] if is_fill(message) else [message]

    with target.hooks.held(target.hooks.messages, twice):
        yield


FAULT = Fault("duplicate-fill", "word of a fill comes twice", Terms, _hold)
