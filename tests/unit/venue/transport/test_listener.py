"""The listener: connection limit, request deadlines, and a port that stays reserved while listening is paused."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from opslab.errors import Environment
from opslab.venue.counters import Counters
from opslab.venue.transport.listener import (
    FIRST_REQUEST_SECONDS,
    MAX_CONNECTIONS,
    MIN_PORT,
    NEXT_REQUEST_SECONDS,
    Listener,
    reset_transport,
)
from tests.fakes import virtual_time


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def is_answered(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
    """Whether the server answers on the connection."""
    reader, writer = connection
    try:
        writer.write(b"x")
        return await reader.read(1) == b"x"
    except ConnectionError:
        return False


def run_with_listener(scenario: Callable[[Listener, int, Counters], Awaitable[None]]) -> None:
    async def run() -> None:
        counters = Counters()
        listener = Listener(Echo, counters)
        try:
            await scenario(listener, await listener.listen("127.0.0.1", 0), counters)
        finally:
            listener.close()

    asyncio.run(run())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0)


def test_a_free_port_is_below_the_ephemeral_range() -> None:
    """So that it is still free when a killed venue is restarted."""
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if first_ephemeral < 2 * MIN_PORT:
        pytest.skip("almost every port of this machine is ephemeral")

    async def scenario(_listener: Listener, port: int, _counters: Counters) -> None:
        assert MIN_PORT <= port < first_ephemeral

    for _ in range(5):
        run_with_listener(scenario)


def test_while_listening_is_paused_new_connections_are_refused_and_open_ones_stay() -> None:
    async def scenario(listener: Listener, port: int, _counters: Counters) -> None:
        open_connection = await connect(port)
        await listener.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            await connect(port)
        assert await is_answered(open_connection)
        await listener.resume_listening()
        assert await is_answered(await connect(port))

    run_with_listener(scenario)


def test_it_listens_again_after_as_many_resumes_as_stops() -> None:
    async def scenario(listener: Listener, port: int, _counters: Counters) -> None:
        await listener.stop_listening()
        await listener.stop_listening()
        await listener.resume_listening()
        with pytest.raises(ConnectionRefusedError):
            await connect(port)
        await listener.resume_listening()
        assert await is_answered(await connect(port))

    run_with_listener(scenario)


def test_no_other_socket_can_bind_the_port_while_listening_is_paused() -> None:
    async def scenario(listener: Listener, port: int, _counters: Counters) -> None:
        await listener.stop_listening()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        await listener.resume_listening()

    run_with_listener(scenario)


def test_a_port_in_use_is_an_environment_error() -> None:
    async def scenario(_listener: Listener, port: int, counters: Counters) -> None:
        with pytest.raises(Environment):
            await Listener(Echo, counters).listen("127.0.0.1", port)

    run_with_listener(scenario)


def test_connections_beyond_the_limit_get_a_503() -> None:
    async def scenario(listener: Listener, port: int, counters: Counters) -> None:
        accepted = [await connect(port) for _ in range(MAX_CONNECTIONS)]
        await until(lambda: len(listener) == MAX_CONNECTIONS)
        reader, _ = await connect(port)
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        assert counters.counts() == {"too many connections": 1}
        assert await is_answered(accepted[0])
        accepted[0][1].close()
        await until(lambda: len(listener) == MAX_CONNECTIONS - 1)
        assert await is_answered(await connect(port))
        for _, writer in accepted:
            writer.close()
        await until(lambda: len(listener) <= 1)

    run_with_listener(scenario)


class FakeTransport(asyncio.Transport):
    """A transport that can only be aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def test_a_connection_without_a_request_is_reset_and_one_with_a_running_request_is_not() -> None:
    async def scenario() -> None:
        counters = Counters()
        listener = Listener(Echo, counters)
        silent, working, done = FakeTransport(), FakeTransport(), FakeTransport()
        for transport in (silent, working, done):
            listener.connection_opened(transport)
        listener.request_started(working)
        listener.request_started(done)
        listener.request_finished(done)
        changes: list[tuple[float, list[bool]]] = []
        loop = asyncio.get_running_loop()
        while loop.time() < NEXT_REQUEST_SECONDS + 5:
            listener.reset_expired()
            state = [transport.aborted for transport in (silent, working, done)]
            if not changes or changes[-1][1] != state:
                changes.append((loop.time(), state))
            await asyncio.sleep(1)
        (_, at_start), (first_seconds, after_first), (second_seconds, after_second) = changes
        assert (at_start, after_first, after_second) == ([False] * 3, [True, False, False], [True, False, True])
        assert FIRST_REQUEST_SECONDS < first_seconds <= FIRST_REQUEST_SECONDS + 1
        assert NEXT_REQUEST_SECONDS < second_seconds <= NEXT_REQUEST_SECONDS + 1
        assert counters.counts()["slow connections"] > 0

    virtual_time.run(scenario())


def test_a_connection_that_has_just_closed_can_be_reset() -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, ours)
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
            await asyncio.sleep(0)  # the loop closes the socket; those that hold the transport do not know yet
            await asyncio.sleep(0)
            assert transport.get_extra_info("socket").fileno() == -1
            reset_transport(transport)

    asyncio.run(run())
