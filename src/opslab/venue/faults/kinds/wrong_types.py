"""Send messages with values of other types."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_core import to_json

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Fault, FaultTarget, MessageTerms, parse_document

_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")


@asynccontextmanager
async def _inject(target: FaultTarget, terms: MessageTerms) -> AsyncIterator[None]:
    is_selected = terms.selector()

    def retyped(message: Message) -> list[Message]:
        if not is_selected(message):
            return [message]
        document = parse_document(message.text)
        return [message if document is None else message.with_text(to_json(_swapped(document)).decode())]

    with target.hooks.installed(target.hooks.messages, retyped):
        yield


def _swapped(value: Any) -> Any:
    """Turn numbers into text and numeric text into numbers; names and events stay."""
    if isinstance(value, dict):
        return {name: _swapped(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_swapped(item) for item in value]
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value


FAULT = Fault("wrong-types", "sends numbers as text and numeric text as numbers", MessageTerms, _inject)
