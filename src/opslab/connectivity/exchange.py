"""One HTTP request and its response over a connected socket, with a deadline and size limits."""

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import h11

from opslab.model.checks.connectivity import ProbePhase, ProbeReason
from opslab.model.primitives.loopback_url import LoopbackUrl

MAX_HEAD_BYTES = 32 << 10
"""Status line and headers, including all informational responses before them; trailers have the same limit again."""
MAX_BODY_BYTES = 1 << 20
"""As received, including chunk sizes."""
_READ_BYTES = 16 << 10
_HTTP_PREFIX = b"HTTP/1."


class NoCompleteResponse(Exception):
    """There is no complete response, for `reason`."""

    def __init__(self, reason: ProbeReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class PartialResponse:
    """The response as far as it was received."""

    phase: ProbePhase = "request"
    first_byte_at_s: float | None = None
    status_code: int | None = None
    http_version: str | None = None
    header_count: int | None = None
    head_bytes: int | None = None
    body_bytes: int | None = None


class HttpExchange:
    """Call `run` once. `response` has what was received, also if it raises."""

    def __init__(self, connection: socket.socket, monotonic_s: Callable[[], float], deadline_s: float) -> None:
        self.response = PartialResponse()
        self._connection = connection
        self._now_s = monotonic_s
        self._deadline_s = deadline_s
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._received = 0
        self._prefix = b""
        self._stream_ended = False

    def run(self, url: LoopbackUrl, user_agent: str) -> None:
        """Send one GET and read its response to the end. Raises TimeoutError or NoCompleteResponse."""
        self._send(url, user_agent)
        self.response.phase = "first_byte"
        while not isinstance(event := self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                self._store_head(event)
            elif isinstance(event, h11.Data) and self.response.body_bytes is not None:
                self.response.body_bytes += len(event.data)
        self.response.phase = "done"

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
        self._connection.settimeout(self._remaining_s())
        with suppress(BrokenPipeError, ConnectionResetError):  # the server may have answered already
            self._connection.sendall(data or b"")

    def _next_event(self) -> object:
        while True:
            try:
                event = self._parser.next_event()
            except h11.ProtocolError:
                raise NoCompleteResponse("closed_early" if self._stream_ended else "malformed") from None
            if event is not h11.NEED_DATA:
                return event
            self._parser.receive_data(self._read())

    def _store_head(self, head: h11.Response) -> None:
        response = self.response
        response.phase = "body"
        response.status_code = head.status_code
        response.http_version = head.http_version.decode("ascii")
        response.header_count = len(head.headers)
        response.head_bytes = self._received - len(self._parser.trailing_data[0])
        response.body_bytes = 0

    def _read(self) -> bytes:
        """The next bytes; empty at the end of the stream. Raises TimeoutError, or NoCompleteResponse beyond a limit."""
        remaining_bytes = self._remaining_bytes()
        self._connection.settimeout(self._remaining_s())
        try:
            data = self._connection.recv(min(remaining_bytes, _READ_BYTES))
        except TimeoutError:
            raise
        except OSError:  # after a reset the response is incomplete, whatever was received
            raise NoCompleteResponse("closed_early") from None
        if not data:
            self._stream_ended = True
            return data
        if self.response.first_byte_at_s is None:
            self.response.first_byte_at_s = self._now_s()
            self.response.phase = "head"
        self._received += len(data)
        if len(self._prefix) < len(_HTTP_PREFIX):
            self._prefix = (self._prefix + data)[: len(_HTTP_PREFIX)]
            if not _HTTP_PREFIX.startswith(self._prefix):
                raise NoCompleteResponse("malformed")
        return data

    def _remaining_bytes(self) -> int:
        """Bytes that may still be received. Raises NoCompleteResponse if there are none."""
        if self.response.head_bytes is None:
            reason: ProbeReason = "head_too_long"
            limit = MAX_HEAD_BYTES
        else:
            reason, limit = "body_too_long", self.response.head_bytes + MAX_BODY_BYTES
        if self._received >= limit:
            raise NoCompleteResponse(reason)
        return limit - self._received

    def _remaining_s(self) -> float:
        remaining_s = self._deadline_s - self._now_s()
        if remaining_s <= 0:
            raise TimeoutError
        return remaining_s
