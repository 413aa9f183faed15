"""A server on loopback that answers as it is told, and knows what came."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

LIMIT_SECONDS = 30.0
HEAD_END = b"\r\n\r\n"

Act = Callable[["Visit"], None]


class Visit:
    """One connection that somebody made."""

    def __init__(self, connection: socket.socket, over: threading.Event) -> None:
        self.connection = connection
        self.received = b""
        self.gone = False
        """Whether the client has ended it, or the server did."""
        self._over = over
        connection.settimeout(LIMIT_SECONDS)

    def read_head(self) -> None:
        while HEAD_END not in self.received:
            data = self.connection.recv(65_536)
            if not data:
                return
            self.received += data

    def say(self, data: bytes) -> bool:
        """Whether it could be said."""
        try:
            self.connection.sendall(data)
        except OSError:
            self.gone = True
        return not self.gone

    def repeat(self, data: bytes, every_seconds: float = 0.0) -> None:
        """Say it again and again, until nobody takes it or the test is over."""
        while not self._over.wait(every_seconds) and self.say(data):
            pass

    def spell(self, data: bytes, every_seconds: float) -> None:
        """A byte at a time."""
        for byte in data:
            if self._over.wait(every_seconds) or not self.say(bytes([byte])):
                return

    def wait(self) -> None:
        """Say nothing until the client goes."""
        while not self._over.is_set():
            data = self.connection.recv(65_536)
            if not data:
                return
            self.received += data

    def reset(self) -> None:
        """End it without a farewell."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class Server:
    """Accepts until the block ends, and lets `act` answer each visit."""

    def __init__(self, act: Act, address: str = "127.0.0.1") -> None:
        self.visits: list[Visit] = []
        self.called = threading.Event()
        """Set once a whole head of a request has come."""
        self._act = act
        self._over = threading.Event()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._over.set()
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
                connection, _ = self._listener.accept()
                visit = Visit(connection, self._over)
                self.visits.append(visit)
                self._threads.append(threading.Thread(target=self._serve, args=(visit,)))
                self._threads[-1].start()

    def _serve(self, visit: Visit) -> None:
        with visit.connection, suppress(OSError):
            visit.read_head()
            self.called.set()
            self._act(visit)
            with suppress(OSError):
                visit.connection.shutdown(socket.SHUT_WR)
            visit.wait()


@contextmanager
def nobody_comes(address: str = "127.0.0.1") -> Iterator[int]:
    """A port that listens; when the block ends, nobody must have connected to it."""
    with socket.create_server((address, 0)) as listener:
        yield listener.getsockname()[1]
        listener.setblocking(False)
        with suppress(BlockingIOError):
            _, caller = listener.accept()
            raise AssertionError(f"{caller} came")
