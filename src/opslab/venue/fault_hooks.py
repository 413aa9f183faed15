"""Where a fault can take hold of the venue. Without faults every seam is empty, and costs a look at an empty list.

A fault adds a hook while it lasts, and takes that very hook away again: any number of them hold at the same time, in
the order in which they began.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

ConnectionKind = Literal["market", "user", "trading"]
"""Of a connection: market streams, the user-data stream, the trading socket."""


class Receiver(Protocol):
    """A client's connection, as a message knows it."""

    def deliver(self, message: "Message") -> None:
        """Send it as it is, past the faults."""
        ...

    def drop(self, why: str) -> None:
        """Cut the connection off."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """On its way to one client."""

    to: "Receiver"
    kind: ConnectionKind
    stream: str
    """Its stream's name; empty of answers, and of the user stream."""
    text: str

    def with_text(self, text: str) -> "Message":
        return replace(self, text=text)


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the REST side, or to the trading socket, where `path` and `method` are those of its endpoint."""

    method: str
    path: str
    over: Literal["rest", "trading"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that takes the venue's place."""

    status: int
    body: bytes
    headers: dict[str, str]
    content_type: str = "application/json"


MessageHook = Callable[[Message], list[Message]]
"""What becomes of a message: nothing, itself, others."""
CallHook = Callable[[Call], Awaitable[Reply | None]]
"""Before a request is looked at; it may wait. A reply ends it there."""
AnswerHook = Callable[[Call, Any], Any]
"""What becomes of an answer."""
AckHook = Callable[[Call], Awaitable[bool]]
"""Behind a request that was carried out, before its answer leaves; it may wait. True: the answer never leaves."""
OrderHook = Callable[[Call], None]
"""Before an order, a change or a cancel is carried out. It may raise ApiError."""


class AnswerWithheld(Exception):
    """A request that was carried out, and is not answered."""


@dataclass(slots=True)
class FaultHooks:
    messages: list[MessageHook] = field(default_factory=list)
    calls: list[CallHook] = field(default_factory=list)
    answers: list[AnswerHook] = field(default_factory=list)
    acks: list[AckHook] = field(default_factory=list)
    orders: list[OrderHook] = field(default_factory=list)
    refused: list[Callable[[ConnectionKind], bool]] = field(default_factory=list)
    """Whether a new connection of a kind is turned away."""
    mute: list[Callable[[ConnectionKind], bool]] = field(default_factory=list)
    """Whether pings on a connection of a kind get no answer."""
    skews_ms: list[int] = field(default_factory=list)
    """How far the venue's clock is off, one for each fault that says so."""
    statuses: list[str] = field(default_factory=list)
    """Of the symbol, instead of its own: the last counts."""

    _begun: dict[int, list[object]] = field(default_factory=dict, repr=False, compare=False)
    """For each list, by its id, a mark for each of its hooks: equal hooks are told apart."""

    @contextmanager
    def held[Hook](self, hooks: list[Hook], hook: Hook) -> Iterator[None]:
        """The hook is in its list while the block lasts."""
        marks = self._begun.setdefault(id(hooks), [])
        mark = object()
        hooks.append(hook)
        marks.append(mark)
        try:
            yield
        finally:
            at = marks.index(mark)
            del hooks[at], marks[at]

    def pass_through(self, message: Message, behind: MessageHook | None = None) -> list[Message]:
        """What becomes of a message. behind: of one that this hook had held back, and lets go now."""
        first = 0 if behind is None else self.messages.index(behind) + 1
        found = [message]
        for hook in self.messages[first:]:
            found = [after for before in found for after in hook(before)]
        return found

    def resume(self, message: Message, behind: MessageHook) -> None:
        """Send what the hook had held back."""
        for found in self.pass_through(message, behind):
            found.to.deliver(found)

    @property
    def skew_ms(self) -> int:
        return sum(self.skews_ms)

    async def before(self, call: Call) -> Reply | None:
        for hook in _as_they_hold(self.calls):
            reply = await hook(call)
            if reply is not None:
                return reply
        return None

    async def behind(self, call: Call) -> None:
        """Raises Unanswered."""
        for hook in _as_they_hold(self.acks):
            if await hook(call):
                raise AnswerWithheld

    def answered(self, call: Call, payload: Any) -> Any:
        for hook in list(self.answers):
            payload = hook(call, payload)
        return payload


def _as_they_hold[Hook](hooks: list[Hook]) -> Iterator[Hook]:
    """Each once, in their order; those that begin while another waits come too, those that end do not."""
    done: list[Hook] = []
    while (hook := next((one for one in hooks if one not in done), None)) is not None:
        done.append(hook)
        yield hook
