"""New connections are refused: by the whole port, or of one kind with 503."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.fault_hooks import Kind
from opslab.venue.faults.fault import Fault, OfConnections, Stage


@asynccontextmanager
async def _hold(stage: Stage, terms: OfConnections) -> AsyncIterator[None]:
    if terms.which == "all":
        front = stage.server.front
        assert front is not None
        await front.go_deaf()
        try:
            yield
        finally:
            await front.hear_again()
        return

    def refused(kind: Kind) -> bool:
        return kind == terms.which

    with stage.seams.held(stage.seams.refused, refused):
        yield


FAULT = Fault(
    "refuse",
    "new connections are refused: all of them by the port, REST too; of one kind with HTTP 503",
    OfConnections,
    _hold,
)
