"""Execute orders and never send their answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Call
from opslab.venue.faults.fault import Fault, FaultTarget

_PATHS = ("/fapi/v1/order", "/fapi/v1/batchOrders", "/fapi/v1/allOpenOrders")


class Terms(Record):
    method: Literal["POST", "PUT", "DELETE"] | None = Field(
        default=None, description="only placing (POST), amending (PUT) or canceling (DELETE); absent: all"
    )


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    ended = asyncio.Event()

    async def withhold(call: Call) -> bool:
        if call.path not in _PATHS or call.method == "GET" or terms.method not in (None, call.method):
            return False
        await ended.wait()
        return True

    with target.hooks.installed(target.hooks.acks, withhold):
        try:
            yield
        finally:
            ended.set()


FAULT = Fault(
    "swallow-ack",
    "executes orders and never sends the answers; waiting HTTP connections are closed when the fault ends",
    Terms,
    _inject,
)
