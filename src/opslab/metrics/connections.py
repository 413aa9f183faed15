"""Connections of the metrics server: each has one deadline for its request and its answer, and they have a limit.

A client that sends nothing, sends half a request or never reads holds a connection until its deadline, and no other.
"""

import asyncio
from collections.abc import Callable

_FULL = b"too many connections\n"
_FULL_ANSWER = b"".join(
    (
        b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain\r\n",
        b"Content-Length: %d\r\n\r\n" % len(_FULL),
        _FULL,
    )
)


class Connections:
    """A factory of protocols for `create_server`."""

    def __init__(self, make_protocol: Callable[[], asyncio.Protocol], limit: int, seconds: float) -> None:
        """make_protocol: makes the protocol that serves one connection. limit: of open connections.

        seconds: from the connect to the end of the answer; each connection serves one request.
        """
        self._make_protocol = make_protocol
        self._limit = limit
        self._seconds = seconds
        self._open = 0

    def __call__(self) -> asyncio.Protocol:
        if self._open >= self._limit:
            return _Refused()
        self._open += 1
        return _Connection(self._make_protocol(), self._seconds, self._closed)

    def _closed(self) -> None:
        self._open -= 1


class _Connection(asyncio.Protocol):
    """Ends at its deadline; passes everything else on."""

    def __init__(self, inner: asyncio.Protocol, seconds: float, on_close: Callable[[], None]) -> None:
        self._inner = inner
        self._seconds = seconds
        self._on_close = on_close
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._deadline = asyncio.get_running_loop().call_later(self._seconds, transport.abort)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._on_close()
        self._inner.connection_lost(exc)


class _Refused(asyncio.Protocol):
    """A connection beyond the limit: it gets a 503 and is closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_FULL_ANSWER)
        transport.close()
