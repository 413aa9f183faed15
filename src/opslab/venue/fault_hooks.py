"""Fault injection points of the venue. Without faults every list of hooks is empty and costs one check.

A fault adds its hook while it is active, and removes that same hook. Any number of faults can be active at the same
time; their hooks run in the order in which the faults started.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

ConnectionKind = Literal["market", "user", "trading"]
"""A connection to the market streams, to the user-data stream or to the trading socket."""


class Receiver(Protocol):
    """A client's connection, as a message sees it."""

    def deliver(self, message: "Message") -> None:
        """Send the message unchanged, without applying faults."""
        ...

    def drop(self, reason: str) -> None:
        """Reset the connection."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """An outgoing message to one client."""

    receiver: "Receiver"
    kind: ConnectionKind
    stream: str
    """Stream name; empty for answers and for the user-data stream."""
    text: str

    def with_text(self, text: str) -> "Message":
        return replace(self, text=text)


@dataclass(frozen=True, slots=True)
class Call:
    """A request over REST, or over the trading socket, where `path` and `method` are those of its endpoint."""

    method: str
    path: str
    channel: Literal["rest", "trading"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that replaces the venue's own."""

    status: int
    body: bytes
    headers: dict[str, str]
    content_type: str = "application/json"


MessageHook = Callable[[Message], list[Message]]
"""Returns the messages to send instead: none, the same one, or others."""
CallHook = Callable[[Call], Awaitable[Reply | None]]
"""Runs before a request is checked; it may wait. A reply ends the request there."""
AnswerHook = Callable[[Call, Any], Any]
"""Returns the answer to send instead."""
AckHook = Callable[[Call], Awaitable[bool]]
"""Runs after a request was executed, before its answer is sent; it may wait. True: the answer is never sent."""
OrderHook = Callable[[Call], None]
"""Runs before an order, an amendment or a cancel is executed. It may raise ApiError."""


class AnswerWithheld(Exception):
    """No answer is sent: a fault withholds that of an executed request, or the client is disconnected."""


@dataclass(slots=True)
class FaultHooks:
    messages: list[MessageHook] = field(default_factory=list)
    calls: list[CallHook] = field(default_factory=list)
    answers: list[AnswerHook] = field(default_factory=list)
    acks: list[AckHook] = field(default_factory=list)
    orders: list[OrderHook] = field(default_factory=list)
    refused: list[Callable[[ConnectionKind], bool]] = field(default_factory=list)
    """Whether a new connection of a kind is refused."""
    mute: list[Callable[[ConnectionKind], bool]] = field(default_factory=list)
    """Whether pings on a connection of a kind get no pong."""
    skews_ms: list[int] = field(default_factory=list)
    """Offsets of the venue's clock, one for each active fault that shifts it."""
    statuses: list[str] = field(default_factory=list)
    """Symbol statuses that replace the symbol's own; the last one applies."""
    flatten_refusals: list[bool] = field(default_factory=list)
    """One for each active fault by which the venue refuses to flatten the account itself."""

    _markers: dict[int, list[object]] = field(default_factory=dict, repr=False, compare=False)
    """For each list, by its id, one marker for each hook: equal hooks can be told apart."""

    @contextmanager
    def installed[Hook](self, hooks: list[Hook], hook: Hook) -> Iterator[None]:
        """Keep the hook in its list while the block lasts."""
        markers = self._markers.setdefault(id(hooks), [])
        marker = object()
        hooks.append(hook)
        markers.append(marker)
        try:
            yield
        finally:
            index = markers.index(marker)
            del hooks[index], markers[index]

    def pass_through(self, message: Message, after: MessageHook | None = None) -> list[Message]:
        """Apply the message hooks; the messages to send.

        after: only the hooks after this one, for a message that it has held back and now releases.
        """
        first = 0 if after is None else self.messages.index(after) + 1
        messages = [message]
        for hook in self.messages[first:]:
            messages = [output for each in messages for output in hook(each)]
        return messages

    def resume(self, message: Message, after: MessageHook) -> None:
        """Send a message that the hook `after` has held back."""
        for output in self.pass_through(message, after):
            output.receiver.deliver(output)

    @property
    def skew_ms(self) -> int:
        return sum(self.skews_ms)

    async def before_request(self, call: Call) -> Reply | None:
        """Run the call hooks; a reply that one of them gives ends the request."""
        for hook in _installed_in_order(self.calls):
            reply = await hook(call)
            if reply is not None:
                return reply
        return None

    async def after_request(self, call: Call) -> None:
        """Run the ack hooks. Raises AnswerWithheld."""
        for hook in _installed_in_order(self.acks):
            if await hook(call):
                raise AnswerWithheld

    def change_answer(self, call: Call, payload: Any) -> Any:
        """Apply the answer hooks; the answer to send."""
        for hook in list(self.answers):
            payload = hook(call, payload)
        return payload


def _installed_in_order[Hook](hooks: list[Hook]) -> Iterator[Hook]:
    """Each hook once, in order. Hooks added while one of them waits are included, hooks removed meanwhile are not."""
    done: list[Hook] = []
    while (hook := next((each for each in hooks if each not in done), None)) is not None:
        done.append(hook)
        yield hook
