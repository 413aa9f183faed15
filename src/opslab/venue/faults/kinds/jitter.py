"""Messages come later, each by another time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.delay_queue import Lanes
from opslab.venue.faults.fault import Fault, Milliseconds, OfMessages, Stage


class Terms(OfMessages):
    ms: Milliseconds = Field(default=200, description="at most how much later")


@asynccontextmanager
async def _hold(stage: Stage, terms: Terms) -> AsyncIterator[None]:
    meant, dice, lanes = terms.chooser(), terms.dice("jitter"), Lanes(stage.seams)

    def later(message: Message) -> list[Message]:
        return lanes.hold(message, dice(message) * terms.ms / 1000 if meant(message) else 0.0)

    with lanes.behind(later):
        yield


FAULT = Fault("jitter", "messages come later by a random time; those of one connection keep their order", Terms, _hold)
