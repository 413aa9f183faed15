"""Close connections with a close frame."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import Field

from opslab.venue.faults.fault import ConnectionTerms, Fault, FaultTarget
from opslab.venue.transport.sessions import Connection

CLOSE_SECONDS = 2.0
"""Time allowed for the client's own close frame."""


class Terms(ConnectionTerms):
    code: Annotated[int, Field(ge=1000, le=4999)] = Field(default=1001, description="close code")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    await asyncio.gather(*(_close(connection, terms.code) for connection in target.connections(terms.which)))
    yield


async def _close(connection: Connection, code: int) -> None:
    """Close one connection; reset it when the client sends no close frame in time."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close(code, "closed on demand")
    except TimeoutError:
        connection.drop("closed on demand")


FAULT = Fault("close", "closes connections with a close frame", Terms, _inject, is_immediate=True)
