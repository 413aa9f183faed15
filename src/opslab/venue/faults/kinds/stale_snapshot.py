"""Answer a depth request with a book older than its stream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Call
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    behind: Annotated[int, Field(ge=1, le=10**9)] = Field(
        default=1_000_000, description="number of update ids behind the stream"
    )


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    def stale(call: Call, payload: Any) -> Any:
        if call.path == "/fapi/v1/depth" and isinstance(payload, dict):
            return {**payload, "lastUpdateId": payload["lastUpdateId"] - terms.behind}
        return payload

    with target.hooks.installed(target.hooks.answers, stale):
        yield


FAULT = Fault("stale-snapshot", "answers GET depth with a book older than its stream", Terms, _inject)
