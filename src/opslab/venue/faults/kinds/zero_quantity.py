"""A trade arrives with a quantity of zero."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Count, Fault, FaultTarget

_QUANTITY = re.compile(r'"q":("?)[0-9][0-9.eE+-]*\1')
"""Text or number, as another fault may have made it."""


class Terms(Record):
    count: Count = Field(default=1, description="trades to empty")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    left = terms.count

    def emptied(message: Message) -> list[Message]:
        nonlocal left
        if not left or not ('"e":"aggTrade"' in message.text or '"e":"trade"' in message.text):
            return [message]
        text, found = _QUANTITY.subn(r'"q":\g<1>0\1', message.text, count=1)
        left -= found
        return [message.with_text(text)]

    with target.hooks.held(target.hooks.messages, emptied):
        yield


FAULT = Fault("zero-quantity", "a trade arrives with a quantity of zero", Terms, _hold)
