"""The definition of a fault: a name, its terms, and a context manager during which it is active."""

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
from opslab.venue.fault_hooks import FaultHooks, Message, Receiver
from opslab.venue.transport.server import Server
from opslab.venue.transport.sessions import Connection

ConnectionSelector = Literal["all", "market", "user", "trading"]
Share = Annotated[float, Field(gt=0, le=1)]
"""Share of the matching messages; the seed decides which of them."""
Milliseconds = Annotated[int, Field(ge=1, le=600_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class FaultTarget:
    """The parts of the venue that a fault can change."""

    hooks: FaultHooks
    server: Server
    exchange: Exchange

    def connections(self, which: ConnectionSelector) -> Iterator[Connection]:
        for connection in list(self.server.clients):
            if which in ("all", connection.kind):
                yield connection


class ConnectionTerms(Record):
    """Terms of a fault that affects connections."""

    which: ConnectionSelector = Field(default="all", description="connections: all, market, user or trading")


class MessageTerms(Record):
    """Terms of a fault that affects outgoing messages."""

    which: ConnectionSelector = Field(default="all", description="connections: all, market, user or trading")
    stream: str | None = Field(default=None, description="only this stream, such as btcusdt@kline_1m")
    share: Share = Field(default=1.0, description="share of the messages, selected by the seed")
    seed: int = Field(default=1, description="seed of the random selection")

    def selector(self) -> Callable[[Message], bool]:
        """A function that tells whether the fault affects a message."""
        random_number = self.random_numbers("share")

        def is_selected(message: Message) -> bool:
            if self.which not in ("all", message.kind) or self.stream not in (None, message.stream):
                return False
            return self.share == 1.0 or random_number(message) < self.share

        return is_selected

    def random_numbers(self, purpose: str) -> Callable[[Message], float]:
        """A function that draws a number from 0 to 1 for each message.

        The number depends on the seed, on `purpose`, and on how many messages of its stream were sent on its connection
        before; not on other clients.
        """
        generators: WeakKeyDictionary[Receiver, dict[str, Random]] = WeakKeyDictionary()

        def draw(message: Message) -> float:
            streams = generators.setdefault(message.receiver, {})
            if message.stream not in streams:
                streams[message.stream] = Random(f"{self.seed} {purpose} {message.kind} {message.stream}")
            return streams[message.stream].random()

        return draw


def is_fill(message: Message) -> bool:
    """Whether it reports a fill. A market connection gets such messages too when it subscribed to a listen key."""
    return '"e":"ORDER_TRADE_UPDATE"' in message.text and '"x":"TRADE"' in message.text


def parse_document(text: str) -> Any:
    """A message's JSON document; None when it is not JSON, which another fault can cause."""
    try:
        return from_json(text)
    except ValueError:
        return None


def parse_number(value: Any) -> Decimal | None:
    """The number in a message's field, which may be text or number; None when it is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


@dataclass(frozen=True, slots=True)
class Fault[Terms: Record]:
    name: str
    summary: str
    terms: type[Terms]
    inject: Callable[[FaultTarget, Terms], AbstractAsyncContextManager[None]]
    """The fault is active while the block lasts; an immediate one has taken effect when the block begins."""
    is_immediate: bool = False
    """It takes effect once, and there is nothing to undo."""
