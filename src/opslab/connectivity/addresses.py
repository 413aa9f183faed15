"""Where a loopback URL leads: the addresses, each of them held against the rule before anything is sent."""

import socket
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from opslab.errors import Usage
from opslab.model.primitives.loopback_url import NAME, LoopbackUrl, is_loopback

Resolve = Callable[[str, int], Sequence[str]]
"""Host and port to addresses. Raises OSError when the name has none."""

MAX_ADDRESSES = 8


def addresses_of(url: LoopbackUrl, resolve: Resolve, seconds: float) -> list[str]:
    """Every address of the URL, in the resolver's order, all of them loopback. A name is resolved once.

    Raises Usage when one of them is not; TimeoutError; OSError when there is none.
    """
    if url.is_address:
        return [url.host]
    found = list(dict.fromkeys(_within(seconds, lambda: resolve(url.host, url.port))))
    if not found:
        raise OSError(f"{NAME} has no address")
    if not all(is_loopback(address) for address in found):
        raise Usage(
            f"not a loopback URL: {NAME} leads somewhere else on this machine", hint="see /etc/hosts, or give 127.0.0.1"
        )
    return found[:MAX_ADDRESSES]


def system_resolve(host: str, port: int) -> list[str]:
    """As the machine resolves names."""
    return [str(place[0]) for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _within(seconds: float, call: Callable[[], Sequence[str]]) -> Sequence[str]:
    """What `call` returns or raises. A resolver cannot be interrupted: one that takes too long is left to itself."""
    done: SimpleQueue[Sequence[str] | OSError] = SimpleQueue()

    def run() -> None:
        try:
            done.put(call())
        except OSError as error:
            done.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        answer = done.get(timeout=max(seconds, 0))
    except Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError):
        raise answer
    return answer
