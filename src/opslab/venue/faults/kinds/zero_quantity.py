"""Send trades with a quantity of zero."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Count, Fault, FaultTarget

_QUANTITY = re.compile(r'"q":("?)[0-9][0-9.eE+-]*\1')
"""Text or number: another fault may have changed the type."""


class Terms(Record):
    count: Count = Field(default=1, description="number of trades to change")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    remaining = terms.count

    def changed(message: Message) -> list[Message]:
        nonlocal remaining
        if not remaining or not ('"e":"aggTrade"' in message.text or '"e":"trade"' in message.text):
            return [message]
        text, replacements = _QUANTITY.subn(r'"q":\g<1>0\1', message.text, count=1)
        remaining -= replacements
        return [message.with_text(text)]

    with target.hooks.installed(target.hooks.messages, changed):
        yield


FAULT = Fault("zero-quantity", "sends `count` trades with a quantity of zero", Terms, _inject)
