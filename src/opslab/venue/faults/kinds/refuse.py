"""Refuse new connections: all of them at the port, or one kind with HTTP 503."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.venue.fault_hooks import ConnectionKind
from opslab.venue.faults.fault import ConnectionTerms, Fault, FaultTarget


@asynccontextmanager
async def _inject(target: FaultTarget, terms: ConnectionTerms) -> AsyncIterator[None]:
    if terms.which == "all":
        listener = target.server.listener
        assert listener is not None
        await listener.stop_listening()
        try:
            yield
        finally:
            await listener.resume_listening()
        return

    def is_refused(kind: ConnectionKind) -> bool:
        return kind == terms.which

    with target.hooks.installed(target.hooks.refused, is_refused):
        yield


FAULT = Fault(
    "refuse",
    "refuses new connections: all of them at the port, REST included; one kind with HTTP 503",
    ConnectionTerms,
    _inject,
)
