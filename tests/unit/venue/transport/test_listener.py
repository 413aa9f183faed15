"""The port: who is let in, how long anybody may take, and a port that is kept while nobody listens."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from opslab.errors import Environment
from opslab.venue.counters import Counters
from opslab.venue.transport.listener import FIRST_REQUEST_SECONDS, MIN_PORT, MAX_CONNECTIONS, NEXT_REQUEST_SECONDS, Listener
from tests.fakes import virtual_time


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def alive(found: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
    """Whether it is answered."""
    reader, writer = found
    try:
        writer.write(b"x")
        return await reader.read(1) == b"x"
    except ConnectionError:
        return False


def with_front(scene: Callable[[Listener, int, Counters], Awaitable[None]]) -> None:
    async def play() -> None:
        counters = Counters()
        listener = Listener(Echo, counters)
        try:
            await scene(listener, await listener.listen("127.0.0.1", 0), counters)
        finally:
            listener.close()

    asyncio.run(play())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0)


def test_any_free_port_is_one_that_no_client_is_given_by_chance() -> None:
    """So that it is still free for a venue that was killed and comes back."""
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if given < 2 * MIN_PORT:
        pytest.skip("this machine gives clients almost every port")

    async def scene(_port_listener: Listener, port: int, _tally: Counters) -> None:
        assert MIN_PORT <= port < given

    for _ in range(5):
        with_front(scene)


def test_who_connects_while_it_is_deaf_is_refused_and_who_was_there_stays() -> None:
    async def scene(listener: Listener, port: int, _tally: Counters) -> None:
        before = await connect(port)
        await listener.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            await connect(port)
        assert await alive(before)
        await listener.resume_listening()
        assert await alive(await connect(port))

    with_front(scene)


def test_it_listens_again_when_all_who_asked_for_silence_are_through() -> None:
    async def scene(listener: Listener, port: int, _tally: Counters) -> None:
        await listener.stop_listening()
        await listener.stop_listening()
        await listener.resume_listening()
        with pytest.raises(ConnectionRefusedError):
            await connect(port)
        await listener.resume_listening()
        assert await alive(await connect(port))

    with_front(scene)


def test_nobody_else_is_given_the_port_while_it_is_deaf() -> None:
    async def scene(listener: Listener, port: int, _tally: Counters) -> None:
        await listener.stop_listening()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        await listener.resume_listening()

    with_front(scene)


def test_a_port_that_is_taken_is_told() -> None:
    async def scene(_port_listener: Listener, port: int, counters: Counters) -> None:
        with pytest.raises(Environment):
            await Listener(Echo, counters).listen("127.0.0.1", port)

    with_front(scene)


def test_so_many_are_let_in_and_the_others_are_told_that_it_is_full() -> None:
    async def scene(listener: Listener, port: int, counters: Counters) -> None:
        inside = [await connect(port) for _ in range(MAX_CONNECTIONS)]
        await until(lambda: len(listener) == MAX_CONNECTIONS)
        reader, _ = await connect(port)
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        assert counters.counts() == {"too many connections": 1}
        assert await alive(inside[0])
        inside[0][1].close()
        await until(lambda: len(listener) == MAX_CONNECTIONS - 1)
        assert await alive(await connect(port))
        for _, writer in inside:
            writer.close()
        await until(lambda: len(listener) <= 1)

    with_front(scene)


class Wire(asyncio.Transport):
    """A connection that is only cut."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def test_who_asks_for_nothing_is_cut_and_who_is_at_work_is_not() -> None:
    async def scene() -> None:
        counters = Counters()
        listener = Listener(Echo, counters)
        silent, working, done = Wire(), Wire(), Wire()
        for wire in (silent, working, done):
            listener.came(wire)
        listener.at_work(working)
        listener.at_work(done)
        listener.done(done)
        cut: list[tuple[float, list[bool]]] = []
        loop = asyncio.get_running_loop()
        while loop.time() < NEXT_REQUEST_SECONDS + 5:
            listener.reset_expired()
            state = [wire.aborted for wire in (silent, working, done)]
            if not cut or cut[-1][1] != state:
                cut.append((loop.time(), state))
            await asyncio.sleep(1)
        (_, nobody), (first, one), (second, two) = cut
        assert (nobody, one, two) == ([False] * 3, [True, False, False], [True, False, True])
        assert FIRST_REQUEST_SECONDS < first <= FIRST_REQUEST_SECONDS + 1
        assert NEXT_REQUEST_SECONDS < second <= NEXT_REQUEST_SECONDS + 1
        assert counters.counts()["slow connections"] > 0

    virtual_time.run(scene())
