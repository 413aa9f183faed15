"""Refuse to flatten the account: as at an exchange, which never does that for a client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opslab.model.primitives.record import Record
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    pass


@asynccontextmanager
async def _inject(target: FaultTarget, _terms: Terms) -> AsyncIterator[None]:
    with target.hooks.installed(target.hooks.flatten_refusals, True):
        yield


FAULT = Fault(
    "refuse-flatten",
    "refuses to flatten the account itself, on request or without control",
    Terms,
    _inject,
)
