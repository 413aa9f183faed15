"""Connections of clients: what waits to be sent to each is bounded, and one that does not read is let go.

A message that many get is encoded once. Each connection has a task of its own that sends, so that a slow reader holds
up nobody else.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from aiohttp import WebSocketError, WSMsgType, web

from opslab.venue.counters import Counters
from opslab.venue.fault_hooks import ConnectionKind, Message, FaultHooks
from opslab.venue.transport.listener import cut

MAX_WAITING_BYTES = 8 << 20
"""What may wait for one connection, what the kernel holds left out."""
MAX_WAITING_IN_ALL_BYTES = 64 << 20
"""What may wait for all of them together; beyond, the one for whom most waits is let go."""
MESSAGES_A_SECOND = 10
"""Binance's own figure for what a client may send on a market stream."""
PONG_WAIT_SECONDS = 10.0
PING_SECONDS = 180.0
PONG_SECONDS = 600.0
POLICY = 1008
"""Close code of a client that breaks the rules."""
NOT_READING = "it does not read"


class Connection:
    """One WebSocket. `send` never waits."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        kind: ConnectionKind,
        hooks: FaultHooks,
        clients: "Clients",
    ) -> None:
        peer = transport.get_extra_info("peername")
        self.address: str = peer[0] if peer else ""
        self.kind = kind
        self.sent = 0
        self.drop_reason: str | None = None
        """Why it was let go, when it was."""
        self._socket = socket
        self._transport = transport
        self._hooks = hooks
        self._clients = clients
        self._ended = False
        self._waiting: deque[str] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._heard: deque[float] = deque(maxlen=MESSAGES_A_SECOND)
        self.last_pong = asyncio.get_running_loop().time()
        self.ponged = asyncio.Event()

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    def send(self, text: str, stream: str = "") -> None:
        """Queue a message. A connection that has too much waiting is cut off."""
        if self._hooks.messages:
            for message in self._hooks.pass_through(Message(self, self.kind, stream, text)):
                message.to.deliver(message)
        else:
            self._queue(text)

    def deliver(self, message: Message) -> None:
        """Queue it, past the faults."""
        self._queue(message.text)

    def _queue(self, text: str) -> None:
        if self.drop_reason is not None or self._ended:
            return
        self._waiting.append(text)
        self._waiting_bytes += len(text)
        self._empty.clear()
        self._wake.set()
        self._clients.add_waiting_bytes(len(text))
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self.drop(NOT_READING)

    def drop(self, why: str) -> None:
        """Cut it off at once, whatever waits."""
        self.drop_reason = self.drop_reason or why
        self._forget()
        cut(self._transport)
        self._wake.set()
        self._empty.set()

    def end(self) -> None:
        """It is closed: nothing is queued any more."""
        self._ended = True
        self._forget()

    def reset(self) -> None:
        """As if the network had cut it: the peer sees a reset, and no goodbye."""
        self.drop("reset")

    async def close(self, code: int, reason: str) -> None:
        with suppress(ConnectionError, RuntimeError):
            await self._socket.close(code=code, message=reason.encode(), drain=False)

    async def drained(self) -> None:
        """Everything that was queued has been handed to the kernel, or the connection is gone."""
        await self._empty.wait()

    async def read(self, seconds: float) -> None:
        """Its client has read everything that was sent, for it answers a ping behind that; or it takes too long."""
        with suppress(TimeoutError, ConnectionError, RuntimeError):
            async with asyncio.timeout(seconds):
                await self.drained()
                self.ponged.clear()
                await self._socket.ping()
                await self.ponged.wait()

    def allow_message(self, now: float) -> bool:
        """Count a message from the client; False when it sends more than it may."""
        over = len(self._heard) == MESSAGES_A_SECOND and now - self._heard[0] < 1.0
        self._heard.append(now)
        return not over

    async def sending(self) -> None:
        """Send what is queued, until the connection ends."""
        socket = self._socket
        try:
            while self.drop_reason is None:
                while self._waiting:
                    text = self._waiting.popleft()
                    self._waiting_bytes -= len(text)
                    self._clients.add_waiting_bytes(-len(text))
                    await socket.send_str(text)
                    self.sent += 1
                self._empty.set()
                self._wake.clear()
                await self._wake.wait()
        except (ConnectionError, RuntimeError):
            self.drop_reason = self.drop_reason or "it is gone"
        finally:
            self._forget()
            self._empty.set()

    def _forget(self) -> None:
        self._clients.add_waiting_bytes(-self._waiting_bytes)
        self._waiting.clear()
        self._waiting_bytes = 0

    async def pong(self, data: bytes) -> None:
        """Answer a ping; whoever pings and does not read is let go."""
        try:
            async with asyncio.timeout(PONG_WAIT_SECONDS):
                await self._socket.pong(data)
        except TimeoutError:
            self.drop(NOT_READING)

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

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._waiting_bytes = 0
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
        connection.end()
        if connection.drop_reason:
            self._counters.count(f"clients let go: {connection.drop_reason}")

    def add_waiting_bytes(self, more_bytes: int) -> None:
        """Called with what is queued, and with minus what is sent."""
        self._waiting_bytes += more_bytes
        if self._waiting_bytes > MAX_WAITING_IN_ALL_BYTES:
            for worst in heapq.nlargest(1, self._open, key=lambda connection: connection.waiting_bytes):
                worst.drop(NOT_READING)

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
                connection.drop(NOT_READING)


async def serve_websocket(
    request: web.Request,
    clients: Clients,
    kind: ConnectionKind,
    hooks: FaultHooks,
    heard: Callable[[Connection, str], None],
    opened: Callable[[Connection], None],
) -> tuple[web.WebSocketResponse, Connection]:
    """Talk to one client until it goes. heard: called with every text message."""
    transport = request.transport
    assert isinstance(transport, asyncio.Transport)
    answer = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=64 << 10)
    await answer.prepare(request)
    connection = Connection(answer, transport, kind, hooks, clients)
    clients.add(connection)
    tasks = [asyncio.ensure_future(connection.sending()), asyncio.ensure_future(connection.pinging())]
    loop = asyncio.get_running_loop()
    try:
        opened(connection)
        async for message in answer:
            if kind != "trading" and not connection.allow_message(loop.time()):
                connection.drop_reason = "it sends too many messages"
                await connection.close(POLICY, "Too many requests")
                break
            if message.type is WSMsgType.TEXT:
                heard(connection, message.data)
            elif message.type is WSMsgType.PING:
                if not any(mute(kind) for mute in hooks.mute):
                    await connection.pong(message.data)
            elif message.type is WSMsgType.PONG:
                connection.last_pong = loop.time()
                connection.ponged.set()
    except (ConnectionError, RuntimeError):
        connection.drop_reason = connection.drop_reason or "it is gone"
    finally:
        if isinstance(answer.exception(), WebSocketError) and not connection.drop_reason:
            connection.drop_reason = "it sends malformed frames"
        clients.remove(connection)
        for task in tasks:
            task.cancel()
    return answer, connection
