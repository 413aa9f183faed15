"""Market streams: who gets which, and the messages by which a client chooses."""

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import from_json, to_json

from opslab.venue.market.klines import INTERVALS
from opslab.venue.transport.sessions import Connection
from opslab.venue.transport.user_data_stream import UserDataStream

MAX_STREAMS = 1024
"""Of one connection: Binance's own figure."""
MARK_SPEEDS_MS = {"": 3000, "@1s": 1000}
_DEPTH = re.compile(r"depth(5|10|20)?(?:@(0|100|250|500)ms)?")
_UNKNOWN_METHOD = (
    "Invalid request: unknown variant `{}`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, "
    "`LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"
)


def parse_depth_stream(kind: str) -> tuple[int | None, int] | None:
    """(levels, None for the changes; milliseconds between pushes) of `depth`, `depth5@100ms` and the like."""
    found = _DEPTH.fullmatch(kind)
    return (int(found[1]) if found[1] else None, int(found[2] or 250)) if found else None


def is_served(name: str, symbol: str) -> bool:
    """Whether this is the name of a stream of the venue."""
    if name in ("!bookTicker", "!markPrice@arr", "!markPrice@arr@1s", "!ticker@arr", "!miniTicker@arr"):
        return True
    who, at, kind = name.partition("@")
    if not at or who != symbol.lower():
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
        """Messages come in an envelope that names their stream."""
        self.names: set[str] = set()
        self.keys: set[str] = set()
        """Listen keys that it chose by message."""


class MarketStreams:
    """`publish` hands a message to those who asked for its stream."""

    def __init__(self, symbol: str, users: UserDataStream | None = None) -> None:
        """users: whose key can be chosen like a stream's name."""
        self._symbol = symbol
        self._users = users
        self._by_name: dict[str, set[Subscriber]] = {}
        self.candles_requested = asyncio.Event()
        """Somebody has subscribed to candles, once."""
        self.candles_subscribed = asyncio.Event()
        """Somebody subscribes to candles now."""
        self._candles: set[str] = set()
        """Streams of candles that somebody follows."""
        self.any_requested = asyncio.Event()
        self.on_subscribe: Callable[[str, Callable[[str], None]], None] = lambda _name, _send: None
        """Called with a stream somebody just subscribed to, and how to send to that one alone."""
        self.on_unused: Callable[[str], None] = lambda _name: None
        """Called with a stream that nobody follows any more."""

    def wanted(self, name: str) -> bool:
        return name in self._by_name

    def names(self) -> Iterable[str]:
        """Streams that somebody follows."""
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
            if "@kline_" in name:
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

    def leave(self, subscriber: Subscriber) -> None:
        self.unsubscribe(subscriber, list(subscriber.names))

    def heard(self, subscriber: Subscriber, text: str) -> None:
        """A client's message; the answer goes back to it."""
        subscriber.connection.send(to_json(self._answer(subscriber, text)).decode())

    def _answer(self, subscriber: Subscriber, text: str) -> dict[str, Any]:
        try:
            asked = from_json(text)
        except ValueError:
            return _refused(3, "Invalid JSON: expected value at line 1 column 1")
        if not isinstance(asked, dict):
            return _refused(2, "Invalid request: request must be an object")
        number = asked.get("id")
        if not (number is None or isinstance(number, int | str)) or isinstance(number, bool):
            return _refused(2, "Invalid request: request ID must be an unsigned integer")
        method, params = asked.get("method"), asked.get("params", [])
        if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return self._choose(subscriber, method, params, number)
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": sorted(subscriber.names | subscriber.keys), "id": number}
        if method == "SET_PROPERTY":
            if not (isinstance(params, list) and len(params) == 2 and params[0] == "combined"):
                return _refused(0, "Unknown property", number)
            if not isinstance(params[1], bool):
                return _refused(1, "Invalid value type: expected Boolean", number)
            subscriber.combined = params[1]
            return {"result": None, "id": number}
        if method == "GET_PROPERTY":
            if params != ["combined"]:
                return _refused(0, "Unknown property", number)
            return {"result": subscriber.combined, "id": number}
        return _refused(2, _UNKNOWN_METHOD.format(str(method)[:60]), number)

    def _choose(self, subscriber: Subscriber, method: str, params: Any, number: int | str | None) -> dict[str, Any]:
        if not (isinstance(params, list) and all(isinstance(name, str) for name in params)):
            return _refused(2, "Invalid request: params must be an array of stream names", number)
        if method == "UNSUBSCRIBE":
            self._forget_keys(subscriber, params)
            self.unsubscribe(subscriber, params)
            return {"result": None, "id": number}
        if len(subscriber.names | set(params)) > MAX_STREAMS:
            return _refused(4, "Too many subscriptions", number)
        keys = [name for name in params if self._users is not None and self._users.knows(name)]
        names = [name for name in params if name not in keys]
        strange = next((name for name in names if not is_served(name, self._symbol)), None)
        if strange is not None:
            return _refused(2, f"Invalid request: invalid stream {strange[:80]}", number)
        if keys and self._users is not None:
            subscriber.keys.update(keys)
            self._users.join(subscriber.connection, lambda: subscriber.combined)
        self.subscribe(subscriber, names)
        return {"result": None, "id": number}

    def _forget_keys(self, subscriber: Subscriber, names: Iterable[str]) -> None:
        gone = subscriber.keys.intersection(names)
        subscriber.keys -= gone
        if gone and not subscriber.keys and self._users is not None:
            self._users.leave(subscriber.connection)


def _wrapped(name: str, text: str) -> str:
    return f'{{"stream":"{name}","data":{text}}}'


def _refused(code: int, msg: str, number: int | str | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "msg": msg}, "id": number}
