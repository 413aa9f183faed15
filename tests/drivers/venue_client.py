"""A client of the venue over plain sockets: requests, signatures, streams. It sends invalid requests too."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from opslab.model.messages.venue_messages import Start, VenueEndpoints, VenueLimits
from opslab.model.pipe.messages import AcknowledgeBars
from tests.drivers.venue_process import VenueProcess

TIMEOUT_SECONDS = 100.0
"""Timeout of every operation."""
ORDER = "/fapi/v1/order"
LISTEN_KEY = "/fapi/v1/listenKey"
UNLIMITED = VenueLimits(weight_per_minute=10**9, orders_per_10_seconds=10**9, orders_per_minute=10**9)
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10

type Json = Any


class SteppedVenue(VenueProcess):
    """A venue process whose plan a test can change, and whose minutes it replays one by one."""

    def __init__(
        self,
        home: Path,
        folder: Path,
        *,
        speed: float | None = None,
        ticks: int = 30,
        start: Start = "kline",
        max_bars: int | None = None,
        **changes: Any,
    ) -> None:
        """changes: of the plan. By default minutes wait for `play` and there are no rate limits."""
        super().__init__(home, folder, speed=speed, ticks=ticks, start=start, max_bars=max_bars)
        steps = {"pace": "bar_done", "bar_done_timeout_seconds": 1e9, "limits": UNLIMITED}
        self._plan = self._plan.model_copy(update={**steps, **changes})
        self._played = 0

    def start(self) -> VenueEndpoints:
        position = self.ledger / "position"
        self._played = int(position.read_text().split()[0]) if position.exists() else 0
        return super().start()

    def play(self, minutes: int = 1) -> None:
        """Let this many more minutes be replayed; the first minute needs only a subscription."""
        assert self._child is not None
        self._played += minutes
        self._child.send(AcknowledgeBars(minutes=self._played))

    def client(self) -> "VenueClient":
        return VenueClient(self.endpoints)

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child._child.pid

    def memory_kb(self, field: str = "VmRSS") -> int:
        """field: `VmRSS` (now) or `VmHWM` (the maximum so far)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0])


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Json

    @property
    def answer(self) -> Json:
        """The body; fails when the answer is an error."""
        self.assert_ok()
        return self.body

    def assert_ok(self) -> None:
        assert self.status == 200, (self.status, self.body)

    @property
    def error(self) -> tuple[int, int]:
        """(HTTP status, error code); fails when the answer is no error."""
        assert self.status != 200, self.body
        assert sorted(self.body) == ["code", "msg"], self.body
        return self.status, self.body["code"]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class VenueClient:
    """One keep-alive connection for requests, and any number of sockets. `with` closes all of them."""

    def __init__(self, endpoints: VenueEndpoints, source: str = "") -> None:
        """source: the local address; empty for the default one."""
        self.endpoints = endpoints
        self._connection = http.client.HTTPConnection(
            urlsplit(endpoints.rest_url).netloc, timeout=TIMEOUT_SECONDS, source_address=(source, 0)
        )
        self._sockets: list[Socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._sockets:
            opened.drop()
        self._connection.close()

    def close_connection(self) -> None:
        """Close the connection for requests; the next request opens another."""
        self._connection.close()

    # Requests.

    def request(self, method: str, path: str, **params: Any) -> Reply:
        """An unsigned request with the API key."""
        return self.send(method, path, urlencode(params))

    def get(self, path: str, **params: Any) -> Json:
        """The answer to an unsigned GET."""
        return self.request("GET", path, **params).answer

    def signed_request(self, method: str, path: str, **params: Any) -> Reply:
        """A request signed as the engine's adapters do it: all parameters in the query, the signature last."""
        text = urlencode({"timestamp": now_ms(), **params})
        return self.send(method, path, f"{text}&signature={self.signature(text)}")

    def send(
        self,
        method: str,
        path: str,
        query: str = "",
        *,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send the request unchanged."""
        sent_headers = {"X-MBX-APIKEY": self.endpoints.api_key} if headers is None else dict(headers)
        try:
            self._connection.request(method, f"{path}?{query}" if query else path, body=body, headers=sent_headers)
            answer = self._connection.getresponse()
            data = answer.read()
        except BaseException:
            self._connection.close()
            raise
        received_headers = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, received_headers, json.loads(data) if data else None)

    def signature(self, text: str) -> str:
        return hmac.new(self.endpoints.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    # Orders.

    def place(self, side: str, quantity: str, price: str | None = None, **more: Any) -> Reply:
        """Place a market order if there is no price, else a limit order, GTC by default."""
        return self.signed_request("POST", ORDER, **order(side, quantity, price, **more))

    def cancel(self, order_id: int) -> Reply:
        return self.signed_request("DELETE", ORDER, symbol="BTCUSDT", orderId=order_id)

    def modify(self, order_id: int, side: str, quantity: str, price: str) -> Reply:
        return self.signed_request(
            "PUT", ORDER, symbol="BTCUSDT", orderId=order_id, side=side, quantity=quantity, price=price
        )

    def query(self, order_id: int) -> Json:
        return self.signed_request("GET", ORDER, symbol="BTCUSDT", orderId=order_id).answer

    def open_orders(self) -> Json:
        return self.signed_request("GET", "/fapi/v1/openOrders").answer

    def account(self) -> Json:
        return self.signed_request("GET", "/fapi/v2/account").answer

    def position(self) -> Json:
        [row] = self.signed_request("GET", "/fapi/v2/positionRisk").answer
        return row

    def flatten(self) -> None:
        """Cancel all orders and close the position."""
        self.signed_request("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT").assert_ok()
        amount = self.position()["positionAmt"]
        if float(amount):
            side = "SELL" if float(amount) > 0 else "BUY"
            closing = self.place(side, amount.lstrip("-"), reduceOnly="true", newOrderRespType="RESULT").answer
            assert closing["status"] == "FILLED", closing

    # Sockets.

    def socket(self, path: str, headers: Mapping[str, str] | None = None) -> "Socket":
        socket = Socket(self.endpoints, path, headers)
        self._sockets.append(socket)
        return socket

    def stream(self, *names: str) -> "Socket":
        """Market streams without envelopes."""
        return self.socket("/".join(["/ws", *names]))

    def combined(self, *names: str) -> "Socket":
        """Market streams in envelopes."""
        return self.socket(f"/stream?streams={'/'.join(names)}" if names else "/stream")

    def user_stream(self) -> "Socket":
        key = self.request("POST", LISTEN_KEY).answer["listenKey"]
        return self.socket(f"/ws?listenKey={key}")

    def trading(self) -> "TradingSocket":
        socket = TradingSocket(self.endpoints, urlsplit(self.endpoints.ws_trading_url).path)
        self._sockets.append(socket)
        return socket


def order(side: str, quantity: str, price: str | None = None, **more: Any) -> dict[str, Any]:
    """Parameters of a market order if there is no price, else of a limit order, GTC by default."""
    params = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity}
    if price is not None:
        params |= {"type": "LIMIT", "timeInForce": "GTC", "price": price}
    return params | more


class Closed(Exception):
    """The other side has ended the connection. code: None when there was no close frame."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    data: bytes


class Socket:
    """One WebSocket. It reads only on request."""

    def __init__(self, endpoints: VenueEndpoints, path: str, headers: Mapping[str, str] | None = None) -> None:
        """Raises Refused when the server does not upgrade the connection."""
        url = urlsplit(endpoints.rest_url)
        assert url.hostname is not None
        self._last_id = 0
        self._pending: list[Json] = []
        self._received = b""
        self._socket = socket.create_connection((url.hostname, url.port), timeout=TIMEOUT_SECONDS)
        key = base64.b64encode(os.urandom(16)).decode()
        request_headers = {
            "Host": url.netloc,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            "X-MBX-APIKEY": endpoints.api_key,
            **(headers or {}),
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in request_headers.items()), "", ""]
        self._socket.sendall("\r\n".join(lines).encode())
        head = self._read_bytes_until(b"\r\n\r\n").decode()
        status = int(head.split()[1])
        if status != 101:
            length = next(line for line in head.lower().splitlines() if line.startswith("content-length:"))
            body = json.loads(self._read_bytes(int(length.partition(":")[2])))
            self.drop()
            raise Refused(status, body)
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        assert base64.b64encode(digest).decode() in head

    def send(self, message: Json) -> None:
        """Send a text unchanged, anything else as JSON."""
        self.send_frame(_TEXT, (message if isinstance(message, str) else json.dumps(message)).encode())

    def ping(self, data: bytes = b"") -> None:
        self.send_frame(_PING, data)

    def send_frame(self, kind: int, data: bytes) -> None:
        mask = os.urandom(4)
        size = len(data)
        head = bytes([0x80 | kind])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 1 << 16:
            head += bytes([0x80 | 126]) + struct.pack("!H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack("!Q", size)
        stream = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(data) ^ int.from_bytes(stream)).to_bytes(size) if size else b""
        try:
            self._socket.sendall(head + mask + masked)
        except ConnectionError:
            raise Closed(None) from None

    def read_frame(self) -> Frame:
        """The next frame of any kind."""
        first, size = self._read_bytes(2)
        size &= 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._read_bytes(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._read_bytes(8))
        return Frame(first & 0x0F, self._read_bytes(size))

    def next(self) -> Json:
        """The next message; answers pings that come before it. Raises Closed."""
        if self._pending:
            return self._pending.pop(0)
        while True:
            frame = self.read_frame()
            if frame.kind == _PING:
                self.send_frame(_PONG, frame.data)
            elif frame.kind == _CLOSE:
                raise Closed(int.from_bytes(frame.data[:2]) if frame.data else None)
            elif frame.kind in (_TEXT, _BINARY):
                return json.loads(frame.data)

    def read_until(self, is_wanted: Callable[[Json], bool], seconds: float = TIMEOUT_SECONDS) -> list[Json]:
        """The messages up to and including the first that is wanted."""
        deadline = time.monotonic() + seconds
        messages: list[Json] = []
        while not messages or not is_wanted(messages[-1]):
            assert time.monotonic() < deadline, f"not among {len(messages)} messages: {messages[-3:]}"
            messages.append(self.next())
        return messages

    def read_event(self, kind: str, **fields: Any) -> Json:
        """The next event of a kind. fields: its values, also those inside `o` or `k`."""

        def is_wanted(message: Json) -> bool:
            inner = next((message[name] for name in ("o", "k") if isinstance(message.get(name), dict)), message)
            return bool(message.get("e") == kind and all(inner.get(name) == value for name, value in fields.items()))

        return self.read_until(is_wanted)[-1]

    def request(self, method: str, params: Json = None) -> Json:
        """Send a request; its answer. Events that arrive before it stay readable."""
        self._last_id += 1
        request_id = self._last_id
        self.send({"method": method, "id": request_id, **({} if params is None else {"params": params})})
        *events, answer = self.read_until(lambda message: "id" in message and message["id"] == request_id)
        self._pending += events
        return answer

    def subscribe(self, *names: str) -> None:
        assert self.request("SUBSCRIBE", list(names))["result"] is None

    def unsubscribe(self, *names: str) -> None:
        assert self.request("UNSUBSCRIBE", list(names))["result"] is None

    def wait_closed(self, seconds: float = TIMEOUT_SECONDS) -> int | None:
        """Read to the end; the close code, None when there was no close frame."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                assert time.monotonic() < deadline, "it is still open"
                self.next()
        except Closed as end:
            return end.code

    def send_close(self) -> None:
        self.send_frame(_CLOSE, struct.pack("!H", 1000))

    def drop(self) -> None:
        with suppress(OSError):
            self._socket.close()

    def _read_bytes_until(self, mark: bytes) -> bytes:
        while mark not in self._received:
            self._receive()
        head, _, self._received = self._received.partition(mark)
        return head

    def _read_bytes(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive()
        data, self._received = self._received[:size], self._received[size:]
        return data

    def _receive(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            raise Closed(None)
        self._received += data


class Refused(Exception):
    """The server refused to upgrade a connection."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


class TradingSocket(Socket):
    """A socket for signed requests."""

    def __init__(self, endpoints: VenueEndpoints, path: str) -> None:
        super().__init__(endpoints, path)
        self._endpoints = endpoints
        self._requests = 0

    def signed(self, **params: Any) -> dict[str, Any]:
        all_params = {"apiKey": self._endpoints.api_key, "timestamp": now_ms(), **params}
        text = urlencode([(name, _plain(all_params[name])) for name in sorted(all_params)])
        digest = hmac.new(self._endpoints.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return all_params | {"signature": digest}

    def send_request(self, method: str, **params: Any) -> str:
        """Send a signed request; its id."""
        self._requests += 1
        request_id = f"req-{self._requests}"
        self.send({"id": request_id, "method": method, "params": self.signed(**params)})
        return request_id

    def call(self, method: str, **params: Any) -> Json:
        """Send a signed request; its answer."""
        request_id = self.send_request(method, **params)
        return self.read_until(lambda message: message.get("id") == request_id)[-1]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
