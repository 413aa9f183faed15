"""One request and its answer over a connected socket, within a deadline and bounds."""

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import h11

from opslab.model.checks.connectivity import ProbePhase, ProbeReason
from opslab.model.primitives.loopback_url import LoopbackUrl

MAX_HEAD_BYTES = 32 << 10
"""Status line and headers, with all informational answers before them; trailers have as much again."""
MAX_BODY_BYTES = 1 << 20
"""As sent, chunk sizes included."""
_READ_BYTES = 16 << 10
_BEGINS = b"HTTP/1."


class NoCompleteResponse(Exception):
    """No whole answer will come of it."""

    def __init__(self, reason: ProbeReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class PartialResponse:
    """What is known of an answer so far."""

    phase: ProbePhase = "request"
    first_byte_at_s: float | None = None
    status_code: int | None = None
    http_version: str | None = None
    header_count: int | None = None
    head_bytes: int | None = None
    body_bytes: int | None = None


class HttpExchange:
    """`run` once. What it has learned stands in `answer`, also when it raises."""

    def __init__(self, connection: socket.socket, monotonic_s: Callable[[], float], deadline_s: float) -> None:
        self.answer = PartialResponse()
        self._connection = connection
        self._now_s = monotonic_s
        self._deadline_s = deadline_s
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._received = 0
        self._first = b""
        self._ended = False

    def run(self, url: LoopbackUrl, user_agent: str) -> None:
        """Send one GET and read its answer to the end. Raises TimeoutError or Broken."""
        self._send(url, user_agent)
        self.answer.phase = "first_byte"
        while not isinstance(event := self._next(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                self._head(event)
            elif isinstance(event, h11.Data) and self.answer.body_bytes is not None:
                self.answer.body_bytes += len(event.data)
        self.answer.phase = "done"

    def _send(self, url: LoopbackUrl, user_agent: str) -> None:
        headers = [
            ("Host", url.authority),
            ("User-Agent", user_agent),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        data = self._parser.send(h11.Request(method="GET", target=url.target, headers=headers))
        self._parser.send(h11.EndOfMessage())
        self._connection.settimeout(self._left_s())
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered already
            self._connection.sendall(data or b"")

    def _next(self) -> object:
        while True:
            try:
                event = self._parser.next_event()
            except h11.ProtocolError:
                raise NoCompleteResponse("closed_early" if self._ended else "malformed") from None
            if event is not h11.NEED_DATA:
                return event
            self._parser.receive_data(self._read())

    def _head(self, response: h11.Response) -> None:
        answer = self.answer
        answer.phase = "body"
        answer.status_code = response.status_code
        answer.http_version = response.http_version.decode("ascii")
        answer.header_count = len(response.headers)
        answer.head_bytes = self._received - len(self._parser.trailing_data[0])
        answer.body_bytes = 0

    def _read(self) -> bytes:
        """The next bytes; none at the end of the stream. Raises TimeoutError, or Broken beyond a bound."""
        room = self._room()
        self._connection.settimeout(self._left_s())
        try:
            data = self._connection.recv(min(room, _READ_BYTES))
        except TimeoutError:
            raise
        except OSError:  # a reset ends no answer, whatever had come
            raise NoCompleteResponse("closed_early") from None
        if not data:
            self._ended = True
            return data
        if self.answer.first_byte_at_s is None:
            self.answer.first_byte_at_s = self._now_s()
            self.answer.phase = "head"
        self._received += len(data)
        if len(self._first) < len(_BEGINS):
            self._first = (self._first + data)[: len(_BEGINS)]
            if not _BEGINS.startswith(self._first):
                raise NoCompleteResponse("malformed")
        return data

    def _room(self) -> int:
        """How many more bytes may come."""
        if self.answer.head_bytes is None:
            reason: ProbeReason = "head_too_long"
            end = MAX_HEAD_BYTES
        else:
            reason, end = "body_too_long", self.answer.head_bytes + MAX_BODY_BYTES
        if self._received >= end:
            raise NoCompleteResponse(reason)
        return end - self._received

    def _left_s(self) -> float:
        left_s = self._deadline_s - self._now_s()
        if left_s <= 0:
            raise TimeoutError
        return left_s
