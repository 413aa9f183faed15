"""Connections are closed, with a goodbye."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import Field

from opslab.venue.faults.fault import Fault, ConnectionTerms, FaultTarget
from opslab.venue.transport.sessions import Connection

GOODBYE_SECONDS = 2.0
"""From the close frame to the client's own."""


class Terms(ConnectionTerms):
    code: Annotated[int, Field(ge=1000, le=4999)] = Field(default=1001, description="close code")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    await asyncio.gather(*(_closed(connection, terms.code) for connection in target.connections(terms.which)))
    yield


async def _closed(connection: Connection, code: int) -> None:
    """A client that does not say goodbye in turn is cut off."""
    try:
        async with asyncio.timeout(GOODBYE_SECONDS):
            await connection.close(code, "closed on demand")
    except TimeoutError:
        connection.drop("closed on demand")


FAULT = Fault("close", "connections are closed, with a goodbye", Terms, _hold, is_immediate=True)
