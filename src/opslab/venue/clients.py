"""Connections of clients: what waits to be sent to each is bounded, and one that does not read is let go.

A message that many get is encoded once. Each connection has a task of its own that sends, so that a slow reader holds
up nobody else.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from aiohttp import WSMsgType, web

MAX_WAITING_BYTES = 8 << 20
"""What may wait for one connection, what the kernel holds left out."""
MESSAGES_A_SECOND = 10
"""Binance's own figure for what a client may send on a market stream."""
PING_SECONDS = 180.0
PONG_SECONDS = 600.0
POLICY = 1008
"""Close code of a client that breaks the rules."""


class Connection:
    """One WebSocket. `send` never waits."""

    def __init__(self, socket: web.WebSocketResponse, abort: Callable[[], None], address: str) -> None:
        self.address = address
        self.sent = 0
        self.dropped_for: str | None = None
        """Why it was let go, when it was."""
        self._socket = socket
        self._abort = abort
        self._waiting: deque[str] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._heard: deque[float] = deque(maxlen=MESSAGES_A_SECOND)
        self.last_pong = asyncio.get_running_loop().time()

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    def send(self, text: str) -> None:
        """Queue a message. A connection that has too much waiting is cut off."""
        if self.dropped_for is not None:
            return
        self._waiting.append(text)
        self._waiting_bytes += len(text)
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self.drop("it does not read")
            return
        self._empty.clear()
        self._wake.set()

    def drop(self, why: str) -> None:
        """Cut it off at once, whatever waits."""
        self.dropped_for = self.dropped_for or why
        self._waiting.clear()
        self._waiting_bytes = 0
        self._abort()
        self._wake.set()
        self._empty.set()

    async def close(self, code: int, reason: str) -> None:
        with suppress(ConnectionError, RuntimeError):
            await self._socket.close(code=code, message=reason.encode(), drain=False)

    async def drained(self) -> None:
        """Everything that was queued has been handed to the kernel, or the connection is gone."""
        await self._empty.wait()

    def may_speak(self, now: float) -> bool:
        """Count a message from the client; False when it sends more than it may."""
        over = len(self._heard) == MESSAGES_A_SECOND and now - self._heard[0] < 1.0
        self._heard.append(now)
        return not over

    async def sending(self) -> None:
        """Send what is queued, until the connection ends."""
        socket = self._socket
        try:
            while self.dropped_for is None:
                while self._waiting:
                    text = self._waiting.popleft()
                    self._waiting_bytes -= len(text)
                    await socket.send_str(text)
                    self.sent += 1
                self._empty.set()
                self._wake.clear()
                await self._wake.wait()
        except (ConnectionError, RuntimeError):
            self.dropped_for = self.dropped_for or "it is gone"
        finally:
            self._waiting.clear()
            self._waiting_bytes = 0
            self._empty.set()

    async def pinging(self) -> None:
        """Ping it now and then; one that never answers is let go."""
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError, RuntimeError):
            while True:
                await asyncio.sleep(PING_SECONDS)
                if loop.time() - self.last_pong > PONG_SECONDS:
                    self.drop("it answers no ping")
                    return
                await self._socket.ping()


class Clients:
    """All connections that are open."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self.sent_before = 0
        """To those that have gone."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._open)

    @property
    def messages(self) -> int:
        return self.sent_before + sum(connection.sent for connection in self._open)

    def add(self, connection: Connection) -> None:
        self._open.add(connection)

    def remove(self, connection: Connection) -> None:
        self._open.discard(connection)
        self.sent_before += connection.sent

    async def drained(self, seconds: float) -> None:
        """Wait until everybody has taken what was sent. Who takes longer than `seconds` is let go."""
        slow = [connection for connection in self._open if connection.waiting_bytes]
        if not slow:
            return
        _, late = await asyncio.wait(
            {asyncio.ensure_future(connection.drained()): connection for connection in slow}, timeout=seconds
        )
        for task in late:
            task.cancel()
        for connection in slow if late else ():
            if connection.waiting_bytes:
                connection.drop("it does not read")


async def serve_socket(
    request: web.Request,
    clients: Clients,
    heard: Callable[[Connection, str], None],
    opened: Callable[[Connection], None] = lambda _connection: None,
    *,
    limited: bool = True,
) -> tuple[web.WebSocketResponse, Connection]:
    """Talk to one client until it goes. heard: called with every text message; limited: it may not send many."""
    socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=64 << 10)
    await socket.prepare(request)
    transport = request.transport
    abort = transport.abort if isinstance(transport, asyncio.Transport) else lambda: None
    connection = Connection(socket, abort, request.remote or "")
    clients.add(connection)
    tasks = [asyncio.ensure_future(connection.sending()), asyncio.ensure_future(connection.pinging())]
    loop = asyncio.get_running_loop()
    try:
        opened(connection)
        async for message in socket:
            if limited and not connection.may_speak(loop.time()):
                connection.dropped_for = "it sends too many messages"
                await connection.close(POLICY, "Too many requests")
                break
            if message.type is WSMsgType.TEXT:
                heard(connection, message.data)
            elif message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                connection.last_pong = loop.time()
    except (ConnectionError, RuntimeError):
        connection.dropped_for = connection.dropped_for or "it is gone"
    finally:
        clients.remove(connection)
        for task in tasks:
            task.cancel()
    return socket, connection
