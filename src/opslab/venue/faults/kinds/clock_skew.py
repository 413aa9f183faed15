"""Shift the venue's clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    ms: Annotated[int, Field(ge=-86_400_000, le=86_400_000)] = Field(
        default=10_000, description="offset of the venue's clock in milliseconds; negative: behind"
    )


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    with target.hooks.installed(target.hooks.skews_ms, terms.ms):
        yield


FAULT = Fault(
    "clock-skew",
    "shifts the venue's clock: server time, timestamps of messages, timestamp checks of requests",
    Terms,
    _inject,
)
