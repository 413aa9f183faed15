"""The venue's port: connection limit, request deadlines, and a pause during which connections are refused."""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import sample

from pydantic_core import to_json

from opslab.errors import Environment
from opslab.venue.api_error import ApiError
from opslab.venue.counters import Counters

MAX_CONNECTIONS = 512
FIRST_REQUEST_SECONDS = 10.0
"""Time allowed from the connect to the first request."""
NEXT_REQUEST_SECONDS = 90.0
"""Time allowed from the end of a request's execution to the next request; it includes reading the answer."""
BACKLOG = 512
MIN_PORT = 10_000
PORT_ATTEMPTS = 20
_EPHEMERAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_OVERLOADED = to_json(ApiError.of(-1008).body())
_OVERLOADED_HEAD = (
    f"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: {len(_OVERLOADED)}\r\n\r\n".encode()
)


def reset_transport(transport: asyncio.Transport) -> None:
    """Close a connection by a TCP reset; the kernel would keep the unread data of a client that reads nothing."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):  # it was closed a moment ago, and has not yet been taken from the connections
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


@dataclass(slots=True)
class _Deadline:
    at: float | None
    """Loop time of the reset; None while a request is executed, or once the connection is a WebSocket: that has rules
    of its own."""


class Listener:
    def __init__(self, make_protocol: Callable[[], asyncio.Protocol], counters: Counters) -> None:
        """make_protocol: makes the protocol that serves one connection."""
        self._make_protocol = make_protocol
        self._counters = counters
        self._deadlines: dict[asyncio.BaseTransport, _Deadline] = {}
        self._connections = 0
        self._address = ("", 0)
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        """A bound socket that reserves the port while the listener is paused."""
        self._pauses = 0

    def __len__(self) -> int:
        return self._connections

    async def listen(self, host: str, port: int) -> int:
        """Listen; returns the port, a free one when `port` is 0. Raises Environment."""
        try:
            self._server = await self._listen_on_free_port(host) if port == 0 else await self._listen_at(host, port)
        except OSError as error:
            raise Environment(
                f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0).lower()}",
                hint="choose another port, or 0 for any free port",
            ) from None
        self._address = (host, self._server.sockets[0].getsockname()[1])
        return self._address[1]

    async def stop_listening(self) -> None:
        """Refuse new connections; open connections stay. Calls are counted: see `resume_listening`."""
        self._pauses += 1
        if self._server is None:
            return
        family = self._server.sockets[0].family
        self._server.close()
        self._server = None
        self._reserved = socket.socket(family)
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(self._address)

    async def resume_listening(self) -> None:
        """Listen again at the same address, once every `stop_listening` has been matched by a call of this."""
        self._pauses -= 1
        if self._pauses == 0 and self._reserved is not None:
            reserved, self._reserved = self._reserved, None
            self._server = await self._create_server()  # another socket can listen on a port that is merely bound
            reserved.close()

    def close(self) -> None:
        """Accept no more connections."""
        for server in (self._server, self._reserved):
            if server is not None:
                server.close()
        self._server = self._reserved = None

    def request_started(self, transport: asyncio.BaseTransport | None) -> None:
        """A request of the connection is being executed: no deadline applies."""
        self._set_deadline(transport, None)

    def request_finished(self, transport: asyncio.BaseTransport | None) -> None:
        """The connection may read its answer and send the next request."""
        self._set_deadline(transport, asyncio.get_running_loop().time() + NEXT_REQUEST_SECONDS)

    def reset_expired(self) -> None:
        """Reset the connections whose deadline has passed. Called periodically."""
        now = asyncio.get_running_loop().time()
        for transport, deadline in list(self._deadlines.items()):
            if deadline.at is not None and now > deadline.at:
                self._counters.count("slow connections")
                assert isinstance(transport, asyncio.Transport)
                reset_transport(transport)

    async def _listen_on_free_port(self, host: str) -> asyncio.Server:
        """On a port that the kernel assigns to no client, so that it is still free when the venue is restarted."""
        for port in sample(_listening_ports(), PORT_ATTEMPTS):
            with suppress(OSError):
                return await self._listen_at(host, port)
        return await self._listen_at(host, 0)

    async def _listen_at(self, host: str, port: int) -> asyncio.Server:
        self._address = (host, port)
        return await self._create_server()

    async def _create_server(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._new_connection, *self._address, backlog=BACKLOG, reuse_address=True)

    def _new_connection(self) -> asyncio.Protocol:
        if self._connections >= MAX_CONNECTIONS:
            self._counters.count("too many connections")
            return _RejectedConnection()
        self._connections += 1
        return _ClientConnection(self, self._make_protocol())

    def _set_deadline(self, transport: asyncio.BaseTransport | None, at: float | None) -> None:
        if transport is not None and (deadline := self._deadlines.get(transport)):
            deadline.at = at

    def connection_opened(self, transport: asyncio.BaseTransport) -> None:
        self._deadlines[transport] = _Deadline(asyncio.get_running_loop().time() + FIRST_REQUEST_SECONDS)

    def connection_closed(self, transport: asyncio.BaseTransport | None) -> None:
        self._connections -= 1
        if transport is not None:
            self._deadlines.pop(transport, None)


def _listening_ports() -> range:
    """The ports below the ephemeral range. A client that connects while nothing listens could be assigned the venue's
    own port as its local port, and the venue could not listen there until that client closes."""
    with suppress(OSError, ValueError):
        first_ephemeral = int(_EPHEMERAL_PORTS.read_text().split()[0])
        if first_ephemeral >= 2 * MIN_PORT:
            return range(MIN_PORT, first_ephemeral)
    return range(MIN_PORT, 2 * MIN_PORT)


class _ClientConnection(asyncio.Protocol):
    """One accepted connection: reports its begin and end to the listener, passes everything else on."""

    def __init__(self, listener: Listener, inner: asyncio.Protocol) -> None:
        self._listener = listener
        self._transport: asyncio.BaseTransport | None = None
        self._inner = inner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._listener.connection_opened(transport)
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
        self._listener.connection_closed(self._transport)
        self._inner.connection_lost(exc)


class _RejectedConnection(asyncio.Protocol):
    """A connection beyond the limit: it gets a 503 and is closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_OVERLOADED_HEAD + _OVERLOADED)
        transport.close()
