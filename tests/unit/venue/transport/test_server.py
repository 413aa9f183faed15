"""The server and its connections: loopback addresses, queue limits, and disconnected clients."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiohttp import web

from opslab.errors import Usage
from opslab.model.messages.venue_messages import VenueKey, VenueLimits
from opslab.venue.counters import Counters
from opslab.venue.fault_hooks import FaultHooks
from opslab.venue.transport.market_streams import MarketStreams
from opslab.venue.transport.rate_limits import RateLimiter
from opslab.venue.transport.request_pipeline import RequestPipeline
from opslab.venue.transport.server import Server, is_loopback
from opslab.venue.transport.sessions import (
    MAX_MESSAGES_PER_SECOND,
    MAX_TOTAL_WAITING_BYTES,
    MAX_WAITING_BYTES,
    PING_SECONDS,
    PONG_SECONDS,
    Clients,
    Connection,
)
from opslab.venue.transport.user_data_stream import UserDataStream
from tests.fakes import virtual_time

KEY = VenueKey(api_key="k", api_secret="s")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            "0.0.0.0",
            "::",
            "10.0.0.1",
            "192.168.0.1",
            "example.com",
            "localhost.",
            "LOCALHOST",
            "localhost.example",
        ),
        *("127.1", "0177.0.0.1", "2130706433", "0x7f000001", "127.0.0.1 ", " 127.0.0.1", "127.0.0.1/8", "127.0.0.1:80"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::1%lo", "fe80::1", "[::1]", "１２７.0.0.1"),
    ],
)
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_a_server_listens_to_loopback_only() -> None:
    counters = Counters()
    pipeline = RequestPipeline(
        KEY, RateLimiter(VenueLimits()), 0, lambda: 0, lambda: 0, lambda _event, _fields: None, FaultHooks(), counters
    )

    async def listen(host: str) -> None:
        streams, user_stream = MarketStreams("BTCUSDT"), UserDataStream("key", lambda: 0)
        server = Server(
            {}, pipeline, streams, user_stream, "BTCUSDT", lambda _event, _fields: None, FaultHooks(), counters
        )
        try:
            await server.listen(host, 0)
        finally:
            await server.stop()

    for host in ("0.0.0.0", "192.168.0.1", "example.com"):
        with pytest.raises(Usage):
            asyncio.run(listen(host))
    asyncio.run(listen("127.0.0.1"))


# Connections.


@dataclass
class FakeSocket:
    """A WebSocket and its transport: a send waits until `open` is set."""

    sent: list[str] = field(default_factory=list)
    pings: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    aborted: bool = False

    async def send_str(self, text: str) -> None:
        await self.open.wait()
        if self.aborted:
            raise ConnectionResetError
        self.sent.append(text)

    async def ping(self, message: bytes) -> None:
        assert message == str(self.pings + 1).encode()
        self.pings += 1

    def get_extra_info(self, _name: str) -> None:
        return None

    def abort(self) -> None:
        self.aborted = True
        self.open.set()


def connected(
    *, reads: bool = True, clients: Clients | None = None
) -> tuple[FakeSocket, Connection, list[asyncio.Task[None]]]:
    socket = FakeSocket()
    if reads:
        socket.open.set()
    members = Clients(Counters()) if clients is None else clients
    connection = Connection(
        cast(web.WebSocketResponse, socket), cast(asyncio.Transport, socket), "market", FaultHooks(), members
    )
    return (
        socket,
        connection,
        [asyncio.ensure_future(connection.send_queued()), asyncio.ensure_future(connection.ping_periodically())],
    )


def run(scenario: Callable[[], Any]) -> Any:
    return virtual_time.run(scenario())


def test_messages_are_sent_in_order_and_counted() -> None:
    async def scenario() -> None:
        socket, connection, tasks = connected()
        for number in range(100):
            connection.send(str(number))
        await connection.wait_drained()
        assert socket.sent == [str(number) for number in range(100)]
        assert (connection.sent, connection.waiting_bytes) == (100, 0)
        for task in tasks:
            task.cancel()

    run(scenario)


def test_a_connection_whose_queue_exceeds_the_limit_is_reset() -> None:
    async def scenario() -> None:
        socket, connection, _ = connected(reads=False)
        text = "x" * 1000
        while connection.drop_reason is None:
            assert connection.waiting_bytes <= MAX_WAITING_BYTES
            connection.send(text)
            await asyncio.sleep(0)
        assert socket.aborted
        assert connection.waiting_bytes == 0
        connection.send(text)  # to a connection that was reset
        await connection.wait_drained()
        assert (connection.waiting_bytes, socket.sent) == (0, [])

    run(scenario)


def test_a_client_that_does_not_read_is_reset_after_the_wait() -> None:
    async def scenario() -> None:
        clients = Clients(Counters())
        (reading_socket, reading, _), (stuck_socket, stuck, _) = connected(), connected(reads=False)
        for connection in (reading, stuck):
            clients.add(connection)
            for _ in range(3):
                connection.send("x")
        start_seconds = asyncio.get_running_loop().time()
        await clients.wait_drained(10.0)
        assert 10 <= asyncio.get_running_loop().time() - start_seconds < 11
        assert len(reading_socket.sent) == 3
        assert (reading.drop_reason, stuck_socket.aborted) == (None, True)
        assert stuck.drop_reason
        start_seconds = asyncio.get_running_loop().time()
        await clients.wait_drained(10.0)
        assert asyncio.get_running_loop().time() == start_seconds

    run(scenario)


def test_the_wait_ends_when_a_slow_client_has_read() -> None:
    async def scenario() -> None:
        clients = Clients(Counters())
        socket, connection, _ = connected(reads=False)
        clients.add(connection)
        for _ in range(3):
            connection.send("x")
        asyncio.get_running_loop().call_later(4, socket.open.set)
        await clients.wait_drained(10.0)
        assert 4 <= asyncio.get_running_loop().time() < 5
        assert (connection.drop_reason, len(socket.sent)) == (None, 3)

    run(scenario)


def test_the_message_count_includes_closed_connections() -> None:
    async def scenario() -> None:
        clients = Clients(Counters())
        for _ in range(3):
            _, connection, _ = connected()
            clients.add(connection)
            connection.send("x")
            await connection.wait_drained()
            assert connection in list(clients)
            clients.remove(connection)
        assert (clients.messages, len(clients)) == (3, 0)

    run(scenario)


def test_a_client_without_pongs_is_disconnected_and_one_with_pongs_is_not() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        (silent_socket, silent, _), (live_socket, live, tasks) = connected(), connected()
        while silent.drop_reason is None:
            assert loop.time() < 3600
            await asyncio.sleep(PING_SECONDS / 2)
            if live_socket.pings:
                live.last_pong = loop.time()
        assert PONG_SECONDS < loop.time() < PONG_SECONDS + 2 * PING_SECONDS
        assert silent_socket.aborted
        assert silent_socket.pings >= 3
        await asyncio.sleep(3600)
        live.last_pong = loop.time()
        assert live_socket.pings >= 3
        for task in tasks:
            task.cancel()

    run(scenario)


def test_the_number_of_client_messages_per_second_is_limited() -> None:
    async def scenario() -> None:
        _, connection, _ = connected()
        assert all(connection.allow_message(number / 1000) for number in range(MAX_MESSAGES_PER_SECOND))
        assert not connection.allow_message(0.999)
        _, other, _ = connected()
        assert all(other.allow_message(number / 8) for number in range(100))

    run(scenario)


def test_a_pong_that_answers_a_ping_of_the_venue_is_not_a_message_of_the_client() -> None:
    async def scenario() -> None:
        socket, connection, tasks = connected()
        for number in range(1, 4):
            waiting = asyncio.ensure_future(connection.wait_read(5.0))
            while socket.pings < number:
                await asyncio.sleep(0)
            assert not connection.answers_ping(str(number + 1).encode(), 1.0)  # never sent
            assert not waiting.done()
            assert connection.answers_ping(str(number).encode(), 2.0)
            await waiting
            assert asyncio.get_running_loop().time() == 0
            for unsolicited in (str(number), "0", "", "x", "9" * 30):  # answered already, or no ping of the venue
                assert not connection.answers_ping(unsolicited.encode(), 3.0)
        assert connection.last_pong == 3.0
        for task in tasks:
            task.cancel()

    run(scenario)


def test_a_pong_to_an_earlier_ping_does_not_prove_that_the_client_has_read_everything() -> None:
    async def scenario() -> None:
        socket, connection, tasks = connected()
        await connection.wait_read(1.0)  # no answer
        waiting = asyncio.ensure_future(connection.wait_read(5.0))
        while socket.pings < 2:
            await asyncio.sleep(0)
        assert connection.answers_ping(b"1", 1.0)
        await asyncio.sleep(0)
        assert not waiting.done()
        assert connection.answers_ping(b"2", 1.0)
        await waiting
        for task in tasks:
            task.cancel()

    run(scenario)


def test_beyond_the_total_limit_the_connection_with_the_longest_queue_is_reset() -> None:
    async def scenario() -> None:
        counters = Counters()
        clients = Clients(counters)
        crowd = [connected(reads=False, clients=clients)[1] for _ in range(30)]
        for connection in crowd:
            clients.add(connection)
        text = "x" * 1000
        for _ in range(3_000):
            for number, connection in enumerate(crowd):
                connection.send(text if number else text * 2)
            assert sum(connection.waiting_bytes for connection in crowd) <= MAX_TOTAL_WAITING_BYTES
        dropped = [number for number, connection in enumerate(crowd) if connection.drop_reason]
        assert dropped[0] == 0
        assert len(dropped) < len(crowd)
        for connection in crowd:
            clients.remove(connection)
        assert list(counters.counts().values()) == [len(dropped)]

    run(scenario)


def test_the_queue_of_a_closed_connection_no_longer_counts() -> None:
    async def scenario() -> None:
        clients = Clients(Counters())
        for _ in range(3 * MAX_TOTAL_WAITING_BYTES // (1 << 20)):
            _, connection, tasks = connected(reads=False, clients=clients)
            clients.add(connection)
            connection.send("x" * (1 << 20))
            assert connection.drop_reason is None
            clients.remove(connection)
            connection.send("x" * (1 << 20))
            for task in tasks:
                task.cancel()

    run(scenario)
