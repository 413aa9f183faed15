"""Attacks on a server's port, each with a bounded number of repetitions; loopback only."""

import json
import random
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from opslab.model.messages.venue_messages import VenueEndpoints

TIMEOUT_SECONDS = 10.0
RESET_SECONDS = 120.0
"""Limit within which the venue resets a client that reads nothing, or sends nothing."""
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_LINES = (
    b"GET\r\n\r\n",
    b"GET /fapi/v1/ping\r\n\r\n",
    b"GET /fapi/v1/ping HTTP/9.9\r\n\r\n",
    b"GE\x00T /fapi/v1/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /fapi/v1/ping HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET /fapi/v1/ping HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /fapi/v1/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n folded: yes\r\n\r\n",
    b"GET /fapi/v1/ping HTTP/1.1\r\nHost: 127.0.0.1\r\nX: \x00\xff\xfe\r\n\r\n",
    b"POST /fapi/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /fapi/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1e3\r\n\r\n",
    b"POST /fapi/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST /fapi/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /fapi/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    b"POST /fapi/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
    b"POST /fapi/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\r\n" * 1_000,
)
_REQUESTS = (
    *((method, "/fapi/v1/ping") for method in ("PUT", "PATCH", "TRACE", "OPTIONS", "HEAD", "PROPFIND", "X" * 40)),
    ("CONNECT", "127.0.0.1:80"),
    ("GET", "*"),
    ("GET", "http://example.com/fapi/v1/ping"),
    *(
        ("GET", path)
        for path in (
            "/",
            "//",
            "/fapi",
            "/fapi/v1/ping/",
            "/fapi/v1/../v1/ping",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/fapi/v1/%00",
            "/fapi/v1/%ff%fe",
            "/fapi/v1/%",
            "/control",
            "/control.sock",
            "/fapi/v1/ping?%ff=%fe",
            "/fapi/v1/depth?symbol=%ff",
            "/fapi/v1/depth?symbol=BTCUSDT&symbol=BTCUSDT",
            "/fapi/v1/depth?" + "&".join(f"a{number}=1" for number in range(500)),
            "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=" + "9" * 5_000,
            "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&startTime=-9223372036854775809",
            "/fapi/v1/" + "a" * 7_000,
            "/ws?listenKey=" + "k" * 64,
            "/stream?streams=" + "/".join(["btcusdt@aggTrade"] * 300),
        )
    ),
)
DEEP = "[" * 30_000


@dataclass(frozen=True, slots=True)
class VenueAddress:
    """The address under attack."""

    host: str
    port: int

    @classmethod
    def of(cls, endpoints: VenueEndpoints) -> "VenueAddress":
        parts = urlsplit(endpoints.rest_url)
        assert parts.hostname is not None
        assert parts.port is not None
        return cls(parts.hostname, parts.port)

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=TIMEOUT_SECONDS)

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with self.connect() as opened, suppress(ConnectionError):
            yield opened

    def upgraded(self, path: str) -> socket.socket:
        """A WebSocket."""
        opened = self.connect()
        opened.sendall(UPGRADE.format(path=path).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            data = opened.recv(1)
            if not data:
                raise ConnectionError("the connection was closed")
            head += data
        if b" 101 " not in head:
            raise ConnectionError(head.partition(b"\r\n")[0].decode())
        return opened


def read_all(opened: socket.socket) -> bytes:
    """Read until the server closes the connection, which must happen soon."""
    data_read = b""
    with suppress(ConnectionError):
        while data := opened.recv(1 << 16):
            data_read += data
    return data_read


def frame(kind: int, data: bytes, *, first: int = 0x80, masked: bool = True, size: int | None = None) -> bytes:
    """A WebSocket frame. first: FIN and reserved bits. size: the size field, if it should be wrong."""
    size = len(data) if size is None else size
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes([first | kind, mask | size])
    elif size < 1 << 16:
        head = bytes([first | kind, mask | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first | kind, mask | 127]) + struct.pack("!Q", size)
    return head + (b"\0\0\0\0" if masked else b"") + data


_BAD_FRAMES = (
    frame(1, b"{}", masked=False),
    frame(3, b"reserved kind"),
    frame(11, b"reserved control"),
    frame(1, b"{}", first=0xF0),
    frame(1, b"\xff\xfe\xfd"),
    frame(9, b"x" * 126),
    frame(9, b"split control", first=0),
    frame(0, b"goes on with nothing"),
    frame(1, b"", size=1 << 62),
    frame(1, b"x" * (1 << 17)),
    frame(8, b"\x00"),
    frame(8, struct.pack("!H", 5)),
    frame(8, struct.pack("!H", 1000) + b"\xff"),
    b"".join([frame(1, b"a" * 1000, first=0), *(frame(0, b"a" * 1000, first=0) for _ in range(200))]),
)
_BAD_TEXTS = (
    "",
    "\0",
    "nonsense",
    "null",
    "[]",
    "{}",
    '"SUBSCRIBE"',
    DEEP,
    '{"a":' * 10_000,
    '{"method":"SUBSCRIBE"}',
    '{"method":"SUBSCRIBE","params":"btcusdt@aggTrade","id":1}',
    '{"method":"SUBSCRIBE","params":[1,null,{},[]],"id":1}',
    json.dumps({"method": "SUBSCRIBE", "params": ["x" * 60_000], "id": 1}),
    json.dumps({"method": "SUBSCRIBE", "params": [f"btcusdt@trade{number}" for number in range(2_000)], "id": 1}),
    '{"method":["SUBSCRIBE"],"params":[],"id":{}}',
    '{"method":"LIST_SUBSCRIPTIONS","id":' + "9" * 5_000 + "}",
    '{"method":"order.place","params":{"price":1e999999},"id":1}',
    '{"method":"order.place","params":{"symbol":{"a":[1]}},"id":1}',
    '{"method":"order.place","params":[],"id":true}',
    '{"method":"account.status","params":{"apiKey":"\\ud800"},"id":"x"}',
    '{"id":"x","method":"session.logon","params":{}}',
)


# Each attack takes the address, a random generator and the number of repetitions.


def garbage(address: VenueAddress, generator: random.Random, count: int) -> None:
    for _ in range(count):
        with address.connected() as opened:
            opened.sendall(generator.randbytes(generator.randrange(1, 4_000)) + b"\r\n\r\n")
            read_all(opened)


def malformed_http(address: VenueAddress, _generator: random.Random, count: int) -> None:
    for number in range(count):
        with address.connected() as opened:
            opened.sendall(_LINES[number % len(_LINES)])
            opened.shutdown(socket.SHUT_WR)
            read_all(opened)


def cut_requests(address: VenueAddress, generator: random.Random, count: int) -> None:
    """Valid requests that end too soon, some by a reset."""
    request = b"GET /fapi/v1/depth?symbol=BTCUSDT HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n"
    for _ in range(count):
        with address.connected() as opened:
            opened.sendall(request[: generator.randrange(len(request))])
            if generator.random() < 0.5:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def strange_requests(address: VenueAddress, _generator: random.Random, count: int) -> None:
    for number in range(count):
        method, path = _REQUESTS[number % len(_REQUESTS)]
        with address.connected() as opened:
            opened.sendall(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            opened.shutdown(socket.SHUT_WR)
            read_all(opened)


def non_utf8(address: VenueAddress, generator: random.Random, count: int) -> None:
    for _ in range(count):
        junk = bytes(generator.choice(b"\x80\xbf\xc0\xff\xfe\xf5") for _ in range(20))
        request = generator.choice(
            (
                b"GET /fapi/v1/" + junk + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
                b"GET /fapi/v1/depth?symbol=" + junk + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
                b"GET /fapi/v2/account HTTP/1.1\r\nHost: 127.0.0.1\r\nX-MBX-APIKEY: "
                + junk
                + b"\r\nConnection: close\r\n\r\n",
                b"POST /fapi/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 20\r\n\r\n"
                + junk,
            )
        )
        with address.connected() as opened:
            opened.sendall(request)
            read_all(opened)


def other_hosts(address: VenueAddress, generator: random.Random, count: int) -> None:
    hosts = ("example.com", "127.0.0.1.example.com", "[::ffff:7f00:1]", "2130706433", "0.0.0.0", "", "a" * 5_000)
    for _ in range(count):
        path = generator.choice(("/fapi/v1/ping", "/ws/btcusdt@trade", "/ws-fapi/v1"))
        with address.connected() as opened:
            head = UPGRADE.format(path=path).replace("Host: 127.0.0.1", f"Host: {generator.choice(hosts)}")
            opened.sendall(head.encode())
            opened.shutdown(socket.SHUT_WR)
            assert b" 101 " not in read_all(opened).partition(b"\r\n")[0]


def huge_headers(address: VenueAddress, _generator: random.Random, count: int) -> None:
    for number in range(count):
        with address.connected() as opened:
            opened.sendall(b"GET /fapi/v1/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            if number % 2:
                for field in range(5_000):
                    opened.sendall(f"x-{field}: {'a' * 100}\r\n".encode())
            else:
                opened.sendall(b"x: " + b"a" * (4 << 20))
            read_all(opened)


def huge_bodies(address: VenueAddress, _generator: random.Random, count: int) -> None:
    for number in range(count):
        with address.connected() as opened:
            head = b"POST /fapi/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            if number % 2:
                opened.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
                for _ in range(64):
                    opened.sendall(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")
            else:
                opened.sendall(head + b"Content-Length: 8000000000\r\n\r\n")
                for _ in range(64):
                    opened.sendall(b"a" * 0x10000)
            read_all(opened)


def bad_frames(address: VenueAddress, generator: random.Random, count: int) -> None:
    for number in range(count):
        path = generator.choice(("/ws/btcusdt@trade", "/ws-fapi/v1", "/stream"))
        with suppress(ConnectionError), address.upgraded(path) as opened:
            opened.sendall(_BAD_FRAMES[number % len(_BAD_FRAMES)])
            opened.sendall(frame(8, struct.pack("!H", 1000)))
            read_all(opened)


def random_frames(address: VenueAddress, generator: random.Random, count: int) -> None:
    for _ in range(count):
        with suppress(ConnectionError), address.upgraded(generator.choice(("/ws", "/ws-fapi/v1", "/stream"))) as opened:
            opened.sendall(generator.randbytes(generator.randrange(1, 2_000)))
            opened.shutdown(socket.SHUT_WR)
            read_all(opened)


def bad_texts(address: VenueAddress, _generator: random.Random, count: int) -> None:
    for number in range(count):
        path = ("/ws", "/ws-fapi/v1", "/stream")[number // len(_BAD_TEXTS) % 3]
        with suppress(ConnectionError), address.upgraded(path) as opened:
            opened.sendall(frame(1, _BAD_TEXTS[number % len(_BAD_TEXTS)].encode()))
            opened.sendall(frame(8, struct.pack("!H", 1000)))
            read_all(opened)


def ping_flood(address: VenueAddress, _generator: random.Random, count: int) -> None:
    """Thousands of pings on sockets of every kind; nothing is read."""
    for path in ("/ws", "/ws-fapi/v1"):
        with address.upgraded(path) as opened:
            _send_unread(opened, frame(9, b"x" * 125) * 100, count)


def requests_unread(address: VenueAddress, _generator: random.Random, count: int) -> None:
    """Requests whose answers are not read."""
    with address.connect() as opened:
        _send_unread(opened, b"GET /fapi/v1/exchangeInfo HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100, count)


def calls_unread(address: VenueAddress, _generator: random.Random, count: int) -> None:
    """The same on a trading socket."""
    with address.upgraded("/ws-fapi/v1") as opened:
        _send_unread(opened, frame(1, b'{"id":"%s","method":"ping"}' % (b"i" * 1_000)) * 20, count)


def _send_unread(opened: socket.socket, data: bytes, count: int) -> None:
    """Send `count` times, or until the server reads no more; then wait for the reset."""
    opened.settimeout(1.0)
    with suppress(ConnectionError, TimeoutError):
        for _ in range(count):
            opened.sendall(data)
    _wait_reset(opened)


def _wait_reset(*sockets: socket.socket) -> None:
    """Wait, without reading, until the server has reset all of them."""
    poll = select.poll()
    waiting = {opened.fileno() for opened in sockets}
    for number in waiting:
        poll.register(number, select.POLLRDHUP)
    deadline = time.monotonic() + RESET_SECONDS
    while waiting:
        assert time.monotonic() < deadline, f"{len(waiting)} of {len(sockets)} are still open"
        for number, _ in poll.poll(1_000):
            poll.unregister(number)
            waiting.discard(number)


def streams_unread(address: VenueAddress, _generator: random.Random, count: int) -> None:
    """`count` sockets that subscribe to every stream and read nothing."""
    names = "/".join(f"btcusdt@{name}" for name in ("trade", "aggTrade", "bookTicker", "depth@100ms", "kline_1m"))
    with ExitStack() as stack:
        _wait_reset(*(stack.enter_context(address.upgraded(f"/stream?streams={names}")) for _ in range(count)))


def immediate_resets(address: VenueAddress, _generator: random.Random, count: int) -> None:
    """Connections that the client resets at once."""
    for _ in range(count):
        with suppress(ConnectionError), address.connect() as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def many_connections(address: VenueAddress, _generator: random.Random, count: int) -> None:
    """`count` connections at once that send nothing, until each of them is reset."""
    deadline = time.monotonic() + 60
    with ExitStack() as stack:
        connections = [stack.enter_context(address.connect()) for _ in range(count)]
        for opened in connections:
            opened.settimeout(max(0.1, deadline - time.monotonic()))
            read_all(opened)


def many_sockets(address: VenueAddress, _generator: random.Random, count: int) -> None:
    """`count` WebSockets that stay open; requests are still answered."""
    with ExitStack() as stack:
        accepted = 0
        for _ in range(count):
            with suppress(ConnectionError):
                stack.enter_context(address.upgraded("/ws"))
                accepted += 1
        assert accepted < count, "all were accepted"
        with address.connected() as opened:
            opened.sendall(b"GET /fapi/v1/ping HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert b" 200 " in read_all(opened)


def slow_heads(address: VenueAddress, _generator: random.Random, count: int) -> None:
    """A request one byte at a time, on `count` connections, until each of them is reset."""
    request = b"GET /fapi/v1/ping HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 1_000
    _trickle(address, count, b"", request)


def slow_bodies(address: VenueAddress, _generator: random.Random, count: int) -> None:
    head = b"POST /fapi/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n"
    _trickle(address, count, head, b"a" * 1_000)


def _trickle(address: VenueAddress, count: int, immediately: bytes, slowly: bytes) -> None:
    deadline = time.monotonic() + 60
    with ExitStack() as stack:
        still_open = {stack.enter_context(address.connect()) for _ in range(count)}
        for opened in still_open:
            opened.sendall(immediately)
            opened.settimeout(0.0)
        for byte in slowly:
            assert time.monotonic() < deadline, f"{len(still_open)} of {count} are still open"
            for opened in list(still_open):
                try:
                    opened.send(bytes([byte]))
                    if opened.recv(1 << 16) == b"":
                        still_open.discard(opened)
                except BlockingIOError:
                    pass
                except ConnectionError:
                    still_open.discard(opened)
            if not still_open:
                return
            time.sleep(0.1)  # the attack is the slowness
        raise AssertionError(f"{len(still_open)} of {count} were never reset")


type Attack = Callable[[VenueAddress, random.Random, int], None]

ATTACKS: dict[str, tuple[Attack, int]] = {
    attack.__name__.replace("_", "-"): (attack, count)
    for attack, count in (
        (garbage, 100),
        (malformed_http, 3 * len(_LINES)),
        (cut_requests, 200),
        (strange_requests, 2 * len(_REQUESTS)),
        (non_utf8, 100),
        (other_hosts, 100),
        (huge_headers, 4),
        (huge_bodies, 4),
        (bad_frames, 3 * len(_BAD_FRAMES)),
        (random_frames, 100),
        (bad_texts, 3 * len(_BAD_TEXTS)),
        (ping_flood, 2_000),
        (requests_unread, 2_000),
        (calls_unread, 3_000),
        (streams_unread, 60),
        (immediate_resets, 1_000),
        (many_connections, 800),
        (many_sockets, 400),
        (slow_heads, 100),
        (slow_bodies, 100),
    )
}
"""(attack, number of repetitions in a test) by name."""


def descriptors(pid: int) -> int:
    """The number of file descriptors that a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
