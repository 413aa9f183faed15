"""New connections are refused: by the whole port, or of one kind with 503."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.fault_hooks import ConnectionKind
from opslab.venue.faults.fault import Fault, ConnectionTerms, FaultTarget


@asynccontextmanager
async def _hold(target: FaultTarget, terms: ConnectionTerms) -> AsyncIterator[None]:
    if terms.which == "all":
        listener = target.server.listener
        assert listener is not None
        await listener.stop_listening()
        try:
            yield
        finally:
            await listener.resume_listening()
        return

    def refused(kind: ConnectionKind) -> bool:
        return kind == terms.which

    with target.hooks.held(target.hooks.refused, refused):
        yield


FAULT = Fault(
    "refuse",
    "new connections are refused: all of them by the port, REST too; of one kind with HTTP 503",
    ConnectionTerms,
    _hold,
)
