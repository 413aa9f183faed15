"""A client of the venue over plain sockets: requests, signatures, streams. Does as it is told, also what is wrong."""

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
from tests.drivers.venue_process import VenueProcess

SECONDS = 10.0
"""How long anything may take."""
ORDER = "/fapi/v1/order"
LISTEN_KEY = "/fapi/v1/listenKey"
UNLIMITED = VenueLimits(weight_per_minute=10**9, orders_per_10_seconds=10**9, orders_per_minute=10**9)
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10

type Json = Any


class VenueChild(VenueProcess):
    """A venue child whose plan a test may change, and whose minutes it plays one by one."""

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
        """changes: of the plan. Unless changed, minutes wait for `play` and requests are not limited."""
        super().__init__(home, folder, speed=speed, ticks=ticks, start=start, max_bars=max_bars)
        steps = {"pace": "handled", "word_seconds": 1e9, "limits": UNLIMITED}
        self._plan = self._plan.model_copy(update={**steps, **changes})
        self._played = 0

    def start(self) -> VenueEndpoints:
        marked = self.ledger / "position"
        self._played = int(marked.read_text().split()[0]) if marked.exists() else 0
        return super().start()

    def play(self, minutes: int = 1) -> None:
        """Let so many minutes be played behind those that were; the first one needs no leave but a subscription."""
        assert self._child is not None
        self._played += minutes
        self._child.send({"handled": self._played})

    def client(self) -> "VenueClient":
        return VenueClient(self.endpoints)

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child._child.pid

    def memory_kb(self, what: str = "VmRSS") -> int:
        """what: `VmRSS` as it is, `VmHWM` at most so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition(f"{what}:")[2].split()[0])


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    body: Json

    @property
    def found(self) -> Json:
        """The body of an answer that is no refusal."""
        self.assert_ok()
        return self.body

    def assert_ok(self) -> None:
        assert self.status == 200, (self.status, self.body)

    @property
    def refused(self) -> tuple[int, int]:
        """(HTTP status, code) of a refusal."""
        assert self.status != 200, self.body
        assert sorted(self.body) == ["code", "msg"], self.body
        return self.status, self.body["code"]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class VenueClient:
    """One keep-alive connection for requests; sockets are opened as asked for. `with` closes all of them."""

    def __init__(self, endpoints: VenueEndpoints, source: str = "") -> None:
        """source: the address to come from; empty for the usual one."""
        self.endpoints = endpoints
        self._connection = http.client.HTTPConnection(
            urlsplit(endpoints.rest_url).netloc, timeout=SECONDS, source_address=(source, 0)
        )
        self._opened: list[Socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._opened:
            opened.drop()
        self._connection.close()

    def hang_up(self) -> None:
        """End the connection for requests; the next one makes another."""
        self._connection.close()

    # Requests.

    def ask(self, method: str, path: str, **params: Any) -> Reply:
        """Unsigned, with the key."""
        return self.send(method, path, urlencode(params))

    def get(self, path: str, **params: Any) -> Json:
        """Unsigned, answered."""
        return self.ask("GET", path, **params).found

    def sign(self, method: str, path: str, **params: Any) -> Reply:
        """Signed as the engine's adapters do: everything in the query, the signature last."""
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
        """As it is."""
        known = {"X-MBX-APIKEY": self.endpoints.api_key} if headers is None else dict(headers)
        try:
            self._connection.request(method, f"{path}?{query}" if query else path, body=body, headers=known)
            answer = self._connection.getresponse()
            data = answer.read()
        except BaseException:
            self._connection.close()
            raise
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, told, json.loads(data) if data else None)

    def signature(self, text: str) -> str:
        return hmac.new(self.endpoints.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    # Orders.

    def place(self, side: str, quantity: str, price: str | None = None, **more: Any) -> Reply:
        """A market order without a price, else a limit order, GTC unless said otherwise."""
        return self.sign("POST", ORDER, **order(side, quantity, price, **more))

    def cancel(self, order_id: int) -> Reply:
        return self.sign("DELETE", ORDER, symbol="BTCUSDT", orderId=order_id)

    def modify(self, order_id: int, side: str, quantity: str, price: str) -> Reply:
        return self.sign("PUT", ORDER, symbol="BTCUSDT", orderId=order_id, side=side, quantity=quantity, price=price)

    def query(self, order_id: int) -> Json:
        return self.sign("GET", ORDER, symbol="BTCUSDT", orderId=order_id).found

    def open_orders(self) -> Json:
        return self.sign("GET", "/fapi/v1/openOrders").found

    def account(self) -> Json:
        return self.sign("GET", "/fapi/v2/account").found

    def position(self) -> Json:
        [row] = self.sign("GET", "/fapi/v2/positionRisk").found
        return row

    def flatten(self) -> None:
        """No open orders, no position."""
        self.sign("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT").assert_ok()
        amount = self.position()["positionAmt"]
        if float(amount):
            side = "SELL" if float(amount) > 0 else "BUY"
            done = self.place(side, amount.lstrip("-"), reduceOnly="true", newOrderRespType="RESULT").found
            assert done["status"] == "FILLED", done

    # Sockets.

    def socket(self, path: str, headers: Mapping[str, str] | None = None) -> "Socket":
        opened = Socket(self.endpoints, path, headers)
        self._opened.append(opened)
        return opened

    def stream(self, *names: str) -> "Socket":
        """Market streams as they are."""
        return self.socket("/".join(["/ws", *names]))

    def combined(self, *names: str) -> "Socket":
        """Market streams in envelopes."""
        return self.socket(f"/stream?streams={'/'.join(names)}" if names else "/stream")

    def user_stream(self) -> "Socket":
        key = self.ask("POST", LISTEN_KEY).found["listenKey"]
        return self.socket(f"/ws?listenKey={key}")

    def trading(self) -> "TradingSocket":
        opened = TradingSocket(self.endpoints, urlsplit(self.endpoints.ws_trading_url).path)
        self._opened.append(opened)
        return opened


def order(side: str, quantity: str, price: str | None = None, **more: Any) -> dict[str, Any]:
    """Parameters of a market order without a price, else of a limit order, GTC unless said otherwise."""
    params = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity}
    if price is not None:
        params |= {"type": "LIMIT", "timeInForce": "GTC", "price": price}
    return params | more


class Closed(Exception):
    """The other side has ended the connection. code: None when it just cut it off."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    data: bytes


class Socket:
    """One WebSocket. Nothing is read from it but what is asked for."""

    def __init__(self, endpoints: VenueEndpoints, path: str, headers: Mapping[str, str] | None = None) -> None:
        """Raises Refused when the server does not take it up."""
        place = urlsplit(endpoints.rest_url)
        assert place.hostname is not None
        self._numbers = 0
        self._pending: list[Json] = []
        self._received = b""
        self._socket = socket.create_connection((place.hostname, place.port), timeout=SECONDS)
        key = base64.b64encode(os.urandom(16)).decode()
        wanted = {
            "Host": place.netloc,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            "X-MBX-APIKEY": endpoints.api_key,
            **(headers or {}),
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items()), "", ""]
        self._socket.sendall("\r\n".join(lines).encode())
        head = self._take_until(b"\r\n\r\n").decode()
        status = int(head.split()[1])
        if status != 101:
            length = next(line for line in head.lower().splitlines() if line.startswith("content-length:"))
            body = json.loads(self._take(int(length.partition(":")[2])))
            self.drop()
            raise Refused(status, body)
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        assert base64.b64encode(digest).decode() in head

    def send(self, message: Json) -> None:
        """A text as it is, or anything else as JSON."""
        self.put(_TEXT, (message if isinstance(message, str) else json.dumps(message)).encode())

    def ping(self, data: bytes = b"") -> None:
        self.put(_PING, data)

    def put(self, kind: int, data: bytes) -> None:
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

    def frame(self) -> Frame:
        """The next one, whatever it is."""
        first, size = self._take(2)
        size &= 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._take(8))
        return Frame(first & 0x0F, self._take(size))

    def next(self) -> Json:
        """The next message; pings are answered on the way. Raises Closed."""
        if self._pending:
            return self._pending.pop(0)
        while True:
            found = self.frame()
            if found.kind == _PING:
                self.put(_PONG, found.data)
            elif found.kind == _CLOSE:
                raise Closed(int.from_bytes(found.data[:2]) if found.data else None)
            elif found.kind in (_TEXT, _BINARY):
                return json.loads(found.data)

    def until(self, wanted: Callable[[Json], bool], seconds: float = SECONDS) -> list[Json]:
        """All messages up to the first that is wanted, that one last."""
        deadline = time.monotonic() + seconds
        found: list[Json] = []
        while not found or not wanted(found[-1]):
            assert time.monotonic() < deadline, f"not among {len(found)} messages: {found[-3:]}"
            found.append(self.next())
        return found

    def event(self, kind: str, **fields: Any) -> Json:
        """The next event of a kind; fields: what it has to have, of an `o`, `k` or `a` too."""

        def is_it(message: Json) -> bool:
            inner = next((message[name] for name in ("o", "k") if isinstance(message.get(name), dict)), message)
            return bool(message.get("e") == kind and all(inner.get(name) == value for name, value in fields.items()))

        return self.until(is_it)[-1]

    def ask(self, method: str, params: Json = None) -> Json:
        """A message to the server, and its answer; events that come before it can still be taken."""
        self._numbers += 1
        number = self._numbers
        self.send({"method": method, "id": number, **({} if params is None else {"params": params})})
        *before, answer = self.until(lambda message: "id" in message and message["id"] == number)
        self._pending += before
        return answer

    def subscribe(self, *names: str) -> None:
        assert self.ask("SUBSCRIBE", list(names))["result"] is None

    def unsubscribe(self, *names: str) -> None:
        assert self.ask("UNSUBSCRIBE", list(names))["result"] is None

    def closed(self, seconds: float = SECONDS) -> int | None:
        """Read to the end; the code that it was closed with, None when it was cut off."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                assert time.monotonic() < deadline, "it is still open"
                self.next()
        except Closed as end:
            return end.code

    def bye(self) -> None:
        """Close it in good order."""
        self.put(_CLOSE, struct.pack("!H", 1000))

    def drop(self) -> None:
        with suppress(OSError):
            self._socket.close()

    def _take_until(self, mark: bytes) -> bytes:
        while mark not in self._received:
            self._receive()
        head, _, self._received = self._received.partition(mark)
        return head

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive()
        found, self._received = self._received[:size], self._received[size:]
        return found

    def _receive(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            raise Closed(None)
        self._received += data


class Refused(Exception):
    """A socket that the server did not take up."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


class TradingSocket(Socket):
    """Requests over a socket, each signed by itself."""

    def __init__(self, endpoints: VenueEndpoints, path: str) -> None:
        super().__init__(endpoints, path)
        self._endpoints = endpoints
        self._requests = 0

    def signed(self, **params: Any) -> dict[str, Any]:
        known = {"apiKey": self._endpoints.api_key, "timestamp": now_ms(), **params}
        text = urlencode([(name, _plain(known[name])) for name in sorted(known)])
        digest = hmac.new(self._endpoints.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return known | {"signature": digest}

    def request(self, method: str, **params: Any) -> str:
        """Send a signed request; its id."""
        self._requests += 1
        number = f"req-{self._requests}"
        self.send({"id": number, "method": method, "params": self.signed(**params)})
        return number

    def call(self, method: str, **params: Any) -> Json:
        """A signed request and its answer."""
        number = self.request(method, **params)
        return self.until(lambda message: message.get("id") == number)[-1]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
