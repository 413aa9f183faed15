"""Messages arrive with values of other types."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_core import to_json

from opslab.venue.fault_hooks import Message
from opslab.venue.faults.fault import Fault, MessageTerms, FaultTarget, document_of

_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")


@asynccontextmanager
async def _hold(target: FaultTarget, terms: MessageTerms) -> AsyncIterator[None]:
    meant = terms.selector()

    def turned(message: Message) -> list[Message]:
        if not meant(message):
            return [message]
        document = document_of(message.text)
        return [message if document is None else message.with_text(to_json(_other(document)).decode())]

    with target.hooks.held(target.hooks.messages, turned):
        yield


def _other(value: Any) -> Any:
    """Numbers become text and text that is a number becomes one; names and events stay."""
    if isinstance(value, dict):
        return {name: _other(found) for name, found in value.items()}
    if isinstance(value, list):
        return [_other(found) for found in value]
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value


FAULT = Fault("wrong-types", "numbers arrive as text and text as numbers", MessageTerms, _hold)
