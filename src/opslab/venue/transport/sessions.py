"""WebSocket connections of clients: bounded send queues; a client that does not read is disconnected.

A message for many clients is encoded once. Each connection has its own sending task, so that a slow reader delays no
other client.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from aiohttp import WebSocketError, WSMsgType, web

from opslab.venue.counters import Counters
from opslab.venue.fault_hooks import ConnectionKind, FaultHooks, Message
from opslab.venue.transport.listener import reset_transport

MAX_WAITING_BYTES = 8 << 20
"""Queue limit of one connection, without what the kernel holds."""
MAX_TOTAL_WAITING_BYTES = 64 << 20
"""Queue limit of all connections together; beyond it the connection with the longest queue is reset."""
MAX_MESSAGES_PER_SECOND = 10
"""Binance's own limit of what a client may send on a market stream."""
PONG_WAIT_SECONDS = 10.0
PING_SECONDS = 180.0
PONG_SECONDS = 600.0
MAX_PING_DIGITS = 18
POLICY_VIOLATION = 1008
"""Close code for a client that exceeds the message limit."""
NOT_READING = "not reading"
CONNECTION_LOST = "connection lost"


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
        """Why the venue ended it; None while it lasts, and when the client closed it."""
        self._socket = socket
        self._transport = transport
        self._hooks = hooks
        self._clients = clients
        self._closed = False
        self._waiting: deque[str] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._received_at: deque[float] = deque(maxlen=MAX_MESSAGES_PER_SECOND)
        self.last_pong = asyncio.get_running_loop().time()
        self._pings = 0
        """Pings sent; the payload of each is its number."""
        self._answered_ping = 0
        self._last_ping_answered = asyncio.Event()

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    def send(self, text: str, stream: str = "") -> None:
        """Queue a message. A connection whose queue exceeds the limit is reset."""
        if self._hooks.messages:
            for message in self._hooks.pass_through(Message(self, self.kind, stream, text)):
                message.receiver.deliver(message)
        else:
            self._queue(text)

    def deliver(self, message: Message) -> None:
        """Queue the message without applying faults."""
        self._queue(message.text)

    def _queue(self, text: str) -> None:
        if self.drop_reason is not None or self._closed:
            return
        self._waiting.append(text)
        self._waiting_bytes += len(text)
        self._empty.clear()
        self._wake.set()
        self._clients.add_waiting_bytes(len(text))
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self.drop(NOT_READING)

    def drop(self, reason: str) -> None:
        """Reset the connection at once and discard its queue."""
        self.drop_reason = self.drop_reason or reason
        self._discard_queue()
        reset_transport(self._transport)
        self._wake.set()
        self._empty.set()

    def mark_closed(self) -> None:
        """The connection is closed: queue nothing any more."""
        self._closed = True
        self._discard_queue()

    def reset(self) -> None:
        """As if the network had failed: the peer gets a TCP reset and no close frame."""
        self.drop("reset")

    async def close(self, code: int, reason: str) -> None:
        with suppress(ConnectionError, RuntimeError):
            await self._socket.close(code=code, message=reason.encode(), drain=False)

    async def wait_drained(self) -> None:
        """Wait until the queue has been written to the kernel, or the connection has ended."""
        await self._empty.wait()

    async def wait_read(self, seconds: float) -> None:
        """Wait until the client has read everything, proven by its pong to a later ping; at most `seconds`."""
        with suppress(TimeoutError, ConnectionError, RuntimeError):
            async with asyncio.timeout(seconds):
                await self.wait_drained()
                await self._ping()
                await self._last_ping_answered.wait()

    async def _ping(self) -> None:
        self._pings += 1
        self._last_ping_answered.clear()
        await self._socket.ping(str(self._pings).encode())

    def answers_ping(self, data: bytes, now: float) -> bool:
        """Record a pong; whether it is the first answer to a ping of the venue."""
        self.last_pong = now
        number = int(data) if data.isdigit() and len(data) <= MAX_PING_DIGITS else 0
        if not self._answered_ping < number <= self._pings:
            return False
        self._answered_ping = number
        if number == self._pings:
            self._last_ping_answered.set()
        return True

    def allow_message(self, now: float) -> bool:
        """Count a message from the client; False when it exceeds the limit.

        A pong that answers a ping of the venue is not the client's message: at full speed the venue pings for every
        candle (`wait_read`).
        """
        over = len(self._received_at) == MAX_MESSAGES_PER_SECOND and now - self._received_at[0] < 1.0
        self._received_at.append(now)
        return not over

    async def send_queued(self) -> None:
        """Send queued messages until the connection ends."""
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
            self.drop_reason = self.drop_reason or CONNECTION_LOST
        finally:
            self._discard_queue()
            self._empty.set()

    def _discard_queue(self) -> None:
        self._clients.add_waiting_bytes(-self._waiting_bytes)
        self._waiting.clear()
        self._waiting_bytes = 0

    async def pong(self, data: bytes) -> None:
        """Answer a ping; a client that sends pings and does not read is disconnected."""
        try:
            async with asyncio.timeout(PONG_WAIT_SECONDS):
                await self._socket.pong(data)
        except TimeoutError:
            self.drop(NOT_READING)

    async def ping_periodically(self) -> None:
        """Ping every PING_SECONDS; a client without a pong for PONG_SECONDS is disconnected."""
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError, RuntimeError):
            while True:
                await asyncio.sleep(PING_SECONDS)
                if loop.time() - self.last_pong > PONG_SECONDS:
                    self.drop("no pong")
                    return
                await self._ping()


class Clients:
    """All open WebSocket connections."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._waiting_bytes = 0
        self._open: set[Connection] = set()
        self._sent_to_closed = 0

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._open)

    @property
    def messages(self) -> int:
        """The number of messages sent since the start."""
        return self._sent_to_closed + sum(connection.sent for connection in self._open)

    def add(self, connection: Connection) -> None:
        self._open.add(connection)

    def remove(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._sent_to_closed += connection.sent
        connection.mark_closed()
        if connection.drop_reason:
            self._counters.count(f"clients disconnected: {connection.drop_reason}")

    def add_waiting_bytes(self, size_bytes: int) -> None:
        """Called with the size of a queued message, and with the negative size of a sent one."""
        self._waiting_bytes += size_bytes
        if self._waiting_bytes > MAX_TOTAL_WAITING_BYTES:
            for longest in heapq.nlargest(1, self._open, key=lambda connection: connection.waiting_bytes):
                longest.drop(NOT_READING)

    async def wait_drained(self, seconds: float) -> None:
        """Wait until all queues are written. A connection that takes longer than `seconds` is reset."""
        slow = [connection for connection in self._open if connection.waiting_bytes]
        if not slow:
            return
        _, late = await asyncio.wait(
            {asyncio.ensure_future(connection.wait_drained()): connection for connection in slow}, timeout=seconds
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
    on_message: Callable[[Connection, str], None],
    on_open: Callable[[Connection], None],
) -> tuple[web.WebSocketResponse, Connection]:
    """Serve one client until it disconnects. on_message: called with every text message."""
    transport = request.transport
    assert isinstance(transport, asyncio.Transport)
    socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=64 << 10)
    await socket.prepare(request)
    connection = Connection(socket, transport, kind, hooks, clients)
    clients.add(connection)
    tasks = [asyncio.ensure_future(connection.send_queued()), asyncio.ensure_future(connection.ping_periodically())]
    loop = asyncio.get_running_loop()
    try:
        on_open(connection)
        async for message in socket:
            if message.type is WSMsgType.PONG and connection.answers_ping(message.data, loop.time()):
                continue
            if kind != "trading" and not connection.allow_message(loop.time()):
                connection.drop_reason = "too many messages"
                await connection.close(POLICY_VIOLATION, "Too many requests")
                break
            if message.type is WSMsgType.TEXT:
                on_message(connection, message.data)
            elif message.type is WSMsgType.PING and not any(mute(kind) for mute in hooks.mute):
                await connection.pong(message.data)
    except (ConnectionError, RuntimeError):
        connection.drop_reason = connection.drop_reason or CONNECTION_LOST
    finally:
        if isinstance(socket.exception(), WebSocketError) and not connection.drop_reason:
            connection.drop_reason = "malformed frames"
        clients.remove(connection)
        for task in tasks:
            task.cancel()
    return socket, connection
