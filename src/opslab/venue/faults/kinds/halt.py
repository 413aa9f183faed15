"""The symbol is not trading."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    status: Literal["HALT", "BREAK", "SETTLING", "CLOSE"] = Field(default="HALT", description="what exchangeInfo says")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    with target.hooks.held(target.hooks.statuses, terms.status):
        yield


FAULT = Fault("halt", "the symbol is not trading: exchangeInfo says so, orders are refused", Terms, _hold)
