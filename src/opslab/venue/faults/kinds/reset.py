"""Reset connections, without a close frame."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.faults.fault import ConnectionTerms, Fault, FaultTarget


@asynccontextmanager
async def _inject(target: FaultTarget, terms: ConnectionTerms) -> AsyncIterator[None]:
    for connection in target.connections(terms.which):
        connection.reset()
    yield


FAULT = Fault("reset", "resets connections (TCP reset, no close frame)", ConnectionTerms, _inject, is_immediate=True)
