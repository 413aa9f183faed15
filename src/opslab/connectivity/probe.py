"""Probe: send one read-only GET to a loopback URL and judge the response.

One deadline covers everything. It follows no redirect, uses no proxy, cookie or other state, and counts the content
without keeping it.
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

_LOCAL_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(slots=True)
class ProbeTrace:
    """Progress of a probe; seconds on the monotonic clock."""

    response: PartialResponse
    phase: ProbePhase = "resolve"
    address: str | None = None
    resolved_at_s: float | None = None
    connected_at_s: float | None = None


def probe(url: LoopbackUrl, timeout_ms: int, clock: Clock, resolve: Resolve, user_agent: str) -> ProbeResult:
    """Send one request and judge its response.

    Raises Usage if `url` is not loopback, Environment if this process cannot open a socket; then nothing was sent.
    """
    evaluated_at, started_s = iso(clock.now_ns()), clock.monotonic_s()
    trace = ProbeTrace(PartialResponse())
    reason = _send(url, clock, started_s + timeout_ms / 1000, resolve, user_agent, trace)
    ended_s = clock.monotonic_s()
    response = trace.response
    state, reason = judge(response.status_code, reason)
    return ProbeResult(
        evaluated_at=evaluated_at,
        state=state,
        reason=reason,
        phase=trace.phase,
        host=url.host,
        port=url.port,
        path=shown_path(url.path),
        has_query=url.has_query,
        address=trace.address,
        status_code=response.status_code,
        http_version=response.http_version,
        header_count=response.header_count,
        head_bytes=response.head_bytes,
        body_bytes=response.body_bytes,
        resolve_ms=None if url.is_address else _ms(started_s, trace.resolved_at_s),
        connect_ms=_ms(trace.resolved_at_s, trace.connected_at_s),
        first_byte_ms=_ms(trace.connected_at_s, response.first_byte_at_s),
        total_ms=_ms(started_s, ended_s) or 0.0,
        timeout_ms=timeout_ms,
    )


def judge(status_code: int | None, reason: ProbeReason | None) -> tuple[ProbeState, ProbeReason | None]:
    """reason: of an incomplete response; None: the response is complete and has this status code."""
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
    """The path, without the parts that look like a secret."""
    return "/".join(HIDDEN if looks_like_secret(part) else part for part in path.split("/"))


def _send(
    url: LoopbackUrl, clock: Clock, deadline_s: float, resolve: Resolve, user_agent: str, trace: ProbeTrace
) -> ProbeReason | None:
    """Fill the trace; return the reason of an incomplete response, None for a complete one."""
    try:
        try:
            addresses = addresses_of(url, resolve, deadline_s - clock.monotonic_s())
        except TimeoutError:
            raise
        except OSError:
            return "not_resolved"
        trace.phase, trace.resolved_at_s = "connect", clock.monotonic_s()
        connection, trace.address = _connect(addresses, url.port, clock, deadline_s)
        with connection:
            trace.connected_at_s = clock.monotonic_s()
            exchange = HttpExchange(connection, clock.monotonic_s, deadline_s)
            trace.response = exchange.response
            try:
                exchange.run(url, user_agent)
            finally:
                trace.phase = trace.response.phase
    except TimeoutError:
        return "deadline"
    except NoCompleteResponse as error:
        return error.reason
    return None


def _connect(addresses: Sequence[str], port: int, clock: Clock, deadline_s: float) -> tuple[socket.socket, str]:
    """(connection, address) of the first address that accepts. Raises TimeoutError, NoCompleteResponse, Environment."""
    reason: ProbeReason = "refused"
    for address in addresses:
        remaining_s = deadline_s - clock.monotonic_s()
        if remaining_s <= 0:
            raise TimeoutError
        try:
            return _connected(address, port, remaining_s), address
        except TimeoutError:
            raise
        except ConnectionResetError:  # accepted, then reset at once
            raise NoCompleteResponse("closed_early") from None
        except ConnectionRefusedError:
            continue
        except OSError as error:
            if error.errno in _LOCAL_ERRORS:
                raise Environment(f"cannot open a socket: {error.strerror}") from None
            reason = "not_connected"
    raise NoCompleteResponse(reason)


def _connected(address: str, port: int, seconds: float) -> socket.socket:
    """Raises OSError; ConnectionRefusedError also if the kernel connected the socket to itself."""
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect((address, port))
        if connection.getsockname()[:2] == (
            address,
            port,
        ):  # no listener, and the kernel chose this port as the client port
            raise ConnectionRefusedError
    except BaseException:
        connection.close()
        raise
    return connection


def _ms(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else round((end_s - start_s) * 1000, 3)
