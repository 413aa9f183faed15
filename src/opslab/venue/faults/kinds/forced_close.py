"""Close the account's position by force, as the exchange does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.errors import Usage
from opslab.model.messages.forced_close import ForcedCloseKind
from opslab.model.primitives.record import Record
from opslab.venue.api_error import ApiError
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    kind: ForcedCloseKind = Field(default="liquidation", description="liquidation, adl or settlement")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    try:
        is_closed = target.exchange.close_by_force(terms.kind)
    except ApiError as refusal:
        raise Usage(f"the venue cannot close the position: {refusal.code} {refusal.msg}") from None
    if not is_closed:
        raise Usage("the venue cannot close the position: there is none, or the book is empty")
    yield


FAULT = Fault("forced-close", "closes the position by force", Terms, _inject, is_immediate=True)
