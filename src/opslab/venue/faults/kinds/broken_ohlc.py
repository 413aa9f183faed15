"""Send closed candles with a high below their low."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import Field
from pydantic_core import to_json

from opslab.model.primitives.record import Record
from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Count, Fault, FaultTarget, parse_document, parse_number


class Terms(Record):
    count: Count = Field(default=1, description="number of closed candles to break, over all connections and streams")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    remaining = terms.count

    def broken(message: Message) -> list[Message]:
        nonlocal remaining
        if not remaining or '"e":"kline"' not in message.text:
            return [message]
        document = parse_document(message.text)
        kline = _closed_kline(document)
        low = parse_number(kline.get("l"))
        if low is None:
            return [message]
        remaining -= 1
        kline["h"] = type(kline["l"])(low - 1)  # text or number: another fault may have changed the type
        return [message.with_text(to_json(document).decode())]

    with target.hooks.installed(target.hooks.messages, broken):
        yield


def _closed_kline(document: Any) -> dict[str, Any]:
    """The closed kline of a message, with or without an envelope; empty when it has none."""
    event = document.get("data", document) if isinstance(document, dict) else None
    kline = event.get("k") if isinstance(event, dict) else None
    return kline if isinstance(kline, dict) and kline.get("x") == 1 else {}


FAULT = Fault("broken-ohlc", "sends `count` closed candles with a high below their low", Terms, _inject)
