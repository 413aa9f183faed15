"""Halt trading of the symbol."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    status: Literal["HALT", "BREAK", "SETTLING", "CLOSE"] = Field(
        default="HALT", description="symbol status in exchangeInfo"
    )


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    with target.hooks.installed(target.hooks.statuses, terms.status):
        yield


FAULT = Fault("halt", "halts the symbol: exchangeInfo shows `status`, orders are rejected", Terms, _inject)
