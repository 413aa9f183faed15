"""What a fault is: a name, its terms, and a block that holds it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Annotated, Any, Literal
from weakref import WeakKeyDictionary

from pydantic import Field
from pydantic_core import from_json

from opslab.model.primitives.record import Record
from opslab.venue.exchange import Exchange
from opslab.venue.fault_hooks import Message, Receiver, FaultHooks
from opslab.venue.transport.server import Server
from opslab.venue.transport.sessions import Connection

ConnectionSelector = Literal["all", "market", "user", "trading"]
Share = Annotated[float, Field(gt=0, le=1)]
"""Of the messages that are meant, chosen by the seed."""
Milliseconds = Annotated[int, Field(ge=1, le=600_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class FaultTarget:
    """What a fault can take hold of."""

    hooks: FaultHooks
    server: Server
    exchange: Exchange

    def connections(self, which: ConnectionSelector) -> Iterator[Connection]:
        for connection in list(self.server.clients):
            if which in ("all", connection.kind):
                yield connection


class ConnectionTerms(Record):
    """Terms of a fault that befalls connections."""

    which: ConnectionSelector = Field(default="all", description="connections: all, market, user or trading")


class MessageTerms(Record):
    """Terms of a fault that befalls messages on their way to clients."""

    which: ConnectionSelector = Field(default="all", description="connections: all, market, user or trading")
    stream: str | None = Field(default=None, description="of this stream alone, such as btcusdt@kline_1m")
    share: Share = Field(default=1.0, description="share of the messages, chosen by the seed")
    seed: int = Field(default=1, description="what is chosen depends on it")

    def selector(self) -> Callable[[Message], bool]:
        """Whether a message is meant."""
        dice = self.dice("share")

        def meant(message: Message) -> bool:
            if self.which not in ("all", message.kind) or self.stream not in (None, message.stream):
                return False
            return self.share == 1.0 or dice(message) < self.share

        return meant

    def dice(self, what: str) -> Callable[[Message], float]:
        """A number from 0 to 1 for each message.

        It depends on the seed, `what`, and how many messages of its stream were sent on its connection before: not on
        what other clients do.
        """
        randoms: WeakKeyDictionary[Receiver, dict[str, Random]] = WeakKeyDictionary()

        def number(message: Message) -> float:
            streams = randoms.setdefault(message.to, {})
            if message.stream not in streams:
                streams[message.stream] = Random(f"{self.seed} {what} {message.kind} {message.stream}")
            return streams[message.stream].random()

        return number


def is_fill(message: Message) -> bool:
    """Whether it is word of a fill; a listen key that was chosen by message brings it to a market connection too."""
    return '"e":"ORDER_TRADE_UPDATE"' in message.text and '"x":"TRADE"' in message.text


def document_of(text: str) -> Any:
    """Of a message; None when it is no JSON, as another fault may have made it."""
    try:
        return from_json(text)
    except ValueError:
        return None


def number_of(value: Any) -> Decimal | None:
    """Of a field of a message, text or number; None when it is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = Decimal(str(value))
    except ArithmeticError:
        return None
    return found if found.is_finite() else None


@dataclass(frozen=True, slots=True)
class Fault[Terms: Record]:
    name: str
    summary: str
    terms: type[Terms]
    hold: Callable[[FaultTarget, Terms], AbstractAsyncContextManager[None]]
    """The fault is there while the block lasts; one that is over at once has done its work when the block begins."""
    is_immediate: bool = False
    """It happens once, and there is nothing to undo."""
