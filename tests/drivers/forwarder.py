"""A TCP forwarder between client and server: records the requests, and can be interrupted."""

import re
import socket
import threading
from contextlib import suppress
from typing import Self

from tests.drivers.venue_process import free_port

_REQUEST = re.compile(rb"(GET|POST|PUT|DELETE) (/[^ ?]*)")


class Forwarder:
    """Listens on its own port and forwards to another; `cut` and `restore` work any number of times."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._received = bytearray()
        self._open: set[socket.socket] = set()
        self._listening: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self.restore()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    @property
    def requests(self) -> list[str]:
        """The HTTP requests, as method and path."""
        return [f"{method.decode()} {path.decode()}" for method, path in _REQUEST.findall(self._received)]

    @property
    def received_bytes(self) -> int:
        return len(self._received)

    def restore(self) -> None:
        listening = self._listening = socket.create_server(("127.0.0.1", self.port))
        self._accepting = threading.Thread(target=self._accept, args=(listening,), daemon=True)
        self._accepting.start()

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        if self._listening and self._accepting:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._accepting.join()
            self._listening = None
        for opened in list(self._open):
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target_port))
            self._open |= {client, server}
            for source, sink, record in ((client, server, self._received), (server, client, None)):
                threading.Thread(target=self._forward, args=(source, sink, record), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, record: bytearray | None) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if record is not None:
                    record += data
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
        source.close()
