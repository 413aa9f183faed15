"""Clients that are slow, half open or hostile hold their own connection and nothing else."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from opslab.errors import Environment
from opslab.metrics.exposition import Format
from opslab.metrics.server import MetricsServer, ServerLimits

SECONDS = 60.0
GET = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass
class FakeSource:
    """Counts its collections; each waits for `gate`."""

    body: bytes = b"opslab_x 1.0\n"
    gate: threading.Event = field(default_factory=threading.Event)
    collections: int = 0
    failed: str | None = None

    def collect(self, form: Format) -> bytes:
        assert self.gate.wait(SECONDS)
        self.collections += 1
        return self.body

    def text_before_first(self, form: Format) -> bytes:
        return b"opslab_exporter_ready 0.0\n"

    def problem(self) -> str | None:
        return self.failed


@asynccontextmanager
async def serving(source: FakeSource, limits: ServerLimits | None = None, *hosts: str) -> AsyncIterator[int]:
    server = MetricsServer(source, "0.0", limits)
    try:
        addresses = await server.listen(hosts or ("127.0.0.1",), 0)
        yield addresses[0][1]
    finally:
        source.gate.set()
        await server.close()


async def request(port: int, data: bytes = GET % b"/metrics") -> tuple[int, bytes]:
    """Status and body; 0 when the server closes without an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), SECONDS)
    except ConnectionError:
        return 0, b""
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test(), 2 * SECONDS)

    asyncio.run(bounded())


def open_source(body: bytes = b"opslab_x 1.0\n") -> FakeSource:
    source = FakeSource(body)
    source.gate.set()
    return source


def test_scrapes_during_a_collection_share_the_next_one() -> None:
    async def test() -> None:
        source = FakeSource()
        limits = ServerLimits(first_collection_seconds=SECONDS, collection_seconds=SECONDS)
        async with serving(source, limits) as port:
            scrapes = [asyncio.create_task(request(port)) for _ in range(512)]
            while len(asyncio.all_tasks()) < 2 * len(scrapes):  # each has its handler, which waits
                await asyncio.sleep(0)
            source.gate.set()
            answers = await asyncio.gather(*scrapes)
            assert set(answers) == {(200, source.body)}
            assert 2 <= source.collections < 20  # the one that was held, the one after it, and for stragglers

    run(test)


def test_before_the_first_collection_a_scrape_is_served_without_runs() -> None:
    async def test() -> None:
        source = FakeSource()
        async with serving(source, ServerLimits(first_collection_seconds=0.05)) as port:
            assert await request(port) == (200, b"opslab_exporter_ready 0.0\n")
            status, text = await request(port, GET % b"/readyz")
            assert status == 503
            assert b"first time" in text
            assert (await request(port, GET % b"/healthz"))[0] == 200
            source.gate.set()
            while (await request(port, GET % b"/readyz"))[0] != 200:
                pass
            assert await request(port) == (200, source.body)

    run(test)


def test_a_collection_that_takes_too_long_is_no_stale_answer() -> None:
    async def test() -> None:
        source = open_source()
        async with serving(source, ServerLimits(collection_seconds=0.05)) as port:
            assert (await request(port))[0] == 200
            source.gate.clear()
            status, text = await request(port)
            assert status == 503
            assert b"collection" in text
            source.gate.set()
            while (await request(port))[0] != 200:
                pass

    run(test)


def test_a_failed_collection_is_not_ready() -> None:
    async def test() -> None:
        source = open_source()
        async with serving(source) as port:
            assert (await request(port))[0] == 200
            source.failed = "the disk is on fire"
            assert await request(port, GET % b"/readyz") == (503, b"not ready: the disk is on fire\n")

    run(test)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /metrics HTTP/1.1\r\nHost: 127",
        b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nab",
    ],
    ids=["nothing", "half a head", "half a body"],
)
def test_a_connection_without_a_whole_request_ends_at_its_deadline(sent: bytes) -> None:
    async def test() -> None:
        async with serving(open_source(), ServerLimits(connection_seconds=0.2)) as port:
            status, _ = await request(port, sent)
            assert status in (0, 405, 408)
        async with serving(open_source()) as port:
            slow = await asyncio.open_connection("127.0.0.1", port)
            slow[1].write(sent)
            assert (await request(port))[0] == 200  # it waits for nobody
            slow[1].close()

    run(test)


def test_a_scrape_that_never_reads_ends_at_its_deadline() -> None:
    async def test() -> None:
        body = b"x" * 30_000_000  # more than the buffers of the kernel take
        async with serving(open_source(body), ServerLimits(connection_seconds=0.5, connections=1)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(GET % b"/metrics")
            await reader.readexactly(1)  # the answer has begun; nothing more is read before the deadline
            while (await request(port, GET % b"/healthz"))[0] != 200:  # it has the only connection
                pass
            received = 1
            try:
                while data := await asyncio.wait_for(reader.read(1 << 20), SECONDS):
                    received += len(data)
            except ConnectionError:
                pass
            assert received < len(body)
            writer.close()

    run(test)


def test_a_connection_beyond_the_limit_is_refused_and_the_limit_is_free_again() -> None:
    async def test() -> None:
        async with serving(open_source(), ServerLimits(connections=4)) as port:
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
            status, text = await request(port)
            assert (status, text) == (503, b"too many connections\n")
            for _, writer in idle:
                writer.close()
            while (await request(port))[0] != 200:
                pass

    run(test)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (GET % b"/nothing", 404),
        (b"DELETE /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
        (b"HEAD /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: attacker.example\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: [::1]:9464\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost:9464\r\n\r\n", 200),
        (
            b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/openmetrics-text;version=x,\xff\r\n\r\n",
            200,
        ),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 400),
    ],
)
def test_odd_requests_get_their_answer(sent: bytes, status: int) -> None:
    async def test() -> None:
        async with serving(open_source()) as port:
            assert (await request(port, sent))[0] == status
            assert (await request(port))[0] == 200

    run(test)


def test_an_address_that_is_not_of_this_machine_is_refused() -> None:
    async def test() -> None:
        with pytest.raises(Environment, match=r"192\.0\.2\.1"):
            async with serving(open_source(), None, "192.0.2.1"):
                pass

    run(test)


def test_a_server_for_other_machines_takes_any_host_name() -> None:
    async def test() -> None:
        async with serving(open_source(), None, "0.0.0.0") as port:
            assert (await request(port, b"GET /metrics HTTP/1.1\r\nHost: lab.example\r\n\r\n"))[0] == 200

    run(test)
