import os

from opslab.children.pipe import MessagePipe
from opslab.model.pipe.messages import BarsDone, EncodedEvent, ReceivedMessage, decode
from opslab.model.run.metadata import Failure


def _sent(send: list[object]) -> list[ReceivedMessage]:
    """The messages that a pipe's reader receives. send: a message, or the value of an order event."""
    receiving, sending = os.pipe()
    pipe = MessagePipe(sending)
    for item in send:
        if isinstance(item, BarsDone):
            pipe.send(item)
        else:
            pipe.send_order_event(item, lambda value: {"price": 1 / value})
    pipe.close()
    with os.fdopen(receiving, "rb") as stream:
        return [decode(line.rstrip(b"\n")) for line in stream]


def test_order_events_and_messages_arrive_in_the_order_in_which_they_were_sent() -> None:
    done = BarsDone(bars=1)
    assert _sent([done, 1, done, 2]) == [
        done,
        EncodedEvent("order_event", {"price": 1.0}, b'{"price":1.0}'),
        done,
        EncodedEvent("order_event", {"price": 0.5}, b'{"price":0.5}'),
    ]


def test_an_event_that_cannot_be_encoded_fails_the_run_and_later_messages_still_arrive() -> None:
    failure, done = _sent([0, BarsDone(bars=1)])
    assert isinstance(failure, Failure)
    assert failure.kind == "lab"
    assert done == BarsDone(bars=1)
