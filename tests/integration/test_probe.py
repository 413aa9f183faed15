"""Probe real sockets of servers that misbehave."""

import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from opslab.connectivity.exchange import MAX_BODY_BYTES
from opslab.connectivity.probe import probe
from opslab.errors import Usage
from opslab.model.checks.connectivity import ProbeResult
from opslab.model.primitives.loopback_url import LoopbackUrl
from opslab.system import SystemClock
from tests.drivers.tc import Tc
from tests.drivers.venue_process import free_port
from tests.fakes.scripted_server import Handler, ScriptedServer, ServerConnection, port_without_connections

LONG_MS = 30_000
"""More than any response takes."""
SHORT_MS = 1000
DRIP_SECONDS = 10
"""Duration of a response in drops: a probe that waits for it fails instead of hanging."""
HEADERS = {"host", "user-agent", "accept", "accept-encoding", "connection"}


def unresolved(host: str, _port: int) -> list[str]:
    raise AssertionError(f"{host} was resolved")


def probe_url(
    url: str, timeout_ms: int = LONG_MS, resolve: Callable[[str, int], list[str]] = unresolved
) -> ProbeResult:
    return probe(LoopbackUrl(url), timeout_ms, SystemClock(), resolve, "tc/test")


def sends(*parts: bytes) -> Handler:
    def handle(connection: ServerConnection) -> None:
        for part in parts:
            connection.send(part)

    return handle


def repeats_the_request(connection: ServerConnection) -> None:
    connection.send(connection.received)


def responds(status: str, body: bytes = b"{}", *headers: bytes) -> Handler:
    lines = [f"HTTP/1.1 {status}".encode(), f"Content-Length: {len(body)}".encode(), *headers]
    return sends(b"\r\n".join(lines) + b"\r\n\r\n" + body)


def sends_forever(before: bytes, repeated: bytes) -> Handler:
    def handle(connection: ServerConnection) -> None:
        connection.send(before)
        connection.send_repeatedly(repeated)

    return handle


@dataclass(frozen=True, slots=True)
class Case:
    handle: Handler
    state: str
    reason: str | None = None
    status: int | None = None
    body: int | None = None


OK = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(b"0" * 10_000_000)
CASES = {
    # complete responses
    "ok": Case(responds("200 OK"), "probe_ok", None, 200, 2),
    "created": Case(responds("201 Created"), "probe_ok", None, 201, 2),
    "no content": Case(sends(b"HTTP/1.1 204 No Content\r\n\r\n"), "probe_ok", None, 204, 0),
    "no reason phrase": Case(sends(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"), "probe_ok", None, 200, 0),
    "1.0": Case(sends(b"HTTP/1.0 200 OK\r\n\r\nabc"), "probe_ok", None, 200, 3),
    "to the end of the stream": Case(sends(OK + b"\r\nabc"), "probe_ok", None, 200, 3),
    "chunked": Case(
        sends(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", b"2;x=y\r\nde\r\n0\r\nT: x\r\n\r\n"),
        "probe_ok", None, 200, 5,
    ),
    "informational first": Case(
        sends(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", OK + b"\r\n"),
        "probe_ok", None, 200, 0,
    ),
    "more than it declared": Case(sends(OK + b"Content-Length: 2\r\n\r\nabcdef"), "probe_ok", None, 200, 2),
    "a bomb is not unpacked": Case(
        responds("200 OK", BOMB, b"Content-Encoding: gzip"), "probe_ok", None, 200, len(BOMB)
    ),
    "as much as is allowed": Case(responds("200 OK", b"x" * MAX_BODY_BYTES), "probe_ok", None, 200, MAX_BODY_BYTES),
    "not server": Case(responds("404 Not Found"), "probe_http_error", "status", 404, 2),
    "server error": Case(responds("500 Internal ScriptedServer Error"), "probe_http_error", "status", 500, 2),
    "unauthorized": Case(
        responds("401 Unauthorized", b"", b"WWW-Authenticate: Basic"), "probe_http_error", "status", 401, 0
    ),
    "moved to what is no URL": Case(
        responds("302 Found", b"", b"Location: http://[::bad"), "probe_http_error", "redirect", 302, 0
    ),
    "not modified": Case(sends(b"HTTP/1.1 304 Not Modified\r\n\r\n"), "probe_http_error", "redirect", 304, 0),
    # incomplete responses
    "closes": Case(lambda _connection: None, "probe_unknown", "closed_early"),
    "resets": Case(ServerConnection.reset, "probe_unknown", "closed_early"),
    "half a head": Case(sends(OK + b"Content-"), "probe_unknown", "closed_early"),
    "less than it declared": Case(sends(OK + b"Content-Length: 9\r\n\r\nabc"), "probe_unknown", "closed_early", 200, 3),
    "less than a chunk": Case(
        sends(OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nabc"), "probe_unknown", "closed_early", 200, 3
    ),
    "no last chunk": Case(
        sends(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), "probe_unknown", "closed_early", 200, 3
    ),
    # not HTTP
    "ssh": Case(sends(b"SSH-2.0-OpenSSH_9.6\r\n"), "probe_unknown", "malformed"),
    "tls alert": Case(sends(b"\x15\x03\x03\x00\x02\x02\x46"), "probe_unknown", "malformed"),
    "http/2": Case(sends(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"), "probe_unknown", "malformed"),
    "http/0.9": Case(sends(b"<html>hello</html>"), "probe_unknown", "malformed"),
    "icy": Case(sends(b"ICY 200 OK\r\n\r\n"), "probe_unknown", "malformed"),
    "its own request": Case(repeats_the_request, "probe_unknown", "malformed"),
    "version 2": Case(sends(b"HTTP/2.0 200 OK\r\n\r\n"), "probe_unknown", "malformed"),
    "no status": Case(sends(b"HTTP/1.1 abc\r\n\r\n"), "probe_unknown", "malformed"),
    "a line that is no header": Case(sends(OK + b"no colon\r\n\r\n"), "probe_unknown", "malformed"),
    "space before the colon": Case(sends(OK + b"A : b\r\n\r\n"), "probe_unknown", "malformed"),
    "nul in a header": Case(sends(OK + b"A: b\x00c\r\n\r\n"), "probe_unknown", "malformed"),
    "two lengths": Case(sends(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), "probe_unknown", "malformed"),
    "negative length": Case(sends(OK + b"Content-Length: -1\r\n\r\n"), "probe_unknown", "malformed"),
    "length that is no number": Case(sends(OK + b"Content-Length: 0x2\r\n\r\nab"), "probe_unknown", "malformed"),
    "another encoding": Case(sends(OK + b"Transfer-Encoding: gzip\r\n\r\n"), "probe_unknown", "malformed"),
    "chunk of no size": Case(
        sends(OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), "probe_unknown", "malformed", 200, 0
    ),
    "another protocol": Case(
        sends(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), "probe_unknown", "malformed"
    ),
    # endless responses
    "endless header": Case(sends_forever(OK + b"X: ", b"a" * 10_000), "probe_unknown", "head_too_long"),
    "endless headers": Case(sends_forever(OK, b"X: y\r\n" * 1000), "probe_unknown", "head_too_long"),
    "endless status line": Case(sends_forever(b"HTTP/1.1 200 ", b"a" * 10_000), "probe_unknown", "head_too_long"),
    "endless informational": Case(
        sends_forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "probe_unknown", "head_too_long"
    ),
    "endless body": Case(
        sends_forever(OK + b"\r\n", b"a" * 10_000), "probe_unknown", "body_too_long", 200, MAX_BODY_BYTES
    ),
    "declared too long": Case(
        sends_forever(OK + b"Content-Length: 99999999999\r\n\r\n", b"a" * 10_000),
        "probe_unknown", "body_too_long", 200, MAX_BODY_BYTES,
    ),
    "endless chunks": Case(
        sends_forever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 1000),
        "probe_unknown", "body_too_long", 200,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_response_is_judged_after_one_request(name: str) -> None:
    case = CASES[name]
    with ScriptedServer(case.handle) as server:
        result = probe_url(server.url("/fapi/v1/ping?a=b"))
    assert (result.state, result.reason, result.status_code) == (case.state, case.reason, case.status)
    assert result.body_bytes == case.body or case.body is None
    assert (result.head_bytes is None) == (case.status is None)
    assert result.address == "127.0.0.1"
    assert_one_get(server, "/fapi/v1/ping?a=b")


def assert_one_get(server: ScriptedServer, target: str) -> dict[str, str]:
    """Assert that there was exactly one request, a plain GET; return its headers."""
    (connection,) = server.connections
    head, rest = connection.received.split(b"\r\n\r\n")
    assert rest == b""
    first, *lines = head.decode("ascii").split("\r\n")
    assert first == f"GET {target} HTTP/1.1"
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert len(headers) == len(lines)
    assert headers.keys() == HEADERS
    assert headers["accept-encoding"] == "identity"
    return headers


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed(status: str) -> None:
    with port_without_connections() as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere}/".encode()
        with ScriptedServer(responds(status, b"", location)) as server:
            result = probe_url(server.url())
    assert (result.state, result.reason) == ("probe_http_error", "redirect")
    assert_one_get(server, "/")


def test_no_state_is_kept_between_probes() -> None:
    with ScriptedServer(responds("200 OK", b"", b"Set-Cookie: a=b; Path=/")) as server:
        for _ in range(2):
            assert probe_url(server.url()).state == "probe_ok"
    for connection in server.connections:
        assert b"cookie" not in connection.received.lower()


# deadlines


def test_a_silent_port_is_a_timeout() -> None:
    with ScriptedServer(ServerConnection.wait) as server:
        result = probe_url(server.url(), SHORT_MS)
    assert (result.state, result.phase) == ("probe_timeout", "first_byte")
    assert_took_the_timeout(result)
    assert_one_get(server, "/")


@pytest.mark.parametrize("every_seconds", [0.4, 0.01])
def test_a_head_in_drops_does_not_move_the_deadline(every_seconds: float) -> None:
    def send_in_drops(connection: ServerConnection) -> None:
        connection.send_slowly(OK + b"X: " + b"a" * int(DRIP_SECONDS / every_seconds) + b"\r\n\r\n", every_seconds)

    with ScriptedServer(send_in_drops) as server:
        result = probe_url(server.url(), SHORT_MS)
    assert (result.state, result.phase) == ("probe_timeout", "head")
    assert_took_the_timeout(result)


def test_a_body_in_drops_does_not_move_the_deadline() -> None:
    def send_in_drops(connection: ServerConnection) -> None:
        connection.send(OK + b"\r\n")
        connection.send_slowly(b"a" * int(DRIP_SECONDS / 0.02), 0.02)

    with ScriptedServer(send_in_drops) as server:
        result = probe_url(server.url(), SHORT_MS)
    assert (result.state, result.phase, result.status_code) == ("probe_timeout", "body", 200)
    assert_took_the_timeout(result)


def test_informational_responses_in_drops_do_not_move_the_deadline() -> None:
    answers = b"HTTP/1.1 102 Processing\r\n\r\n" * 20
    with ScriptedServer(lambda connection: connection.send_slowly(answers, 0.02)) as server:
        result = probe_url(server.url(), SHORT_MS)
    assert (result.state, result.phase) == ("probe_timeout", "head")


def test_a_slow_name_resolution_is_a_timeout() -> None:
    finished = threading.Event()

    def resolve(_host: str, _port: int) -> list[str]:
        finished.wait(300)
        return ["127.0.0.1"]

    with port_without_connections() as port:
        result = probe_url(f"http://localhost:{port}/", SHORT_MS, resolve)
        finished.set()
    assert (result.state, result.phase) == ("probe_timeout", "resolve")
    assert_took_the_timeout(result)


def test_a_full_backlog_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(8)]
        for client in waiting:
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(listener.getsockname())
        result = probe_url(f"http://127.0.0.1:{listener.getsockname()[1]}/", SHORT_MS)
        for client in waiting:
            client.close()
    assert (result.state, result.phase, result.address) == ("probe_timeout", "connect", None)
    assert_took_the_timeout(result)


def assert_took_the_timeout(result: ProbeResult) -> None:
    """It took the whole time limit, and less than one more operation; this machine may be busy."""
    assert result.timeout_ms <= result.total_ms < result.timeout_ms + 5000


def test_the_times_separate_the_phases() -> None:
    def slow(connection: ServerConnection) -> None:
        connection.send_slowly(b"H", 0.2)
        connection.send_slowly(OK[1:2], 0.3)
        connection.send(OK[2:] + b"Content-Length: 0\r\n\r\n")

    with ScriptedServer(slow) as server:
        result = probe_url(server.url("/", "localhost"), resolve=lambda _host, _port: ["127.0.0.1"])
    assert result.resolve_ms is not None
    assert result.connect_ms is not None
    assert result.first_byte_ms is not None
    assert result.first_byte_ms >= 200
    assert result.first_byte_ms < result.total_ms
    assert result.total_ms >= 500, "both delays of the server"
    assert probe_url(f"http://127.0.0.1:{free_port()}/").resolve_ms is None


# addresses


def test_a_port_without_a_listener() -> None:
    result = probe_url(f"http://127.0.0.1:{free_port()}/")
    assert (result.state, result.reason, result.phase) == ("probe_unreachable", "refused", "connect")


def test_a_name_without_an_address() -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    def resolve_to_none(_host: str, _port: int) -> list[str]:
        return []

    for empty in (resolve, resolve_to_none):
        result = probe_url("http://localhost:9/", resolve=empty)
        assert (result.state, result.reason, result.phase) == ("probe_unreachable", "not_resolved", "resolve")


@pytest.mark.parametrize(
    "elsewhere", ["10.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1", "fe80::1%lo", "192.0.2.1", "127.1", "not-one"]
)
def test_a_name_with_an_address_outside_loopback_is_refused_and_nothing_is_sent(elsewhere: str) -> None:
    with port_without_connections() as port:
        for addresses in (["127.0.0.1", elsewhere], [elsewhere, "127.0.0.1"], [elsewhere]):

            def resolve(_host: str, _port: int, addresses: list[str] = addresses) -> list[str]:
                return addresses

            with pytest.raises(Usage):
                probe_url(f"http://localhost:{port}/", resolve=resolve)


def test_a_name_that_changes_is_resolved_once() -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    with ScriptedServer(responds("200 OK")) as server:
        result = probe_url(server.url("/", "localhost"), resolve=lambda _host, _port: next(answers))
    assert (result.state, result.host, result.address) == ("probe_ok", "localhost", "127.0.0.1")
    assert next(answers) == ["10.0.0.1"]
    assert assert_one_get(server, "/")["host"] == f"localhost:{server.port}"


def test_the_next_address_of_a_name_is_tried_when_the_first_refuses() -> None:
    with ScriptedServer(responds("200 OK")) as server:
        result = probe_url(server.url("/", "localhost"), resolve=lambda _host, _port: ["127.0.0.2", "::1", "127.0.0.1"])
    assert (result.state, result.address) == ("probe_ok", "127.0.0.1")
    assert_one_get(server, "/")


def test_other_addresses_of_the_loopback_network() -> None:
    with ScriptedServer(responds("200 OK"), "127.1.2.3") as server:
        assert probe_url(server.url("/", "127.1.2.3")).address == "127.1.2.3"
    assert_one_get(server, "/")


@pytest.fixture
def has_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")


@pytest.mark.usefixtures("has_ipv6")
def test_ipv6() -> None:
    with ScriptedServer(responds("200 OK"), "::1") as server:
        result = probe_url(server.url("/", "[::1]"))
    assert (result.state, result.host, result.address) == ("probe_ok", "::1", "::1")
    assert assert_one_get(server, "/")["host"] == f"[::1]:{server.port}"


def test_tls_on_a_plain_port_is_unknown() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        result = probe_url(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()
    assert result.state == "probe_unknown"


# the command

SPEC_RUN = "r1"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(responds("200 OK", b"{}", b"X-Secret: from-the-server")) as server:
        yield server


def tc_probe(tc: Tc, url: str, *more: str, **environment: Any) -> Any:
    return tc("connectivity", "probe", "--spec", tc.spec(), "--url", url, *more, **environment)


@pytest.mark.parametrize(
    ("handle", "code", "state"),
    [
        (responds("200 OK"), 0, "probe_ok"),
        (responds("503 Unavailable"), 1, "probe_http_error"),
        (ServerConnection.wait, 1, "probe_timeout"),
        (sends(b"SSH-2.0\r\n"), 3, "probe_unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_exit_codes(bare_tc: Tc, handle: Handler, code: int, state: str) -> None:
    with ScriptedServer(handle) as server:
        timeout_ms = SHORT_MS if state == "probe_timeout" else LONG_MS
        answer = tc_probe(bare_tc, server.url(), "--timeout-ms", str(timeout_ms), "--json")
    assert (answer.code, answer.document["state"]) == (code, state)
    assert answer.document["run_id"] is None
    assert not list(bare_tc.home.glob("artifacts/runs/*"))


def test_an_unreachable_port_exits_with_1(bare_tc: Tc) -> None:
    answer = tc_probe(bare_tc, f"http://127.0.0.1:{free_port()}/", "--json")
    assert (answer.code, answer.document["state"]) == (1, "probe_unreachable")


SPELLINGS = [
    "http://0.0.0.0:{}/",
    "http://2130706433:{}/",
    "http://[::ffff:127.0.0.1]:{}/",
    "http://localhost.:{}/",
    "http://a:hunter2@127.0.0.1:{}/",
    "http://１２７.0.0.1:{}/",
    "http://127.0.0.1:{}/\r\nX: y",
]
"""A lenient URL parser would reach the port with each of them; the full list is in the unit tests."""


def test_a_refused_target_exits_with_2_and_nothing_is_sent(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", SPEC_RUN)
    before = tc.events(SPEC_RUN)
    with port_without_connections() as port:
        for spelling in SPELLINGS:
            answer = tc_probe(tc, spelling.format(port), "--run-id", SPEC_RUN, "--json")
            assert answer.code == 2, spelling
            assert answer.document["error"]["exit_code"] == 2
            assert "hunter2" not in answer.out + answer.err
    assert tc.events(SPEC_RUN) == before


@pytest.mark.parametrize("text", ["0", "-1", "60001", "1.5", "soon"])
def test_a_timeout_out_of_range_is_a_usage_error(bare_tc: Tc, text: str) -> None:
    with port_without_connections() as port:
        assert tc_probe(bare_tc, f"http://127.0.0.1:{port}/", "--timeout-ms", text).code == 2


def test_a_run_that_does_not_exist_exits_with_5_before_anything_is_sent(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "night-1")
    with port_without_connections() as port:
        answer = tc_probe(tc, f"http://127.0.0.1:{port}/", "--run-id", "night-2", "--json")
        bad = tc_probe(tc, f"http://127.0.0.1:{port}/", "--run-id", "../x")
    assert answer.code == 5
    assert "night-1" in answer.document["error"]["hint"]
    assert bad.code == 2


def test_a_run_of_another_spec_is_refused_before_anything_is_sent(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", SPEC_RUN)
    other = tc.spec("other.yaml", risk={"profile": "tiny"})
    with port_without_connections() as port:
        words = ("connectivity", "probe", "--spec", other, "--url", f"http://127.0.0.1:{port}/")
        assert tc(*words, "--run-id", SPEC_RUN).code == 2


def test_an_invalid_spec_is_refused_before_anything_is_sent(bare_tc: Tc) -> None:
    with port_without_connections() as port:
        spec = bare_tc.spec(mode="backtets")
        assert bare_tc("connectivity", "probe", "--spec", spec, "--url", f"http://127.0.0.1:{port}/").code == 2


def test_a_result_is_recorded_before_and_after_a_run(tc: Tc, server: ScriptedServer) -> None:
    run = ("--spec", tc.spec(), "--run-id", SPEC_RUN)
    tc.ok("run", "init", *run)
    first = tc_probe(tc, server.url("/a?token=hunter2"), "--run-id", SPEC_RUN, "--json").document
    tc.ok("run", "backtest", *run)
    seal = tc.json("run", "show", SPEC_RUN)["seal"]
    second = tc_probe(tc, server.url("/b"), "--run-id", SPEC_RUN, "--json").document
    tc.ok("run", "verify", SPEC_RUN)
    shown = tc.json("run", "show", SPEC_RUN)
    assert (first["artifact"], first["seal"]) == ("connectivity_probe-1.json", None)
    assert (second["artifact"], second["seal"]) == ("connectivity_probe-2.json", shown["seal"])
    assert seal != shown["seal"]
    assert shown["connectivity_probe"]["path"] == "/b"
    events = [event["payload"] for event in tc.events(SPEC_RUN) if event["event"] == "connectivity_probe_evaluated"]
    assert [event["state"] for event in events] == ["probe_ok", "probe_ok"]
    folder = tc.run_folder(SPEC_RUN)
    assert json.loads((folder / "connectivity_probe.json").read_text())["path"] == "/b"
    assert "connectivity_probe-2.json" in (folder / "report.md").read_text()
    assert_nowhere(tc.home, "hunter2", "from-the-server")


def assert_nowhere(home: Path, *texts: str) -> None:
    for path in home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [text for text in texts if text.encode() in data], path


def test_the_run_that_the_spec_names_is_used_if_it_exists(tc: Tc, server: ScriptedServer) -> None:
    words = ("connectivity", "probe", "--spec", tc.spec(run_id=SPEC_RUN), "--url", server.url(), "--json")
    assert tc(*words).document["run_id"] is None
    tc.ok("run", "init", "--spec", tc.spec(run_id=SPEC_RUN))
    assert tc(*words).document["run_id"] == SPEC_RUN
    tc.spec(run_id=SPEC_RUN, risk={"profile": "tiny"})
    answer = tc(*words)
    assert (answer.code, answer.document["run_id"]) == (0, None)


def test_proxies_and_logins_in_the_environment_are_ignored(bare_tc: Tc, server: ScriptedServer) -> None:
    login = bare_tc.home / ".netrc"
    login.write_text("machine 127.0.0.1 login me password hunter2\n")
    login.chmod(0o600)
    with port_without_connections() as port:
        proxy = f"http://me:hunter2@127.0.0.1:{port}"
        names = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")
        environment = {**dict.fromkeys(names, proxy), "HTTP_COOKIE": "a=b", "COOKIE": "a=b", "NO_PROXY": ""}
        home = {"HOME": str(bare_tc.home), "NETRC": str(login)}
        assert tc_probe(bare_tc, server.url(), **environment, **home).code == 0
    assert_one_get(server, "/")


def test_ctrl_c_leaves_no_partial_result(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", SPEC_RUN)
    folder = tc.run_folder(SPEC_RUN)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with ScriptedServer(ServerConnection.wait) as server:
        words = ("connectivity", "probe", "--spec", tc.spec(), "--url", server.url(), "--run-id", SPEC_RUN)
        process = tc.start(*words, "--timeout-ms", "60000")
        try:
            assert server.request_received.wait(300)
            process.send_signal(2)
            out, err = process.communicate(timeout=300)
        finally:
            process.kill()
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
