"""The venue's HTTP and WebSocket server: every path of the venue on one loopback address, one event loop."""

import asyncio
import ipaddress
import logging
import re
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web
from aiohttp.http import HttpProcessingError
from pydantic_core import to_json

from opslab.errors import Usage
from opslab.venue.api_error import ApiError
from opslab.venue.counters import Counters
from opslab.venue.event_log import EventLogger, VenueEvent
from opslab.venue.fault_hooks import ConnectionKind, FaultHooks
from opslab.venue.transport.endpoint import EndpointTable
from opslab.venue.transport.listener import Listener
from opslab.venue.transport.market_streams import MarketStreams, Subscriber, is_served
from opslab.venue.transport.request_pipeline import RequestPipeline
from opslab.venue.transport.rest import MAX_BODY_BYTES, Rest
from opslab.venue.transport.sessions import Clients, Connection, serve_websocket
from opslab.venue.transport.trading_socket import TradingSocket
from opslab.venue.transport.user_data_stream import UserDataStream

ROUTES = ("", "/market", "/public", "/private")
"""Path prefixes; the market streams and the user-data stream are served under each."""
_LISTEN_KEY = re.compile(r"[A-Za-z0-9]{60,}")
"""Other names in a path that name no stream are ignored, as Binance does: some clients number their sockets."""
GOING_AWAY = 1001
CLOSE_SECONDS = 2.0
_HTTP_KINDS = {400: "malformed HTTP", 404: "unknown paths", 413: "large bodies"}
MAX_SOCKETS = 300
"""Fewer than the listener's MAX_CONNECTIONS, so that REST requests still find a connection."""
LINGERING_SECONDS = 1.0
"""Time an unread request body is read on, so that its sender gets the answer."""
HEADER_BYTES = 16 << 10


class Server:
    def __init__(
        self,
        table: EndpointTable,
        pipeline: RequestPipeline,
        streams: MarketStreams,
        user_stream: UserDataStream,
        symbol: str,
        log_event: EventLogger,
        hooks: FaultHooks,
        counters: Counters,
    ) -> None:
        self.clients = Clients(counters)
        self._counters = counters
        self._table = table
        self._pipeline = pipeline
        self._streams = streams
        self._user_stream = user_stream
        self._symbol = symbol
        self._log_event = log_event
        self._hooks = hooks
        self._runner: web.AppRunner | None = None
        self.listener: Listener | None = None

    async def listen(self, host: str, port: int) -> int:
        """Start to serve; returns the port, a free one when `port` is 0. Raises Usage for any other than a loopback
        address."""
        if not is_loopback(host):
            raise Usage(f"the venue serves loopback addresses only, not {host}", hint="127.0.0.1 or ::1")
        rest = Rest(self._table, self._pipeline)
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._json_errors])
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
            logger=_logger(self._counters, self._log_event),
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            shutdown_timeout=CLOSE_SECONDS,
            lingering_time=LINGERING_SECONDS,
            auto_decompress=False,
        )
        await self._runner.setup()
        assert self._runner.server is not None
        self.listener = Listener(self._runner.server, self._counters)
        try:
            return await self.listener.listen(host, port)
        except BaseException:
            await self._runner.cleanup()
            raise

    @property
    def connections(self) -> int:
        """The number of open connections of every kind."""
        return len(self.listener) if self.listener else 0

    def reset_expired(self) -> None:
        """Reset the connections whose deadline has passed. Called periodically."""
        if self.listener:
            self.listener.reset_expired()

    async def stop(self) -> None:
        """Close every connection, with a close frame, and the port."""
        if self.listener:
            self.listener.close()
        closing = [connection.close(GOING_AWAY, "the venue is closing") for connection in list(self.clients)]
        if closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await asyncio.gather(*closing, return_exceptions=True)
        for connection in list(self.clients):
            connection.drop("the venue is closing")
        if self._runner:
            await self._runner.cleanup()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Serve the market streams and the user-data stream, subscribed to by path, query or message."""
        names = [name for name in request.match_info.get("names", "").split("/") if name]
        names += [name for name in request.query.get("streams", "").split("/") if name]
        keys = [name for name in names if _LISTEN_KEY.fullmatch(name)]
        keys += request.query.getall("listenKey", [])
        if any(not self._user_stream.is_valid(key) for key in keys):
            raise ApiError.of(-1125)
        self._admit("user" if keys else "market")
        subscribers: list[Subscriber] = []

        def on_open(connection: Connection) -> None:
            subscriber = Subscriber(connection, request.path.endswith("/stream"))
            subscribers.append(subscriber)
            if keys:
                self._user_stream.add(connection)
            self._streams.subscribe(subscriber, [name for name in names if is_served(name, self._symbol)])
            self._log_connection("connected", connection, "user stream" if keys else "market streams")

        try:
            socket, connection = await serve_websocket(
                request,
                self.clients,
                "user" if keys else "market",
                self._hooks,
                lambda _, text: self._streams.receive(subscribers[0], text),
                on_open,
            )
        finally:
            for subscriber in subscribers:
                self._streams.remove(subscriber)
                self._user_stream.remove(subscriber.connection)
        self._log_connection("left", connection, "user stream" if keys else "market streams")
        return socket

    async def _trading(self, request: web.Request) -> web.StreamResponse:
        self._admit("trading")
        sockets: list[TradingSocket] = []

        def on_open(connection: Connection) -> None:
            sockets.append(TradingSocket(self._table, self._pipeline, connection))
            self._log_connection("connected", connection, "trading socket")

        try:
            socket, connection = await serve_websocket(
                request, self.clients, "trading", self._hooks, lambda _, text: sockets[0].receive(text), on_open
            )
        finally:
            for trading_socket in sockets:
                trading_socket.cancel_pending()
        self._log_connection("left", connection, "trading socket")
        return socket

    @web.middleware
    async def _json_errors(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse foreign Host headers, and answer errors of the server itself in the venue's JSON form."""
        assert self.listener
        transport = request.transport
        self.listener.request_started(transport)
        try:
            if not is_loopback(_host(request)):  # DNS rebinding: a foreign web page whose host name resolves to here
                self._counters.count("foreign hosts")
                raise ApiError(-1000, "This host is not served here.", http_status=403)
            return await handler(request)
        except ApiError as refusal:
            self._counters.count_api_error(refusal.code)
            return _error_response(refusal.http_status, refusal.body())
        except web.HTTPException as error:
            self._counters.count(_HTTP_KINDS.get(error.status, "other requests"))
            return _error_response(error.status, {"code": -1000, "msg": error.reason})
        finally:
            self.listener.request_finished(transport)

    def _admit(self, kind: ConnectionKind) -> None:
        """Raises ApiError beyond MAX_SOCKETS, or while a fault refuses connections of this kind."""
        if len(self.clients) >= MAX_SOCKETS:
            self._counters.count("too many sockets")
            raise ApiError.of(-1008)
        if any(refused(kind) for refused in self._hooks.refused):
            raise ApiError.of(-1008)

    def _log_connection(self, event: VenueEvent, connection: Connection, kind: str) -> None:
        fields: dict[str, object] = {"kind": kind, "clients": len(self.clients)}
        if connection.drop_reason:
            event, fields["reason"] = "disconnected", connection.drop_reason
        self._log_event(event, fields)


class _ErrorHandler(logging.Handler):
    """Counts requests that the HTTP library cannot parse; writes its unexpected errors into the event log."""

    def __init__(self, counters: Counters, log_event: EventLogger) -> None:
        super().__init__()
        self._counters = counters
        self._log_event = log_event

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            self._counters.count("malformed HTTP")
        elif record.levelno >= logging.WARNING:
            self._counters.count("bugs")
            text = "".join(traceback.format_exception(error)) if error else ""
            self._log_event("bug", {"message": record.getMessage(), "traceback": text})


def _logger(counters: Counters, log_event: EventLogger) -> logging.Logger:
    logger = logging.Logger("venue", logging.DEBUG)
    logger.addHandler(_ErrorHandler(counters, log_event))
    return logger


def _error_response(status: int, body: dict[str, object]) -> web.Response:
    return web.Response(status=status, body=to_json(body), content_type="application/json")


def _host(request: web.Request) -> str:
    """The Host header without its port, and without the brackets of an IPv6 address."""
    host = request.host
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether it is `localhost`, dotted 127.x.x.x or ::1; no other spelling counts."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback and "%" not in host and not host.startswith("::f")
    except ValueError:
        return False
