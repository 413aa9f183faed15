"""Orders are carried out, and their answers never come."""

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
        default=None, description="of placing (POST), changing (PUT) or canceling (DELETE) alone"
    )


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    over = asyncio.Event()

    async def swallowed(call: Call) -> bool:
        if call.path not in _PATHS or call.method == "GET" or terms.method not in (None, call.method):
            return False
        await over.wait()
        return True

    with target.hooks.held(target.hooks.acks, swallowed):
        try:
            yield
        finally:
            over.set()


FAULT = Fault(
    "swallow-ack",
    "orders are carried out, and their answers never come; HTTP connections that wait are cut when it is over",
    Terms,
    _hold,
)
