"""A message crosses the pipe as one line and comes out as what it was."""

from typing import Any, get_args

import pytest
from pydantic_core import from_json, to_json

from opslab.model.journal.engine_events import EngineEvent
from opslab.model.pipe import messages
from opslab.model.pipe.messages import (
    AcknowledgeBars,
    BarRow,
    BarsDone,
    Command,
    EncodedEvent,
    Ended,
    EngineMessage,
    HaltCommand,
    Halted,
    OrderEvent,
    Progress,
    ReceivedMessage,
    Stop,
    TakeSnapshot,
    VenueMessage,
    VenueRefused,
    decode,
    decode_command,
    encode,
)
from opslab.model.run.metadata import Failure
from tests.fakes.journal_events import EXAMPLES

FILLED = {"type": "OrderFilled", "client_order_id": "O-1ß", "last_qty": "0.100", "ts_event": 1_704_067_259_999_000_000}
MESSAGES: list[Any] = [
    *(EXAMPLES[kind] for kind in get_args(EngineEvent)),
    BarRow(ts_event=7, open="42000.10", high="42001", low="41999.5", close="42000.0", volume="1.500"),
    Progress(bars=7, actions=1),
    Ended(bars=7, early=True),
    Failure(kind="strategy", message="on_bar raised ValueError", detail="line\nline"),
    BarsDone(bars=3),
    Halted(switch={"scope": "all"}, gate_closed_at="2024-01-01T00:00:00.000000Z"),
    VenueRefused(message="port 80 is in use", hint=None, exit_code=5),
]
COMMANDS: list[Any] = [
    TakeSnapshot(request_number=3),
    Stop(reason="max_seconds"),
    HaltCommand(switch={"scope": "run", "reason": "ß\n"}),
    AcknowledgeBars(minutes=12),
    AcknowledgeBars(minutes=None),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_out_as_it_went_in(message: ReceivedMessage) -> None:
    line = encode(message)
    assert b"\n" not in line
    assert decode(line) == message


@pytest.mark.parametrize("command", COMMANDS, ids=repr)
def test_a_command_comes_out_as_it_went_in(command: Command) -> None:
    assert decode_command(encode(command)) == command


def test_an_order_event_arrives_as_the_bytes_that_the_journal_writes() -> None:
    line = encode(OrderEvent("order_event", FILLED))
    received = decode(line)
    assert received == EncodedEvent("order_event", FILLED, to_json(FILLED))
    assert encode(received) == line


def test_every_message_and_every_command_has_a_kind_of_its_own() -> None:
    assert set(messages._MESSAGE_KINDS) == {*get_args(EngineMessage), *get_args(VenueMessage)} - {
        OrderEvent,
        *get_args(EngineEvent),
    }
    assert set(messages._COMMAND_KINDS) == set(get_args(Command))
    kinds = [*messages._KINDS.values(), messages._EVENT]
    assert len(set(kinds)) == len(kinds)


NOT_MESSAGES = (
    b"", b"{}", b"7", b'"stop"', b'["stop"]', b'{"x":{}}', b"\xff", b'{"progress":{}}', b'{"progress":7}',
    b'{"progress":{"bars":', b'{"progress":{"bars":1,"actions":0},"ended":{"bars":1,"early":false}}',
    b'{"order_event":{"type":"Ordgarbage', b'{"order_event":7}', b'{"order_event":{}', b'{"order_event":{},"x":{}}',
    b'{"event":{"name":"run_completed","payload":{}}}', b'{"event":{"name":"gate_closed","payload":{"reason":"x"}}}',
    b'{"event":{"name":"gate_closed","payload":{"reason":"SIGINT","more":1}}}', b'{"event":{"name":"gate_closed"}}',
    b'{"event":{"name":"gate_closed","payload":{"reason":"SIGINT"},"more":1}}', b'{"event":{"name":7,"payload":{}}}',
    b'{"order_event":{}} ', b' {"order_event":{}}',
)  # fmt: skip


@pytest.mark.parametrize("line", NOT_MESSAGES)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (of pydantic, with texts of its own)
        decode(line)
    with pytest.raises(ValueError):  # noqa: PT011
        decode_command(line)


def test_a_line_is_an_object_with_the_kind_as_its_key() -> None:
    assert from_json(encode(Progress(bars=7, actions=1))) == {"progress": {"bars": 7, "actions": 1}}
