"""Connections are cut, without a goodbye."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.faults.fault import Fault, ConnectionTerms, FaultTarget


@asynccontextmanager
async def _hold(target: FaultTarget, terms: ConnectionTerms) -> AsyncIterator[None]:
    for connection in target.connections(terms.which):
        connection.reset()
    yield


FAULT = Fault("reset", "connections are cut by a TCP reset", ConnectionTerms, _hold, is_immediate=True)
