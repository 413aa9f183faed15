"""The HTTP server of the metrics: `/metrics`, `/healthz`, `/readyz`, and a page that links them.

Collections run one at a time in a thread of their own; scrapes that arrive during one share the next one.
"""

import asyncio
import errno
import ipaddress
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from opslab.errors import Environment
from opslab.metrics.connections import Connections
from opslab.metrics.exposition import Format, negotiated

BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class ServerLimits:
    collection_seconds: float = 8.0
    """Longest wait of a scrape; Prometheus waits 10 s by default."""
    first_collection_seconds: float = 2.0
    """Longest wait of a scrape before the first collection has ended; it is then served without runs."""
    connection_seconds: float = 30.0
    connections: int = 768
    """Below the usual limit of 1,024 open files."""


class MetricsSource(Protocol):
    """What is served. `collect` runs in another thread than the rest, and never twice at the same time."""

    def collect(self, form: Format) -> bytes:
        """Bring the series up to date; returns their text. Records its own errors as series."""
        ...

    def text_before_first(self, form: Format) -> bytes:
        """The series to serve until the first collection has ended."""
        ...

    def problem(self) -> str | None:
        """Why the last collection failed; None: it did not."""
        ...


class MetricsServer:
    def __init__(self, source: MetricsSource, version: str, limits: ServerLimits | None = None) -> None:
        """version: of the lab, for the page."""
        self._source = source
        self._limits = limits or ServerLimits()
        self._version = version
        self._thread = ThreadPoolExecutor(1, "collector")
        self._waiting: dict[Format, asyncio.Task[bytes]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._has_collected = False
        self._loopback_only = True
        self._runner: web.AppRunner | None = None
        self._servers: list[asyncio.Server] = []

    async def listen(self, hosts: Sequence[str], port: int) -> list[tuple[str, int]]:
        """Listen at the first host, and at the others as far as this machine has them; all at one port.

        port: 0 for a free one. Returns the addresses. Raises Environment.
        """
        app = web.Application(middlewares=[self._checked])
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        )
        self._loopback_only = all(is_loopback(host) for host in hosts)
        silent = logging.Logger("metrics", logging.CRITICAL + 1)  # malformed requests get their 400, and no line each
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, logger=silent, lingering_time=0)
        await self._runner.setup()
        assert self._runner.server is not None
        connections = Connections(self._runner.server, self._limits.connections, self._limits.connection_seconds)
        addresses: list[tuple[str, int]] = []
        for host in hosts:
            try:
                server = await asyncio.get_running_loop().create_server(
                    connections, host, port, backlog=BACKLOG, reuse_address=True
                )
            except OSError as error:
                if addresses:
                    continue
                raise _cannot_listen(host, port, error) from None
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
            addresses.append((host, port))
        self._collect("text")
        return addresses

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        if self._runner is not None:
            await self._runner.shutdown()
            await self._runner.cleanup()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _collect(self, form: Format) -> "asyncio.Task[bytes]":
        """A collection that has not begun: its text is not older than the request for it."""
        if form not in self._waiting:
            self._waiting[form] = asyncio.create_task(self._run_collection(form))
        return self._waiting[form]

    async def _run_collection(self, form: Format) -> bytes:
        async with self._one_at_a_time:
            del self._waiting[form]
            text = await asyncio.get_running_loop().run_in_executor(self._thread, self._source.collect, form)
            self._has_collected = True
            return text

    @web.middleware
    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """One request a connection; on loopback no request by another host's name, as a hostile web page sends it."""
        if self._loopback_only and not is_loopback(_host(request)):
            response: web.StreamResponse = _plain("the Host header is not a loopback address\n", 403)
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = _plain(f"{error.reason.lower()}\n", error.status)
        response.force_close()
        return response

    async def _metrics(self, request: web.Request) -> web.Response:
        form, content_type = negotiated(request.headers.get("Accept", ""))
        seconds = self._limits.collection_seconds if self._has_collected else self._limits.first_collection_seconds
        try:
            body = await asyncio.wait_for(asyncio.shield(self._collect(form)), seconds)
        except TimeoutError:
            if self._has_collected:
                return _plain(f"the collection has taken more than {seconds:.0f} s\n", 503)
            body = self._source.text_before_first(form)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _plain("ok\n", 200)

    async def _readyz(self, _request: web.Request) -> web.Response:
        if not self._has_collected:
            return _plain("not ready: the runs are being read for the first time\n", 503)
        problem = self._source.problem()
        return _plain(f"not ready: {problem}\n", 503) if problem else _plain("ready\n", 200)

    async def _page(self, _request: web.Request) -> web.Response:
        links = "".join(f'<li><a href="{path}">{path}</a></li>' for path in ("/metrics", "/healthz", "/readyz"))
        title = f"TradingChassis Ops Lab {escape(self._version)}: metrics"
        text = f'<!doctype html><html lang="en"><title>{title}</title><h1>{title}</h1><ul>{links}</ul></html>\n'
        return web.Response(text=text, content_type="text/html")


def serve_until(
    source: MetricsSource,
    version: str,
    hosts: Sequence[str],
    port: int,
    on_listening: Callable[[list[tuple[str, int]], Callable[[], None]], None],
) -> None:
    """Serve until stopped.

    on_listening: called with the addresses and a function that stops; it is safe in a signal handler.

    Raises Environment.
    """

    async def run() -> None:
        server = MetricsServer(source, version)
        try:
            addresses = await server.listen(hosts, port)
            loop, stopped = asyncio.get_running_loop(), asyncio.Event()
            on_listening(addresses, lambda: _call_in(loop, stopped.set))
            await stopped.wait()
        finally:
            await server.close()

    asyncio.run(run())


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    loop.call_soon_threadsafe(function)


def _cannot_listen(host: str, port: int, error: OSError) -> Environment:
    if error.errno == errno.EADDRINUSE or error.errno == errno.EACCES:
        reason, hint = os.strerror(error.errno).lower(), "choose another --port, or 0 for any free port"
    else:
        reason, hint = "this machine does not have that address", "give an address of this machine with --host"
    return Environment(f"cannot listen on {host} port {port}: {reason}", hint=hint)


def _plain(text: str, status: int) -> web.Response:
    return web.Response(text=text, status=status)


def _host(request: web.Request) -> str:
    """The Host header without its port, and without the brackets of an IPv6 address."""
    host = request.host
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
