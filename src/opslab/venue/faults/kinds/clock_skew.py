"""The venue's clock is off."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import Field

from opslab.model.primitives.record import Record
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    ms: Annotated[int, Field(ge=-86_400_000, le=86_400_000)] = Field(
        default=10_000, description="how far the venue's clock is ahead; negative: behind"
    )


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    with target.hooks.held(target.hooks.skews_ms, terms.ms):
        yield


FAULT = Fault(
    "clock-skew", "the venue's clock is off: server time, stamps, and what it makes of timestamps", Terms, _hold
)
