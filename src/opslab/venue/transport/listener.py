"""The port: how many may be connected, how long each may take to say what it wants, and when nobody is let in."""

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
"""From a connection's begin to its first request."""
NEXT_REQUEST_SECONDS = 90.0
"""From the end of a request's work to the next request; taking its answer counts in."""
BACKLOG = 512
MIN_PORT = 10_000
TRIES = 20
_CLIENT_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FULL = to_json(ApiError.of(-1008).body())
_FULL_HEAD = f"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: {len(_FULL)}\r\n\r\n".encode()


def cut(transport: asyncio.Transport) -> None:
    """End a connection by a reset: for who takes nothing, the kernel would keep what it holds for long."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


@dataclass(slots=True)
class _Visit:
    until: float | None
    """When it is cut; None while its request is at work, or it has become a socket that has rules of its own."""


class Listener:
    def __init__(self, inner: Callable[[], asyncio.Protocol], counters: Counters) -> None:
        """inner: makes the protocol that serves one connection."""
        self._inner = inner
        self._counters = counters
        self._visits: dict[asyncio.BaseTransport, _Visit] = {}
        self._expected = 0
        self._place = ("", 0)
        self._listener: asyncio.Server | None = None
        self._kept: socket.socket | None = None
        """Keeps the port while nobody listens."""
        self._deaf = 0

    def __len__(self) -> int:
        return self._expected

    async def listen(self, host: str, port: int) -> int:
        """The port, which was free when `port` is 0. Raises Environment."""
        try:
            self._listener = await self._anywhere(host) if port == 0 else await self._at(host, port)
        except OSError as error:
            raise Environment(
                f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0).lower()}",
                hint="take another port, or 0 for any free one",
            ) from None
        self._place = (host, self._listener.sockets[0].getsockname()[1])
        return self._place[1]

    async def stop_listening(self) -> None:
        """Stop listening: who connects is refused. Connections that are open stay. Counted: see `hear_again`."""
        self._deaf += 1
        if self._listener is None:
            return
        family = self._listener.sockets[0].family
        self._listener.close()
        self._listener = None
        self._kept = socket.socket(family)
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind(self._place)

    async def resume_listening(self) -> None:
        """Listen again, at the same place, when as many have asked for it as for silence."""
        self._deaf -= 1
        if self._deaf == 0 and self._kept is not None:
            kept, self._kept = self._kept, None
            self._listener = await self._listening()  # a port that is merely kept can be listened to by another socket
            kept.close()

    def close(self) -> None:
        """Let nobody in any more."""
        for found in (self._listener, self._kept):
            if found is not None:
                found.close()
        self._listener = self._kept = None

    def at_work(self, transport: asyncio.BaseTransport | None) -> None:
        """Its request is being dealt with."""
        self._set(transport, None)

    def done(self, transport: asyncio.BaseTransport | None) -> None:
        """It may take its answer, and ask again."""
        self._set(transport, asyncio.get_running_loop().time() + NEXT_REQUEST_SECONDS)

    def reset_expired(self) -> None:
        """Cut those that have taken too long. Called now and then."""
        now = asyncio.get_running_loop().time()
        for transport, visit in list(self._visits.items()):
            if visit.until is not None and now > visit.until:
                self._counters.count("slow connections")
                assert isinstance(transport, asyncio.Transport)
                cut(transport)

    async def _anywhere(self, host: str) -> asyncio.Server:
        """At a port that the kernel gives to no client, so that it is still there for a venue that comes back."""
        for port in sample(_own_ports(), TRIES):
            with suppress(OSError):
                return await self._at(host, port)
        return await self._at(host, 0)

    async def _at(self, host: str, port: int) -> asyncio.Server:
        self._place = (host, port)
        return await self._listening()

    async def _listening(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._visitor, *self._place, backlog=BACKLOG, reuse_address=True)

    def _visitor(self) -> asyncio.Protocol:
        if self._expected >= MAX_CONNECTIONS:
            self._counters.count("too many connections")
            return _TurnedAway()
        self._expected += 1
        return _Visitor(self, self._inner())

    def _set(self, transport: asyncio.BaseTransport | None, until: float | None) -> None:
        if transport is not None and (visit := self._visits.get(transport)):
            visit.until = until

    def came(self, transport: asyncio.BaseTransport) -> None:
        self._visits[transport] = _Visit(asyncio.get_running_loop().time() + FIRST_REQUEST_SECONDS)

    def left(self, transport: asyncio.BaseTransport | None) -> None:
        self._expected -= 1
        if transport is not None:
            self._visits.pop(transport, None)


def _own_ports() -> range:
    """Below those that clients are given. Who knocks while nobody listens would now and then be given the port itself,
    and nobody could listen there until it lets go."""
    with suppress(OSError, ValueError):
        first = int(_CLIENT_PORTS.read_text().split()[0])
        if first >= 2 * MIN_PORT:
            return range(MIN_PORT, first)
    return range(MIN_PORT, 2 * MIN_PORT)


class _Visitor(asyncio.Protocol):
    """One connection, on its way to the protocol that serves it."""

    def __init__(self, listener: Listener, inner: asyncio.Protocol) -> None:
        self._port_listener = listener
        self._transport: asyncio.BaseTransport | None = None
        self._inner = inner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._port_listener.came(transport)
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
        self._port_listener.left(self._transport)
        self._inner.connection_lost(exc)


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_FULL_HEAD + _FULL)
        transport.close()
