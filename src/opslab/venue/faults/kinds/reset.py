"""Connections are cut, without a goodbye."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.faults.fault import Fault, OfConnections, Stage


@asynccontextmanager
async def _hold(stage: Stage, terms: OfConnections) -> AsyncIterator[None]:
    for connection in stage.connections(terms.which):
        connection.reset()
    yield


FAULT = Fault("reset", "connections are cut by a TCP reset", OfConnections, _hold, at_once=True)
