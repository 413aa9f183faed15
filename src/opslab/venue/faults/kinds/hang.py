"""Hold requests to a path without an answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Call, Reply
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    path: str = Field(default="/fapi/", description="prefix of the paths")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    ended = asyncio.Event()

    async def hold(call: Call) -> Reply | None:
        if call.path.startswith(terms.path):
            await ended.wait()
        return None

    with target.hooks.installed(target.hooks.calls, hold):
        try:
            yield
        finally:
            ended.set()


FAULT = Fault("hang", "holds requests to a path until the fault ends, then executes them", Terms, _inject)
