"""A receiver of Alertmanager's webhook on the loopback interface."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.drivers.tc import wait_until


@dataclass(frozen=True, slots=True)
class Notification:
    """One alert of a request."""

    received_s: float
    """Since 1970."""
    status: str
    """`firing` or `resolved`."""
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(slots=True)
class Webhook:
    url: str = ""
    received: list[Notification] = field(default_factory=list)
    """In the order of their arrival."""

    def wait_for(self, name: str, status: str, seconds: float = 120.0, **labels: str) -> Notification:
        """The first notification about the alert of that name and these labels with that status."""

        def matching() -> list[Notification]:
            wanted = {"alertname": name, **labels}.items()
            return [one for one in self.received if one.status == status and wanted <= one.labels.items()]

        wait_until(lambda: bool(matching()), f"{name} {status}", seconds)
        return matching()[0]


@contextmanager
def webhook() -> Iterator[Webhook]:
    receiver = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            document: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            now_s = time.time()
            receiver.received += [
                Notification(now_s, alert["status"], alert["labels"], alert["annotations"])
                for alert in document["alerts"]
            ]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/?receiver=a&part=b"
        try:
            yield receiver
        finally:
            server.shutdown()
