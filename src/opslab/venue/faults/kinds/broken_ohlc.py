"""A closed candle arrives with its high below its low."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import Field
from pydantic_core import to_json

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Count, Fault, FaultTarget, document_of, number_of


class Terms(Record):
    count: Count = Field(default=1, description="closed candles to break, of each connection and stream together")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    left = terms.count

    def broken(message: Message) -> list[Message]:
        nonlocal left
        if not left or '"e":"kline"' not in message.text:
            return [message]
        document = document_of(message.text)
        kline = _closed_kline(document)
        low = number_of(kline.get("l"))
        if low is None:
            return [message]
        left -= 1
        kline["h"] = type(kline["l"])(low - 1)  # text or number, as another fault may have made it
        return [message.with_text(to_json(document).decode())]

    with target.hooks.held(target.hooks.messages, broken):
        yield


def _closed_kline(document: Any) -> dict[str, Any]:
    """Of a message, in an envelope or not; empty when there is none."""
    event = document.get("data", document) if isinstance(document, dict) else None
    kline = event.get("k") if isinstance(event, dict) else None
    return kline if isinstance(kline, dict) and kline.get("x") == 1 else {}


FAULT = Fault("broken-ohlc", "a closed candle arrives with its high below its low", Terms, _hold)
