"""Requests to a path get no answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Call, Reply
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    path: str = Field(default="/fapi/", description="paths that begin with this")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    over = asyncio.Event()

    async def waits(call: Call) -> Reply | None:
        if call.path.startswith(terms.path):
            await over.wait()
        return None

    with target.hooks.held(target.hooks.calls, waits):
        try:
            yield
        finally:
            over.set()


FAULT = Fault("hang", "requests to a path wait until the fault is over, and are then carried out", Terms, _hold)
