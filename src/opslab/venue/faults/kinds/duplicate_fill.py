"""Send fill notifications twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Fault, FaultTarget, is_fill


class Terms(Record):
    pass


@asynccontextmanager
async def _inject(target: FaultTarget, _terms: Terms) -> AsyncIterator[None]:
    def duplicated(message: Message) -> list[Message]:
        return [message, message] if is_fill(message) else [message]

    with target.hooks.installed(target.hooks.messages, duplicated):
        yield


FAULT = Fault("duplicate-fill", "sends fill notifications twice", Terms, _inject)
