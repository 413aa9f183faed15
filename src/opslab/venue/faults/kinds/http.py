"""Requests to a path are answered with an error status."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from pydantic import Field
from pydantic_core import to_json

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Call, Reply
from opslab.venue.faults.fault import Count, Fault, FaultTarget

_MESSAGES = {
    429: (-1003, "Too many requests; current limit is 2400 requests per minute."),
    418: (-1003, "Way too many requests; IP banned."),
}
_BROKEN = (-1000, "Unknown error, please check your request or try again later.")


class Terms(Record):
    status: Literal[418, 429, 500, 502, 503, 504] = Field(default=503, description="HTTP status")
    path: str = Field(default="/fapi/", description="paths that begin with this")
    method: Literal["GET", "POST", "PUT", "DELETE"] | None = Field(default=None, description="of this method alone")
    retry_after: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        default=None, description="seconds in Retry-After; no such header when absent"
    )
    count: Count | None = Field(default=None, description="so many requests; all while it lasts when absent")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    left = terms.count
    code, msg = _MESSAGES.get(terms.status, _BROKEN)
    headers = {} if terms.retry_after is None else {"Retry-After": str(terms.retry_after)}
    reply = Reply(terms.status, to_json({"code": code, "msg": msg}), headers)

    async def turned_away(call: Call) -> Reply | None:
        nonlocal left
        if left == 0 or not call.path.startswith(terms.path) or terms.method not in (None, call.method):
            return None
        left = None if left is None else left - 1
        return reply

    with target.hooks.held(target.hooks.calls, turned_away):
        yield


FAULT = Fault("http", "requests to a path are answered with 429, 418 or 5xx, with or without Retry-After", Terms, _hold)
