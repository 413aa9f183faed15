"""Between a client and a server: hears what the client asks, and can be cut."""

import re
import socket
import threading
from contextlib import suppress
from typing import Self

from tests.drivers.venue_process import free_port

_REQUEST = re.compile(rb"(GET|POST|PUT|DELETE) (/[^ ?]*)")


class Forwarder:
    """Listens on a port of its own and hands on to another; `cut` and `mend` as often as wanted."""

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self._to = to
        self._heard = bytearray()
        self._open: set[socket.socket] = set()
        self._listening: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self.mend()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    @property
    def requests(self) -> list[str]:
        """What was asked over HTTP, as method and path."""
        return [f"{method.decode()} {path.decode()}" for method, path in _REQUEST.findall(self._heard)]

    @property
    def heard_bytes(self) -> int:
        return len(self._heard)

    def mend(self) -> None:
        listening = self._listening = socket.create_server(("127.0.0.1", self.port))
        self._accepting = threading.Thread(target=self._accept, args=(listening,), daemon=True)
        self._accepting.start()

    def cut(self) -> None:
        """Break every connection, and let nobody in."""
        if self._listening and self._accepting:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._accepting.join()
            self._listening = None
        for found in list(self._open):
            with suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            self._open |= {client, server}
            for source, sink, heard in ((client, server, self._heard), (server, client, None)):
                threading.Thread(target=self._hand_on, args=(source, sink, heard), daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket, heard: bytearray | None) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if heard is not None:
                    heard += data
                sink.sendall(data)
        for found in (source, sink):
            with suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
        source.close()
