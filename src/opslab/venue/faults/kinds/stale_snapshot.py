"""The book that is asked for is older than its stream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Call
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    behind: Annotated[int, Field(ge=1, le=10**9)] = Field(default=1_000_000, description="by how many update ids")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    def stale(call: Call, payload: Any) -> Any:
        if call.path == "/fapi/v1/depth" and isinstance(payload, dict):
            return {**payload, "lastUpdateId": payload["lastUpdateId"] - terms.behind}
        return payload

    with target.hooks.held(target.hooks.answers, stale):
        yield


FAULT = Fault("stale-snapshot", "GET depth answers with a book older than its stream", Terms, _hold)
