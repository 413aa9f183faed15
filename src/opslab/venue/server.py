"""The server: loopback addresses only, every path of the venue, one event loop."""

import asyncio
import ipaddress
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web
from pydantic_core import to_json

from opslab.errors import Environment, Usage
from opslab.venue.clients import Clients, Connection, serve_socket
from opslab.venue.endpoint import Table
from opslab.venue.gate import Gate
from opslab.venue.refusal import Refusal
from opslab.venue.rest import MAX_BODY_BYTES, Rest
from opslab.venue.say import Say
from opslab.venue.streams import Streams, Subscriber, is_served
from opslab.venue.trading_socket import TradingSocket
from opslab.venue.user_stream import UserStream

ROUTES = ("", "/market", "/public", "/private")
"""Prefixes under which the market's and the account's streams are all found."""
_LISTEN_KEY = re.compile(r"[A-Za-z0-9]{60,}")
"""Other names in a path that are no stream's are passed over, as the venue does: some clients number their sockets."""
GOING_AWAY = 1001
CLOSE_SECONDS = 2.0
HEADER_BYTES = 16 << 10
BACKLOG = 512


class Server:
    def __init__(self, table: Table, gate: Gate, streams: Streams, users: UserStream, symbol: str, say: Say) -> None:
        self.clients = Clients()
        self._table = table
        self._gate = gate
        self._streams = streams
        self._users = users
        self._symbol = symbol
        self._say = say
        self._runner: web.AppRunner | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begin to serve; the port, which was free when `port` is 0. Raises Usage for an address of elsewhere."""
        if not is_loopback(host):
            raise Usage(f"the venue serves loopback addresses only, and {host} is none", hint="127.0.0.1, or ::1")
        rest = Rest(self._table, self._gate)
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_as_json])
        for route in ROUTES:
            app.router.add_get(f"{route}/ws", self._stream)
            app.router.add_get(f"{route}/ws/{{names:.*}}", self._stream)
            app.router.add_get(f"{route}/stream", self._stream)
        app.router.add_get("/ws-fapi/v1", self._trading)
        app.router.add_get("/ws-fapi/v1/", self._trading)
        app.router.add_route("*", "/{path:.*}", rest.handle)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            shutdown_timeout=CLOSE_SECONDS,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=BACKLOG)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise Environment(
                f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0).lower()}",
                hint="take another port, or 0 for any free one",
            ) from None
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Say goodbye to everybody, and close."""
        leaving = [connection.close(GOING_AWAY, "the venue is closing") for connection in list(self.clients)]
        if leaving:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await asyncio.gather(*leaving, return_exceptions=True)
        for connection in list(self.clients):
            connection.drop("the venue is closing")
        if self._runner:
            await self._runner.cleanup()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Market streams and the user-data stream, chosen by path, query or message."""
        names = [name for name in request.match_info.get("names", "").split("/") if name]
        names += [name for name in request.query.get("streams", "").split("/") if name]
        keys = [name for name in names if _LISTEN_KEY.fullmatch(name)]
        keys += request.query.getall("listenKey", [])
        if any(not self._users.knows(key) for key in keys):
            raise Refusal.of(-1125)
        subscribers: list[Subscriber] = []

        def opened(connection: Connection) -> None:
            subscriber = Subscriber(connection, request.path.endswith("/stream"))
            subscribers.append(subscriber)
            if keys:
                self._users.join(connection)
            self._streams.subscribe(subscriber, [name for name in names if is_served(name, self._symbol)])
            self._told("connected", connection, "user stream" if keys else "market streams")

        try:
            socket, connection = await serve_socket(
                request, self.clients, lambda _, text: self._streams.heard(subscribers[0], text), opened
            )
        finally:
            for subscriber in subscribers:
                self._streams.leave(subscriber)
                self._users.leave(subscriber.connection)
        self._told("left", connection, "user stream" if keys else "market streams")
        return socket

    async def _trading(self, request: web.Request) -> web.StreamResponse:
        sockets: list[TradingSocket] = []

        def opened(connection: Connection) -> None:
            sockets.append(TradingSocket(self._table, self._gate, connection))
            self._told("connected", connection, "trading socket")

        try:
            socket, connection = await serve_socket(
                request, self.clients, lambda _, text: sockets[0].heard(text), opened, limited=False
            )
        finally:
            for found in sockets:
                found.leave()
        self._told("left", connection, "trading socket")
        return socket

    def _told(self, what: str, connection: Connection, kind: str) -> None:
        more: dict[str, object] = {"kind": kind, "clients": len(self.clients)}
        if connection.dropped_for:
            what, more["why"] = "disconnected", connection.dropped_for
        self._say(what, more)


@web.middleware
async def _as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answers for who is here; and refusals of the server itself in the venue's form."""
    try:
        if not is_loopback(_host(request)):  # a page of elsewhere that made a name point here
            raise Refusal(-1000, "This host is not served here.", http_status=403)
        return await handler(request)
    except Refusal as refusal:
        return _refused(refusal.http_status, refusal.body())
    except web.HTTPException as error:
        return _refused(error.status, {"code": -1000, "msg": error.reason})


def _refused(status: int, body: dict[str, object]) -> web.Response:
    return web.Response(status=status, body=to_json(body), content_type="application/json")


def _host(request: web.Request) -> str:
    """Without its port, and without the brackets of an IPv6 address."""
    host = request.host
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_loopback(host: str) -> bool:
    """`localhost`, dotted 127.x.x.x or ::1; nothing else, however it is spelled."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback and "%" not in host and not host.startswith("::f")
    except ValueError:
        return False
