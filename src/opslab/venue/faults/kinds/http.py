"""Answer requests to a path with an HTTP error status."""

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
_SERVER_ERROR = (-1000, "Unknown error, please check your request or try again later.")


class Terms(Record):
    status: Literal[418, 429, 500, 502, 503, 504] = Field(default=503, description="HTTP status")
    path: str = Field(default="/fapi/", description="prefix of the paths")
    method: Literal["GET", "POST", "PUT", "DELETE"] | None = Field(
        default=None, description="only this method; absent: all"
    )
    retry_after: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        default=None, description="seconds in Retry-After; absent: no such header"
    )
    count: Count | None = Field(default=None, description="number of requests; absent: all while the fault is active")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    remaining = terms.count
    code, msg = _MESSAGES.get(terms.status, _SERVER_ERROR)
    headers = {} if terms.retry_after is None else {"Retry-After": str(terms.retry_after)}
    reply = Reply(terms.status, to_json({"code": code, "msg": msg}), headers)

    async def answer(call: Call) -> Reply | None:
        nonlocal remaining
        if remaining == 0 or not call.path.startswith(terms.path) or terms.method not in (None, call.method):
            return None
        remaining = None if remaining is None else remaining - 1
        return reply

    with target.hooks.installed(target.hooks.calls, answer):
        yield


FAULT = Fault("http", "answers requests to a path with 429, 418 or 5xx, with or without Retry-After", Terms, _inject)
