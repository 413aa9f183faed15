"""Loopback server that responds as a test defines, and records the requests."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

LIMIT_SECONDS = 200.0
HEAD_END = b"\r\n\r\n"

Handler = Callable[["ServerConnection"], None]


class ServerConnection:
    """One accepted connection."""

    def __init__(self, stream: socket.socket, stopped: threading.Event) -> None:
        self.stream = stream
        self.received = b""
        self.closed = False
        """Whether the client or the server has closed it."""
        self._stopped = stopped
        stream.settimeout(LIMIT_SECONDS)

    def read_head(self) -> None:
        while HEAD_END not in self.received:
            data = self.stream.recv(65_536)
            if not data:
                return
            self.received += data

    def send(self, data: bytes) -> bool:
        """Return whether it could be sent."""
        try:
            self.stream.sendall(data)
        except OSError:
            self.closed = True
        return not self.closed

    def send_repeatedly(self, data: bytes, every_seconds: float = 0.0) -> None:
        """Send it until the client closes the connection or the server stops."""
        while not self._stopped.wait(every_seconds) and self.send(data):
            pass

    def send_slowly(self, data: bytes, every_seconds: float) -> None:
        """Send one byte at a time."""
        for byte in data:
            if self._stopped.wait(every_seconds) or not self.send(bytes([byte])):
                return

    def wait(self) -> None:
        """Send nothing until the client closes the connection."""
        while not self._stopped.is_set():
            data = self.stream.recv(65_536)
            if not data:
                return
            self.received += data

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()


class ScriptedServer:
    """Accepts connections until the block ends; `handle` responds to each."""

    def __init__(self, handle: Handler, address: str = "127.0.0.1") -> None:
        self.connections: list[ServerConnection] = []
        self.request_received = threading.Event()
        """Set when the complete head of a request was received."""
        self._handle = handle
        self._stopped = threading.Event()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT_SECONDS)
            assert not thread.is_alive()
        self._listener.close()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                connection = ServerConnection(stream, self._stopped)
                self.connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: ServerConnection) -> None:
        with connection.stream, suppress(OSError):
            connection.read_head()
            self.request_received.set()
            self._handle(connection)
            with suppress(OSError):
                connection.stream.shutdown(socket.SHUT_WR)
            connection.wait()


@contextmanager
def port_without_connections(address: str = "127.0.0.1") -> Iterator[int]:
    """A listening port. Fails at the end of the block if a client connected to it."""
    with socket.create_server((address, 0)) as listener:
        yield listener.getsockname()[1]
        listener.setblocking(False)
        with suppress(BlockingIOError):
            _, client = listener.accept()
            raise AssertionError(f"{client} connected")
