"""Every message between control and its children, and the line in which each crosses a pipe.

After its plan a child receives commands; it sends messages on an inherited descriptor. A line is one JSON object with
one key, the kind of the message:

    {"progress": {"bars": 7, "actions": 1}}

An engine sends, in a backtest `progress`, events, `halted`, `ended`, then `failure` and `result`; in a paper run also
`bar`, `heartbeat`, `snapshot`, `bars_done` and `flattened`, at the end `flattened`, `snapshot` 0, `ended`,
`result`. If the engine cannot flatten, or its node never ran, the account is flattened without the engine after the
node has stopped: then `flattened` comes after the last snapshot, if there is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, TypeAdapter
from pydantic_core import from_json, to_json

from opslab.model.journal.engine_events import ENGINE_EVENTS, EngineEvent
from opslab.model.journal.journal_event import JournalEvent
from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.paper_messages import EngineHeartbeat, Flattened, NodeSnapshot
from opslab.model.messages.venue_messages import VenueEndpoints, VenueProgress
from opslab.model.primitives.record import Record
from opslab.model.run.metadata import EngineCost, Failure
from opslab.model.run.subscription import Subscription

OrderEventName = Literal["order_event", "order_gated"]


# Of an engine.


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """An event for the journal of which there are many; control receives it as an `EncodedEvent`."""

    name: OrderEventName
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """An `OrderEvent` as received."""

    name: OrderEventName
    values: dict[str, Any]
    payload: bytes
    """The same as JSON, as the engine wrote it: the journal takes it as it is."""


class BarRow(Record):
    """A bar that the strategy of a paper run received: a line of `bars.jsonl`."""

    ts_event: int
    open: str
    high: str
    low: str
    close: str
    volume: str


class Progress(Record):
    """Telemetry, may be dropped."""

    bars: int
    actions: int
    """Of a scenario."""


class Ended(Record):
    """The run has ended: no event follows."""

    bars: int
    received: int = 0
    """Of a live node: bars of the run's own type that reached the engine, subscribed to by the strategy or not."""
    early: bool
    """Before its data ended, or with a gate that was closed before: orders of the last bar may be missing."""


class EngineResult(Record):
    """Sent once, last, when the engine ended by itself."""

    bars: int
    """Bars of the run's own type that the strategy received."""
    other_bars: dict[str, int] = Field(default_factory=dict)
    """Bars of other types that the strategy received: type to number."""
    subscriptions: tuple[Subscription, ...] = ()
    actions: int
    """Of a scenario."""
    gated: dict[str, int]
    """Requests that the closed gate denied: reason to number."""
    cost: EngineCost
    dropped: int
    """Messages that were not sent because control did not read."""


class BarsDone(Record):
    """A bar of this engine is processed and its orders are acknowledged."""

    bars: int
    """Its number, from 1."""


class Halted(Record):
    """The engine's own watcher found the kill switch active."""

    switch: dict[str, Any]
    """The fields of a `Switch`."""
    gate_closed_at: str
    """When the engine's process closed its gate, UTC."""


EngineMessage = (
    EngineEvent
    | OrderEvent
    | BarRow
    | Progress
    | Ended
    | EngineResult
    | Failure
    | BarsDone
    | Halted
    | EngineHeartbeat
    | NodeSnapshot
    | Flattened
)


# Of a venue.


class Listening(Record):
    """Clients can connect."""

    endpoints: VenueEndpoints


class VenueRefused(Record):
    """The venue cannot serve, and ends."""

    message: str
    hint: str | None
    exit_code: int


class VenueLogEntry(Record):
    """A log entry for the operator."""

    event: str
    fields: dict[str, Any]


class VenueEnded(Record):
    """The last message."""

    progress: VenueProgress


VenueMessage = Listening | VenueRefused | VenueLogEntry | VenueProgress | VenueEnded
Message = EngineMessage | VenueMessage
ReceivedMessage = EncodedEvent | Message
"""Never an `OrderEvent`: an `EncodedEvent` in its place."""


# To a child.


class TakeSnapshot(Record):
    """Send a snapshot of the current state with this request number."""

    request_number: int


class Stop(Record):
    """Close the gate, apply `on_stop` to the account, end."""

    reason: StopReason


class HaltCommand(Record):
    """The kill switch is active: close the gate, flatten whatever `on_stop` is, end."""

    switch: dict[str, Any]
    """The fields of a `Switch`."""


class AcknowledgeBars(Record):
    """To a venue: the number of closed candles that are processed.

    It counts as `VenueProgress.minutes` does, over restarts of venue and engine, and never decreases: with
    `pace: bar_done` the candle after n others begins when n arrives, or after `bar_done_timeout_seconds`.
    """

    minutes: int | None
    """None: every one of them."""


Command = TakeSnapshot | Stop | HaltCommand | AcknowledgeBars


# Lines.

_MESSAGE_KINDS: dict[type, str] = {
    BarRow: "bar",
    Progress: "progress",
    Ended: "ended",
    EngineResult: "result",
    Failure: "failure",
    BarsDone: "bars_done",
    Halted: "halted",
    EngineHeartbeat: "heartbeat",
    NodeSnapshot: "snapshot",
    Flattened: "flattened",
    Listening: "listening",
    VenueRefused: "refused",
    VenueLogEntry: "log",
    VenueProgress: "venue_progress",
    VenueEnded: "venue_ended",
}
_COMMAND_KINDS: dict[type, str] = {
    TakeSnapshot: "take_snapshot",
    Stop: "stop",
    HaltCommand: "halt",
    AcknowledgeBars: "acknowledge_bars",
}
_EVENT = "event"
"""Kind of an `EngineEvent`: the object has its `name` and its `payload`."""
_KINDS = _MESSAGE_KINDS | _COMMAND_KINDS
_MESSAGES: dict[str, TypeAdapter[ReceivedMessage]] = {kind: TypeAdapter(of) for of, kind in _MESSAGE_KINDS.items()}
_COMMANDS: dict[str, TypeAdapter[Command]] = {kind: TypeAdapter(of) for of, kind in _COMMAND_KINDS.items()}
_ORDER_EVENTS: dict[str, tuple[OrderEventName, bytes]] = {
    "order_event": ("order_event", b'{"order_event":'),
    "order_gated": ("order_gated", b'{"order_gated":'),
}
"""By kind: the event, and how its line begins."""


def encode_order_event(payload: Mapping[str, object]) -> bytes:
    """The line of `OrderEvent("order_event", payload)`, of which there are many."""
    return b'{"order_event":%b}' % to_json(payload)


def encode(message: ReceivedMessage | Command) -> bytes:
    """The line, without its newline."""
    if isinstance(message, OrderEvent):
        return to_json({message.name: message.payload})
    if isinstance(message, EncodedEvent):
        return b'{"%b":%b}' % (message.name.encode(), message.payload)
    if isinstance(message, JournalEvent):
        return to_json({_EVENT: {"name": message.EVENT, "payload": message.payload()}})
    return to_json({_KINDS[type(message)]: message})


def decode(line: bytes) -> ReceivedMessage:
    """The message of a line. Raises ValueError."""
    kind, body = _parts(line)
    if kind == _EVENT:
        return _engine_event(body)
    if kind not in _ORDER_EVENTS:
        return _validated(_MESSAGES, kind, body)
    name, prefix = _ORDER_EVENTS[kind]
    if not line.startswith(prefix) or not line.endswith(b"}}") or not isinstance(body, dict):
        raise ValueError(f"not an {kind}")
    return EncodedEvent(name, body, line[len(prefix) : -1])


def decode_command(line: bytes) -> Command:
    """The command of a line. Raises ValueError."""
    return _validated(_COMMANDS, *_parts(line))


def _parts(line: bytes) -> tuple[str, Any]:
    document = from_json(line)
    if not isinstance(document, dict) or len(document) != 1:
        raise ValueError("a message is an object with one key")
    return next(iter(document.items()))


def _engine_event(body: Any) -> EngineEvent:
    match body:
        case {"name": str(name), "payload": dict(payload), **rest} if name in ENGINE_EVENTS and not rest:
            return ENGINE_EVENTS[name].model_validate(payload, strict=False)
    raise ValueError("not an event of an engine")


def _validated[T](adapters: Mapping[str, TypeAdapter[T]], kind: str, body: Any) -> T:
    if kind not in adapters:
        raise ValueError(f"unknown kind of message: {kind}")
    return adapters[kind].validate_python(body, strict=False)
