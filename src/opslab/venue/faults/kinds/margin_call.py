"""Call for margin, as the exchange does when the margin balance comes near the maintenance margin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.errors import Usage
from opslab.model.primitives.record import Record
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    pass


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    if not target.exchange.call_margin():
        raise Usage("the venue cannot call for margin: the account has no position")
    yield


FAULT = Fault("margin-call", "calls for margin over the user stream", Terms, _inject, is_immediate=True)
