"""Market streams: subscriptions by path or message, and delivery of each message to the subscribers of its stream."""

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import from_json, to_json

from opslab.venue.market.klines import INTERVALS
from opslab.venue.transport.sessions import Connection
from opslab.venue.transport.user_data_stream import UserDataStream

MAX_STREAMS = 1024
"""Per connection; Binance's own limit."""
MARK_SPEEDS_MS = {"": 3000, "@1s": 1000}
_DEPTH = re.compile(r"depth(5|10|20)?(?:@(0|100|250|500)ms)?")
_UNKNOWN_METHOD = (
    "Invalid request: unknown variant `{}`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, "
    "`LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"
)


def parse_depth_stream(kind: str) -> tuple[int | None, int] | None:
    """(levels, interval in ms) of `depth`, `depth5@100ms` and the like; levels is None for a stream of changes.

    None when `kind` is not a depth stream.
    """
    match = _DEPTH.fullmatch(kind)
    return (int(match[1]) if match[1] else None, int(match[2] or 250)) if match else None


def is_served(name: str, symbol: str) -> bool:
    """Whether the venue serves a stream of this name."""
    if name in ("!bookTicker", "!markPrice@arr", "!markPrice@arr@1s", "!ticker@arr", "!miniTicker@arr"):
        return True
    prefix, at, kind = name.partition("@")
    if not at or prefix != symbol.lower():
        return False
    if kind.startswith("kline_"):
        return kind.removeprefix("kline_") in INTERVALS
    plain = ("bookTicker", "aggTrade", "trade", "markPrice", "markPrice@1s", "ticker", "miniTicker")
    return kind in plain or parse_depth_stream(kind) is not None


class Subscriber:
    """One connection to the market streams."""

    __slots__ = ("combined", "connection", "keys", "names")

    def __init__(self, connection: Connection, combined: bool) -> None:
        self.connection = connection
        self.combined = combined
        """Whether messages are sent in an envelope that names their stream."""
        self.names: set[str] = set()
        self.keys: set[str] = set()
        """Listen keys subscribed to by message."""


class MarketStreams:
    """`publish` sends a message to the subscribers of its stream."""

    def __init__(self, symbol: str, user_stream: UserDataStream | None = None, candles: str = "@kline_") -> None:
        """user_stream: its listen key can be subscribed to like a stream's name.

        candles: part of the names of the streams of candles that the two events below are about.
        """
        self._symbol = symbol
        self._candles_part = candles
        self._user_stream = user_stream
        self._by_name: dict[str, set[Subscriber]] = {}
        self.candles_requested = asyncio.Event()
        """Set with the first subscription to candles; it stays set."""
        self.candles_subscribed = asyncio.Event()
        """Set while candles have a subscriber."""
        self._candles: set[str] = set()
        """Candle streams that have a subscriber."""
        self.any_requested = asyncio.Event()
        """Set with the first subscription to any stream; it stays set."""
        self.on_subscribe: Callable[[str, Callable[[str], None]], None] = lambda _name, _send: None
        """Called with each new subscription's stream, and a function that sends to that subscriber alone."""
        self.on_unused: Callable[[str], None] = lambda _name: None
        """Called with a stream that has lost its last subscriber."""

    def is_subscribed(self, name: str) -> bool:
        return name in self._by_name

    def subscribed_names(self) -> Iterable[str]:
        """Streams that have a subscriber."""
        return self._by_name.keys()

    def publish(self, name: str, text: str) -> None:
        """text: one JSON object."""
        subscribers = self._by_name.get(name)
        if subscribers is None:
            return
        wrapped: str | None = None
        for subscriber in subscribers:
            if subscriber.combined:
                wrapped = wrapped or _wrapped(name, text)
                subscriber.connection.send(wrapped, name)
            else:
                subscriber.connection.send(text, name)

    def subscribe(self, subscriber: Subscriber, names: Iterable[str]) -> None:
        for name in names:
            if name in subscriber.names:
                continue
            subscriber.names.add(name)
            self._by_name.setdefault(name, set()).add(subscriber)
            self.any_requested.set()
            if self._candles_part in name:
                self._candles.add(name)
                self.candles_requested.set()
                self.candles_subscribed.set()

            def send(text: str, name: str = name) -> None:
                subscriber.connection.send(_wrapped(name, text) if subscriber.combined else text, name)

            self.on_subscribe(name, send)

    def unsubscribe(self, subscriber: Subscriber, names: Iterable[str]) -> None:
        for name in list(names):
            if name in subscriber.names:
                subscriber.names.discard(name)
                others = self._by_name[name]
                others.discard(subscriber)
                if not others:
                    del self._by_name[name]
                    self._candles.discard(name)
                    if not self._candles:
                        self.candles_subscribed.clear()
                    self.on_unused(name)

    def remove(self, subscriber: Subscriber) -> None:
        """End all of its subscriptions."""
        self.unsubscribe(subscriber, list(subscriber.names))

    def receive(self, subscriber: Subscriber, text: str) -> None:
        """Execute a client's message and send the answer."""
        subscriber.connection.send(to_json(self._answer(subscriber, text)).decode())

    def _answer(self, subscriber: Subscriber, text: str) -> dict[str, Any]:
        try:
            request = from_json(text)
        except ValueError:
            return _error(3, "Invalid JSON: expected value at line 1 column 1")
        if not isinstance(request, dict):
            return _error(2, "Invalid request: request must be an object")
        request_id = request.get("id")
        if not (request_id is None or isinstance(request_id, int | str)) or isinstance(request_id, bool):
            return _error(2, "Invalid request: request ID must be an unsigned integer")
        method, params = request.get("method"), request.get("params", [])
        if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return self._change_subscriptions(subscriber, method, params, request_id)
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": sorted(subscriber.names | subscriber.keys), "id": request_id}
        if method == "SET_PROPERTY":
            if not (isinstance(params, list) and len(params) == 2 and params[0] == "combined"):
                return _error(0, "Unknown property", request_id)
            if not isinstance(params[1], bool):
                return _error(1, "Invalid value type: expected Boolean", request_id)
            subscriber.combined = params[1]
            return {"result": None, "id": request_id}
        if method == "GET_PROPERTY":
            if params != ["combined"]:
                return _error(0, "Unknown property", request_id)
            return {"result": subscriber.combined, "id": request_id}
        return _error(2, _UNKNOWN_METHOD.format(str(method)[:60]), request_id)

    def _change_subscriptions(
        self, subscriber: Subscriber, method: str, params: Any, request_id: int | str | None
    ) -> dict[str, Any]:
        if not (isinstance(params, list) and all(isinstance(name, str) for name in params)):
            return _error(2, "Invalid request: params must be an array of stream names", request_id)
        if method == "UNSUBSCRIBE":
            self._remove_keys(subscriber, params)
            self.unsubscribe(subscriber, params)
            return {"result": None, "id": request_id}
        if len(subscriber.names | set(params)) > MAX_STREAMS:
            return _error(4, "Too many subscriptions", request_id)
        keys = [name for name in params if self._user_stream is not None and self._user_stream.is_valid(name)]
        names = [name for name in params if name not in keys]
        invalid = next((name for name in names if not is_served(name, self._symbol)), None)
        if invalid is not None:
            return _error(2, f"Invalid request: invalid stream {invalid[:80]}", request_id)
        if keys and self._user_stream is not None:
            subscriber.keys.update(keys)
            self._user_stream.add(subscriber.connection, lambda: subscriber.combined)
        self.subscribe(subscriber, names)
        return {"result": None, "id": request_id}

    def _remove_keys(self, subscriber: Subscriber, names: Iterable[str]) -> None:
        removed = subscriber.keys.intersection(names)
        subscriber.keys -= removed
        if removed and not subscriber.keys and self._user_stream is not None:
            self._user_stream.remove(subscriber.connection)


def _wrapped(name: str, text: str) -> str:
    return f'{{"stream":"{name}","data":{text}}}'


def _error(code: int, msg: str, request_id: int | str | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "msg": msg}, "id": request_id}
