"""Addresses of a loopback URL, each checked to be loopback before anything is sent."""

import socket
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from opslab.errors import Usage
from opslab.model.primitives.loopback_url import NAME, LoopbackUrl, is_loopback

Resolve = Callable[[str, int], Sequence[str]]
"""(host, port) to addresses. Raises OSError if the name has none."""

MAX_ADDRESSES = 8


def addresses_of(url: LoopbackUrl, resolve: Resolve, seconds: float) -> list[str]:
    """The addresses of the URL in the resolver's order, all loopback, at most `MAX_ADDRESSES`. Resolves a name once.

    Raises Usage if one of them is not loopback; TimeoutError; OSError if there is none.
    """
    if url.is_address:
        return [url.host]
    addresses = list(dict.fromkeys(_with_timeout(seconds, lambda: resolve(url.host, url.port))))
    if not addresses:
        raise OSError(f"{NAME} has no address")
    if not all(is_loopback(address) for address in addresses):
        raise Usage(
            f"not a loopback URL: {NAME} has another address on this machine", hint="check /etc/hosts, or use 127.0.0.1"
        )
    return addresses[:MAX_ADDRESSES]


def system_resolve(host: str, port: int) -> list[str]:
    """Resolve a name as this machine does."""
    return [str(endpoint[0]) for *_, endpoint in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _with_timeout(seconds: float, call: Callable[[], Sequence[str]]) -> Sequence[str]:
    """Return or raise what `call` does. A resolver cannot be interrupted: after the timeout its thread is abandoned."""
    outcome: SimpleQueue[Sequence[str] | OSError] = SimpleQueue()

    def run() -> None:
        try:
            outcome.put(call())
        except OSError as error:
            outcome.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        result = outcome.get(timeout=max(seconds, 0))
    except Empty:
        raise TimeoutError from None
    if isinstance(result, OSError):
        raise result
    return result
