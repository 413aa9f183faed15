"""Reject every new order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.api_error import ApiError
from opslab.venue.fault_hooks import Call
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    code: Literal[-1008, -2010, -2019, -2027, -4108] = Field(default=-2010, description="the venue's error code")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    def reject(call: Call) -> None:
        if call.method == "POST":
            raise ApiError(-2010, "NEW_ORDER_REJECTED") if terms.code == -2010 else ApiError.of(terms.code)

    with target.hooks.installed(target.hooks.orders, reject):
        yield


FAULT = Fault("reject-orders", "rejects new orders; cancels and amendments are executed", Terms, _inject)
