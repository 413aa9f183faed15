"""The server's edge: whom it listens to, how much may wait for whom, and who is let go."""

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
    MAX_WAITING_BYTES,
    MAX_WAITING_IN_ALL_BYTES,
    MESSAGES_A_SECOND,
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
    pipeline = RequestPipeline(KEY, RateLimiter(VenueLimits()), 0, lambda: 0, lambda: 0, lambda _what, _more: None, FaultHooks(), counters)

    async def listen(host: str) -> None:
        streams, users = MarketStreams("BTCUSDT"), UserDataStream("key", lambda: 0)
        server = Server({}, pipeline, streams, users, "BTCUSDT", lambda _what, _more: None, FaultHooks(), counters)
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
class Wire:
    """As a WebSocket: takes what it is sent when it is `open`, and holds up who sends when it is not."""

    sent: list[str] = field(default_factory=list)
    pings: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    aborted: bool = False

    async def send_str(self, text: str) -> None:
        await self.open.wait()
        if self.aborted:
            raise ConnectionResetError
        self.sent.append(text)

    async def ping(self) -> None:
        self.pings += 1

    def get_extra_info(self, _name: str) -> None:
        return None

    def abort(self) -> None:
        self.aborted = True
        self.open.set()


def connected(
    *, reads: bool = True, clients: Clients | None = None
) -> tuple[Wire, Connection, list[asyncio.Task[None]]]:
    wire = Wire()
    if reads:
        wire.open.set()
    among = Clients(Counters()) if clients is None else clients
    connection = Connection(cast(web.WebSocketResponse, wire), cast(asyncio.Transport, wire), "market", FaultHooks(), among)
    return wire, connection, [asyncio.ensure_future(connection.sending()), asyncio.ensure_future(connection.pinging())]


def play(scene: Callable[[], Any]) -> Any:
    return virtual_time.run(scene())


def test_messages_go_out_in_order_and_are_counted() -> None:
    async def scene() -> None:
        wire, connection, tasks = connected()
        for number in range(100):
            connection.send(str(number))
        await connection.drained()
        assert wire.sent == [str(number) for number in range(100)]
        assert (connection.sent, connection.waiting_bytes) == (100, 0)
        for task in tasks:
            task.cancel()

    play(scene)


def test_what_waits_is_bounded_and_who_lets_more_wait_is_cut_off() -> None:
    async def scene() -> None:
        wire, connection, _ = connected(reads=False)
        text = "x" * 1000
        while connection.drop_reason is None:
            assert connection.waiting_bytes <= MAX_WAITING_BYTES
            connection.send(text)
            await asyncio.sleep(0)
        assert wire.aborted
        assert connection.waiting_bytes == 0
        connection.send(text)  # to somebody who is gone
        await connection.drained()
        assert (connection.waiting_bytes, wire.sent) == (0, [])

    play(scene)


def test_everybody_is_waited_for_and_who_takes_nothing_is_let_go() -> None:
    async def scene() -> None:
        clients = Clients(Counters())
        (reader, one, _), (deaf, other, _) = connected(), connected(reads=False)
        for connection in (one, other):
            clients.add(connection)
            for _ in range(3):
                connection.send("x")
        before = asyncio.get_running_loop().time()
        await clients.drained(10.0)
        assert 10 <= asyncio.get_running_loop().time() - before < 11
        assert len(reader.sent) == 3
        assert (one.drop_reason, deaf.aborted) == (None, True)
        assert other.drop_reason
        before = asyncio.get_running_loop().time()
        await clients.drained(10.0)
        assert asyncio.get_running_loop().time() == before

    play(scene)


def test_who_takes_its_time_is_waited_for_no_longer_than_that() -> None:
    async def scene() -> None:
        clients = Clients(Counters())
        wire, connection, _ = connected(reads=False)
        clients.add(connection)
        for _ in range(3):
            connection.send("x")
        asyncio.get_running_loop().call_later(4, wire.open.set)
        await clients.drained(10.0)
        assert 4 <= asyncio.get_running_loop().time() < 5
        assert (connection.drop_reason, len(wire.sent)) == (None, 3)

    play(scene)


def test_messages_are_counted_over_connections_that_have_gone() -> None:
    async def scene() -> None:
        clients = Clients(Counters())
        for _ in range(3):
            _, connection, _ = connected()
            clients.add(connection)
            connection.send("x")
            await connection.drained()
            assert connection in list(clients)
            clients.remove(connection)
        assert (clients.messages, len(clients)) == (3, 0)

    play(scene)


def test_who_answers_no_ping_is_let_go_and_who_does_is_not() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        (silent, gone, _), (lively, here, tasks) = connected(), connected()
        while gone.drop_reason is None:
            assert loop.time() < 3600
            await asyncio.sleep(PING_SECONDS / 2)
            if lively.pings:
                here.last_pong = loop.time()
        assert PONG_SECONDS < loop.time() < PONG_SECONDS + 2 * PING_SECONDS
        assert silent.aborted
        assert silent.pings >= 3
        await asyncio.sleep(3600)
        here.last_pong = loop.time()
        assert lively.pings >= 3
        for task in tasks:
            task.cancel()

    play(scene)


def test_a_client_may_say_so_much_in_a_second() -> None:
    async def scene() -> None:
        _, connection, _ = connected()
        assert all(connection.allow_message(number / 1000) for number in range(MESSAGES_A_SECOND))
        assert not connection.allow_message(0.999)
        _, other, _ = connected()
        assert all(other.allow_message(number / 8) for number in range(100))

    play(scene)


def test_what_waits_for_all_of_them_is_bounded_and_the_one_for_whom_most_waits_is_let_go() -> None:
    async def scene() -> None:
        counters = Counters()
        clients = Clients(counters)
        crowd = [connected(reads=False, clients=clients)[1] for _ in range(30)]
        for connection in crowd:
            clients.add(connection)
        text = "x" * 1000
        for _ in range(3_000):
            for number, connection in enumerate(crowd):
                connection.send(text if number else text * 2)
            assert sum(connection.waiting_bytes for connection in crowd) <= MAX_WAITING_IN_ALL_BYTES
        dropped = [number for number, connection in enumerate(crowd) if connection.drop_reason]
        assert dropped[0] == 0
        assert len(dropped) < len(crowd)
        for connection in crowd:
            clients.remove(connection)
        assert list(counters.counts().values()) == [len(dropped)]

    play(scene)


def test_what_waited_for_those_that_have_gone_counts_no_more() -> None:
    async def scene() -> None:
        clients = Clients(Counters())
        for _ in range(3 * MAX_WAITING_IN_ALL_BYTES // (1 << 20)):
            _, connection, tasks = connected(reads=False, clients=clients)
            clients.add(connection)
            connection.send("x" * (1 << 20))
            assert connection.drop_reason is None
            clients.remove(connection)
            connection.send("x" * (1 << 20))
            for task in tasks:
                task.cancel()

    play(scene)
