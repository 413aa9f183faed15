"""The probe: one read-only GET to a loopback URL, judged.

One deadline for all of it. No redirect is followed, no proxy, cookie or other state is known, the content is counted
and not kept.
"""

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from opslab.connectivity.addresses import Resolve, addresses_of
from opslab.connectivity.exchange import HttpExchange, NoCompleteResponse, PartialResponse
from opslab.errors import Environment
from opslab.model.checks.connectivity import ProbePhase, ProbeReason, ProbeResult, ProbeState
from opslab.model.primitives.instant import iso
from opslab.model.primitives.loopback_url import LoopbackUrl
from opslab.model.primitives.secret_shapes import HIDDEN, looks_like_secret
from opslab.ports import Clock

_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(slots=True)
class ProbeTrace:
    """What has happened so far; seconds on the monotonic clock."""

    answer: PartialResponse
    phase: ProbePhase = "resolve"
    address: str | None = None
    resolved_at_s: float | None = None
    connected_at_s: float | None = None


def probe(url: LoopbackUrl, timeout_ms: int, clock: Clock, resolve: Resolve, user_agent: str) -> ProbeResult:
    """Ask once, and say what came.

    Raises Usage when `url` leads elsewhere, Environment when this process can open no socket; then nothing was sent.
    """
    evaluated_at, started_s = iso(clock.now_ns()), clock.monotonic_s()
    course = ProbeTrace(PartialResponse())
    reason = _go(url, clock, started_s + timeout_ms / 1000, resolve, user_agent, course)
    ended_s = clock.monotonic_s()
    answer = course.answer
    state, reason = judge(answer.status_code, reason)
    return ProbeResult(
        evaluated_at=evaluated_at,
        state=state,
        reason=reason,
        phase=course.phase,
        host=url.host,
        port=url.port,
        path=shown_path(url.path),
        has_query=url.has_query,
        address=course.address,
        status_code=answer.status_code,
        http_version=answer.http_version,
        header_count=answer.header_count,
        head_bytes=answer.head_bytes,
        body_bytes=answer.body_bytes,
        resolve_ms=None if url.is_address else _ms(started_s, course.resolved_at_s),
        connect_ms=_ms(course.resolved_at_s, course.connected_at_s),
        first_byte_ms=_ms(course.connected_at_s, answer.first_byte_at_s),
        total_ms=_ms(started_s, ended_s) or 0.0,
        timeout_ms=timeout_ms,
    )


def judge(status_code: int | None, reason: ProbeReason | None) -> tuple[ProbeState, ProbeReason | None]:
    """reason: why there is no whole answer; None when there is one, with this status code."""
    if reason == "deadline":
        return "probe_timeout", reason
    if reason in ("not_resolved", "refused", "not_connected"):
        return "probe_unreachable", reason
    if reason is not None or status_code is None:
        return "probe_unknown", reason
    if 200 <= status_code < 300:
        return "probe_ok", None
    return "probe_http_error", "redirect" if 300 <= status_code < 400 else "status"


def shown_path(path: str) -> str:
    """The path, with the parts hidden that look like a secret."""
    return "/".join(HIDDEN if looks_like_secret(part) else part for part in path.split("/"))


def _go(
    url: LoopbackUrl, clock: Clock, deadline_s: float, resolve: Resolve, user_agent: str, course: ProbeTrace
) -> ProbeReason | None:
    """Do it; why no whole answer came, None when one did."""
    try:
        try:
            addresses = addresses_of(url, resolve, deadline_s - clock.monotonic_s())
        except TimeoutError:
            raise
        except OSError:
            return "not_resolved"
        course.phase, course.resolved_at_s = "connect", clock.monotonic_s()
        connection, course.address = _connect(addresses, url.port, clock, deadline_s)
        with connection:
            course.connected_at_s = clock.monotonic_s()
            exchange = HttpExchange(connection, clock.monotonic_s, deadline_s)
            course.answer = exchange.answer
            try:
                exchange.run(url, user_agent)
            finally:
                course.phase = course.answer.phase
    except TimeoutError:
        return "deadline"
    except NoCompleteResponse as broken:
        return broken.reason
    return None


def _connect(addresses: Sequence[str], port: int, clock: Clock, deadline_s: float) -> tuple[socket.socket, str]:
    """A connection to the first address that takes one, and the address. Raises TimeoutError, Broken or Environment."""
    reason: ProbeReason = "refused"
    for address in addresses:
        left_s = deadline_s - clock.monotonic_s()
        if left_s <= 0:
            raise TimeoutError
        try:
            return _connected(address, port, left_s), address
        except TimeoutError:
            raise
        except ConnectionResetError:  # taken, and given back at once
            raise NoCompleteResponse("closed_early") from None
        except ConnectionRefusedError:
            continue
        except OSError as error:
            if error.errno in _OURS:
                raise Environment(f"cannot open a socket: {error.strerror}") from None
            reason = "not_connected"
    raise NoCompleteResponse(reason)


def _connected(address: str, port: int, seconds: float) -> socket.socket:
    """Raises OSError; ConnectionRefusedError also when the kernel connected the socket to itself."""
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect((address, port))
        if connection.getsockname()[:2] == (address, port):  # nobody listened, and our own port was the one
            raise ConnectionRefusedError
    except BaseException:
        connection.close()
        raise
    return connection


def _ms(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else round((end_s - start_s) * 1000, 3)
