"""`tc venue serve` and `tc venue audit` as a user calls them."""

import hashlib
import json
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from opslab.cli.app import app
from opslab.errors import BadData, Corrupt, Environment, Usage
from opslab.model.market.candle import MINUTE_MS
from opslab.model.messages.venue_messages import VenueEndpoints
from opslab.runs.processes.venue_control_client import open_control
from opslab.store.layout import Layout
from tests.drivers.processes import children, is_living
from tests.drivers.served_venue import END_SECONDS, NAME, SAMPLE, ServedVenue, serve_error, served_venue, venue_folder
from tests.drivers.tc import Tc, candle_lines, wait_until
from tests.drivers.venue_client import Closed, Socket, VenueClient

BTC = {"symbol": "BTCUSDT"}
NOT_PLAYABLE = {
    "not_enclosed": "{t},100.1,99.0,98.0,100.1,1.5",
    "non_positive_price": "{t},100.1,100.1,0.0,100.1,1.5",
    "duplicate_disagreeing": "{before},100.1,100.2,100.1,100.1,1.5",
}


# Its endpoints and its end.


@pytest.fixture(scope="module")
def open_tc(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Tc:
    home = tmp_path_factory.mktemp("open")
    (home / "data").symlink_to(sample_home / "data")
    return Tc(home)


@pytest.fixture(scope="module")
def open_venue(open_tc: Tc) -> Iterator[ServedVenue]:
    """A venue for the tests that only read."""
    with served_venue(open_tc, "--name", NAME) as venue:
        yield venue


def test_one_line_of_json_has_the_urls_and_the_key(open_venue: ServedVenue) -> None:
    printed = json.loads(open_venue.line)
    assert list(printed) == ["rest_url", "ws_url", "ws_trading_url", "api_key", "api_secret"]
    address = printed["rest_url"].removeprefix("http://")
    assert address.startswith("127.0.0.1:")
    assert (printed["ws_url"], printed["ws_trading_url"]) == (f"ws://{address}/ws", f"ws://{address}/ws-fapi/v1")
    with open_venue.client() as client:
        assert client.account()["totalWalletBalance"] == "100000.00000000"
        assert client.trading().call("account.status")["status"] == 200


def test_it_listens_on_loopback_only(open_venue: ServedVenue) -> None:
    port = int(json.loads(open_venue.line)["rest_url"].rpartition(":")[2])
    paths = [path for name in ("tcp", "tcp6") if (path := Path(f"/proc/net/{name}")).exists()]
    rows = [line.split() for path in paths for line in path.read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"]


def test_a_ledger_is_used_by_one_venue_at_a_time(open_tc: Tc, open_venue: ServedVenue) -> None:
    with open_venue.client() as client:
        before = client.account()
        assert serve_error(open_tc, *SAMPLE, "--name", NAME)["exit_code"] == 5
        assert client.account() == before
        client.place("BUY", "0.010", "41000.0").assert_ok()
        assert open_tc.json("venue", "audit", NAME)["open_orders"] == 1


def test_without_json_there_is_one_line_for_each_endpoint(tc: Tc) -> None:
    process = tc.start("venue", "serve", *SAMPLE)
    assert process.stdout is not None
    lines = [process.stdout.readline().split() for _ in range(5)]
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=END_SECONDS)
    assert (process.returncode, out) == (0, "")
    endpoints = VenueEndpoints.model_validate(dict(lines))
    assert endpoints.rest_url.startswith("http://127.0.0.1:")


def test_a_signal_closes_it_and_its_clients_get_a_close_frame(tc: Tc) -> None:
    with served_venue(tc, "--name", NAME) as venue, venue.client() as client:
        sockets = [client.stream("btcusdt@bookTicker"), client.trading(), client.user_stream()]
        assert venue.end(signal.SIGHUP)[:2] == (0, "")
        assert [socket.wait_closed() for socket in sockets] == [1001, 1001, 1001]
        secret = client.endpoints.api_secret
    files = [path for path in venue_folder(tc).iterdir() if path.is_file()]
    assert files
    assert not any(secret.encode() in path.read_bytes() for path in files)


def test_the_venue_process_ends_when_its_command_is_killed(tc: Tc) -> None:
    with served_venue(tc, "--name", NAME) as venue:
        [child] = children(venue.process.pid)
        venue.kill()
        wait_until(lambda: not is_living(child), "the venue to end")


def test_the_death_of_the_venue_process_is_reported_and_its_account_can_be_resumed(tc: Tc) -> None:
    with served_venue(tc, "--name", NAME) as venue, venue.client() as client:
        order_id = client.place("BUY", "0.010", "41000.0").answer["orderId"]
        [child] = children(venue.process.pid)
        os.kill(child, signal.SIGKILL)
        _, err = venue.process.communicate(timeout=END_SECONDS)
        assert venue.process.returncode == 5
        assert "Traceback" not in err
    with served_venue(tc, "--name", NAME) as venue, venue.client() as client:
        assert [row["orderId"] for row in client.open_orders()] == [order_id]


def test_failed_writes_of_the_ledger_are_reported_at_once_and_at_the_end(tc: Tc) -> None:
    """Its process may write no file beyond the size of its ledger, as on a full disk."""
    with served_venue(tc, "--name", NAME) as venue, venue.client() as client:
        [child] = children(venue.process.pid)
        _, hard_limit = resource.prlimit(child, resource.RLIMIT_FSIZE)
        size_bytes = (venue_folder(tc) / "ledger.jsonl").stat().st_size
        resource.prlimit(child, resource.RLIMIT_FSIZE, (size_bytes, hard_limit))
        assert client.place("BUY", "0.010", "41000.0").error == (503, -1008)
        assert venue.process.stderr is not None
        reported = next(line for line in venue.process.stderr if "ledger" in line)
        assert "the ledger cannot be written (failed writes: 1)" in reported
        for _ in range(2):
            assert client.place("BUY", "0.010", "41000.0").error == (503, -1008)
        with open_control(Layout(tc.home), NAME) as control:
            assert control.request("status")["failed_ledger_writes"] == 3
        resource.prlimit(child, resource.RLIMIT_FSIZE, (hard_limit, hard_limit))
        client.place("BUY", "0.010", "41000.0").assert_ok()
        _, _, err = venue.end()
        assert "1 open orders, 3 ledger writes failed" in err


# Options.


def test_other_hosts_and_invalid_options_are_exit_2(tc: Tc) -> None:
    for words in (("--host", "0.0.0.0"), ("--speed", "fast"), ("--ticks", "3")):
        assert serve_error(tc, *SAMPLE, *words)["exit_code"] == 2
    assert not (tc.home / "runtime" / "venues").exists()


@pytest.mark.parametrize(
    "words",
    [
        *(("--host", host) for host in ("0.0.0.0", "::", "192.168.1.1", "example.com", "", "127.1", "localhost.")),
        *(("--host", host) for host in ("::ffff:192.168.1.1", "127.0.0.1:80", "2130706433", "ip6-localhost")),
        *(("--speed", speed) for speed in ("0", "0.5", "-1", "nan", "inf", "1e9", "", "MAX")),
        *(("--start", start) for start in ("never", "", "Kline")),
        *(("--port", port) for port in ("-1", "65536", "http")),
        *(("--ticks", ticks) for ticks in ("0", "3", "60001", "4.5")),
        *(("--latency-ms", latency) for latency in ("-1", "60001")),
        *(("--max-bars", bars) for bars in ("0", "-1")),
        *(("--balance", balance) for balance in ("0", "-1", "x", "1e99", "NaN", "Infinity", "0.000000001")),
        *(("--leverage", leverage) for leverage in ("0", "126", "x")),
        ("--unknown",),
        ("more",),
    ],
    ids=" ".join,
)
def test_invalid_options_are_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    command = ["venue", "serve", "--dataset", "any", "--home", str(tmp_path), *words]
    with pytest.raises((Usage, typer.TyperException)):
        app(command, standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../mine", "", "a/b", ".hidden", "a" * 65, "a__b", "dot."])
def test_invalid_names_are_refused(sample_home: Path, name: str) -> None:
    with pytest.raises(Usage):
        app(["venue", "serve", *SAMPLE, "--home", str(sample_home), "--name", name], standalone_mode=False)


@pytest.mark.parametrize("dataset", ["btcusdt-simple", "../data", ""])
def test_missing_datasets_are_refused(sample_home: Path, dataset: str) -> None:
    with pytest.raises((Usage, Environment)) as error:
        app(["venue", "serve", "--dataset", dataset, "--home", str(sample_home)], standalone_mode=False)
    assert error.value.hint
    assert not (sample_home / "runtime" / "venues").exists()


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_every_loopback_address_can_be_served(tc: Tc, host: str) -> None:
    if host == "::1" and not _has_ipv6():
        pytest.skip("no IPv6 on this machine")
    with served_venue(tc, "--host", host) as venue, venue.client() as client:
        assert client.get("/fapi/v1/ping") == {}
        assert client.stream("btcusdt@bookTicker").next()["e"] == "bookTicker"


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_port_in_use_is_exit_5(tc: Tc) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert serve_error(tc, *SAMPLE, "--port", str(other.getsockname()[1]))["exit_code"] == 5


def test_a_given_port_is_used_and_again_after_a_kill(tc: Tc) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    for _ in range(2):
        with served_venue(tc, "--port", port, "--name", NAME) as venue, venue.client() as client:
            assert client.endpoints.rest_url.endswith(f":{port}")
            client.stream("btcusdt@bookTicker").next()
            venue.kill()


@pytest.mark.parametrize("rule", NOT_PLAYABLE)
def test_candles_that_cannot_be_replayed_are_refused(tmp_path: Path, rule: str) -> None:
    *lines, last = candle_lines(6, price="100.1")
    before, at = (int(line.partition(",")[0]) for line in (lines[-1], last))
    lines.append(NOT_PLAYABLE[rule].format(t=at, before=before))
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines) + "\n")
    options = ["--dataset", "bad", "--home", str(tmp_path)]
    app(["data", "import", str(path), "--allow", rule, *options], standalone_mode=False)
    with pytest.raises(BadData) as error:
        app(["venue", "serve", *options], standalone_mode=False)
    assert (error.value.exit_code, error.value.counts) == (1, {rule: 1})
    assert not (tmp_path / "runtime" / "venues").exists()


# The account and its name.


def test_a_name_keeps_the_options_of_its_first_start(tc: Tc) -> None:
    with served_venue(tc, "--name", NAME, "--balance", "5000", "--ticks", "10"):
        pass
    error = serve_error(tc, *SAMPLE, "--name", NAME, "--balance", "6000", "--ticks", "20", "--leverage", "3")
    assert error["exit_code"] == 5
    differences = {row["field"]: (row["before"], row["after"]) for row in error["differences"]}
    assert differences == {
        "account.balance": ("5000", "6000"),
        "account.leverage": ("10", "3"),
        "ticks_per_minute": ("10", "20"),
    }
    with (
        served_venue(tc, "--name", NAME, "--balance", "5000.00") as venue,
        venue.client() as client,
    ):  # the other options as before
        assert client.account()["totalWalletBalance"] == "5000.00000000"


def test_two_venues_without_a_name_have_two_accounts(tc: Tc) -> None:
    with (
        served_venue(tc) as first,
        served_venue(tc) as second,
        first.client() as first_client,
        second.client() as second_client,
    ):
        assert len(list((tc.home / "runtime" / "venues").iterdir())) == 2
        first_client.place("BUY", "0.010", "41000.0").assert_ok()
        assert second_client.open_orders() == []


def test_a_restart_resumes_the_account_and_the_replay(tc: Tc) -> None:
    """Every trade and candle is sent once, with a restart in the middle of a minute; a key is valid for one start."""
    options = ("--name", NAME, "--speed", "600", "--ticks", "40")
    opens: list[int] = []
    trades: list[int] = []
    states: list[tuple[Any, ...]] = []
    keys: list[str] = []
    with ExitStack() as stack:
        for start in range(3):
            venue = stack.enter_context(served_venue(tc, *options))
            client = stack.enter_context(venue.client())
            if states:
                assert _state(client) == states[-1]
            for key in keys:
                stale = client.send("GET", "/fapi/v2/account", headers={"X-MBX-APIKEY": key})
                assert stale.error == (401, -2015)
            keys.append(client.endpoints.api_key)
            client.place("BUY" if start != 1 else "SELL", "0.020").assert_ok()
            client.place("BUY", "0.010", "40000.0").assert_ok()
            stream = client.stream("btcusdt@aggTrade")
            stream.subscribe("btcusdt@kline_1m")
            target = len(trades) + 70
            while len(trades) < target:
                event = stream.next()
                if event["e"] == "aggTrade":
                    trades.append(event["a"])
                elif event["k"]["x"]:
                    opens.append(event["k"]["t"])
            states.append(_state(client))
            code, _, _ = venue.end()
            assert code == 0
            trades += _remaining_trades(stream, opens)
    assert len(set(trades)) == len(trades)
    assert trades == sorted(trades)
    assert all(after - before == MINUTE_MS for before, after in pairwise(opens))
    assert trades[0] == 1


def _remaining_trades(stream: Socket, opens: list[int]) -> list[int]:
    """The trades sent after the last one that was read."""
    trades: list[int] = []
    try:
        while True:
            event = stream.next()
            if event["e"] == "aggTrade":
                trades.append(event["a"])
            elif event["k"]["x"]:
                opens.append(event["k"]["t"])
    except Closed:
        return trades


def _state(client: VenueClient) -> tuple[Any, ...]:
    account = client.account()
    return (
        account["totalWalletBalance"],
        account["positions"][0]["positionAmt"],
        client.position()["entryPrice"],
        client.open_orders(),
        client.signed_request("GET", "/fapi/v1/userTrades", **BTC).answer,
        client.signed_request("GET", "/fapi/v1/allOrders", **BTC).answer,
    )


# The audit.


@pytest.fixture(scope="module")
def traded(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Tc:
    """A home with a venue whose account has traded."""
    home = tmp_path_factory.mktemp("traded")
    (home / "data").symlink_to(sample_home / "data")
    tc = Tc(home)
    with served_venue(tc, "--name", NAME) as venue, venue.client() as client:
        for side, quantity, price in (
            ("BUY", "0.050", None),
            ("SELL", "0.030", None),
            ("BUY", "0.010", "41000.0"),
            ("SELL", "0.010", "43000.0"),
        ):
            order_id = client.place(side, quantity, price).answer["orderId"]
        client.modify(order_id, "SELL", "0.020", "43100.0").assert_ok()
        client.cancel(order_id).assert_ok()
        client.signed_request("POST", "/fapi/v1/leverage", **BTC, leverage=5).assert_ok()
    return tc


def test_an_unchanged_ledger_is_proven(traded: Tc) -> None:
    audit = traded.json("venue", "audit", NAME)
    assert (audit["venue"], audit["proven"], audit["finding_count"], audit["findings"]) == (NAME, True, 0, [])
    assert (audit["orders"], audit["open_orders"], audit["trades"], audit["position"]) == (4, 1, 2, "0.020")
    assert audit["start"] == "100000.00000000" or float(audit["start"]) == 100_000
    assert float(audit["wallet"]) < 100_000
    text = traded.ok("venue", "audit", NAME).out
    assert audit["wallet"] in text


def test_an_unknown_venue_is_not_found(traded: Tc) -> None:
    answer = traded("venue", "audit", "mime", "--json")
    assert answer.code == answer.document["error"]["exit_code"] == 5
    with pytest.raises(Usage):
        app(["venue", "audit", "../mine", "--home", str(traded.home)], standalone_mode=False)


def with_changed_ledger(tc: Tc, tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]) -> Tc:
    """Another home, with a copy of the venue whose ledger lines were changed."""
    home = tmp_path / "forged"
    target = venue_folder(Tc(home))
    target.mkdir(parents=True)
    for path in venue_folder(tc).iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    lines = change((venue_folder(tc) / "ledger.jsonl").read_bytes().splitlines(keepends=True))
    (target / "ledger.jsonl").write_bytes(b"".join(lines))
    return Tc(home)


def chained(transactions: list[dict[str, Any]]) -> list[bytes]:
    """Lines with correct numbers and digests, whatever their content."""
    lines: list[bytes] = []
    for number, transaction in enumerate(transactions, 1):
        prev = f"sha256:{hashlib.sha256(lines[-1]).hexdigest()}" if lines else None
        lines.append(json.dumps({**transaction, "seq": number, "prev": prev}, separators=(",", ":")).encode() + b"\n")
    return lines


def test_a_changed_line_is_located(traded: Tc, tmp_path: Path) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        lines[1] = lines[1].replace(b'"0.050"', b'"0.060"')
        return lines

    forged = with_changed_ledger(traded, tmp_path, change)
    answer = forged("venue", "audit", NAME, "--json")
    error = answer.document["error"]
    first, second = (venue_folder(traded) / "ledger.jsonl").read_bytes().splitlines(keepends=True)[:2]
    assert (answer.code, error["file"], error["line"]) == (6, "ledger.jsonl", 3)
    assert error["byte"] == len(first) + len(second)


@pytest.mark.parametrize("removed", ["wallet", "fill", "order"])
def test_a_forged_ledger_with_a_correct_chain_is_not_proven(
    traded: Tc, tmp_path: Path, capsys: pytest.CaptureFixture[str], removed: str
) -> None:
    """Numbers and digests are correct; the content is impossible."""

    def change(lines: list[bytes]) -> list[bytes]:
        transactions = [json.loads(line) for line in lines]
        for transaction in transactions:
            for event in transaction["events"]:
                if removed == "wallet" and event["kind"] == "filled":
                    event["wallet"] = "1000000.00000000"
            transaction["events"] = [
                event
                for event in transaction["events"]
                if not (removed == "fill" and event["kind"] == "filled" and event["trade_id"] == 1)
                and not (removed == "order" and event["kind"] == "accepted" and event["order_id"] == 1)
            ]
        return chained(transactions)

    forged = with_changed_ledger(traded, tmp_path, change)
    code = app(["venue", "audit", NAME, "--json", "--home", str(forged.home)], standalone_mode=False)
    audit = json.loads(capsys.readouterr().out)
    assert (code, audit["proven"]) == (6, False)
    assert audit["finding_count"] == len(audit["findings"]) > 0
    assert all(finding["line"] > 1 for finding in audit["findings"])


@pytest.mark.parametrize("defect", ["invalid event", "invalid record", "missing line"])
def test_an_unreadable_ledger_is_exit_6(traded: Tc, tmp_path: Path, defect: str) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        if defect == "missing line":
            return [*lines[:2], *lines[3:]]
        if defect == "invalid event":
            transactions = [json.loads(line) for line in lines]
            transactions[1]["events"][0]["kind"] = "granted"
            return chained(transactions)
        return lines

    forged = with_changed_ledger(traded, tmp_path, change)
    if defect == "invalid record":
        (venue_folder(forged) / "venue.json").write_text("{}")
    with pytest.raises(Corrupt):
        app(["venue", "audit", NAME, "--home", str(forged.home)], standalone_mode=False)


def test_a_venue_with_a_broken_ledger_is_not_served(traded: Tc, tmp_path: Path) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        lines[1] = lines[1].replace(b'"0.050"', b'"0.060"')
        return lines

    forged = with_changed_ledger(traded, tmp_path, change)
    (forged.home / "data").symlink_to(traded.home / "data")
    before = (venue_folder(forged) / "ledger.jsonl").read_bytes()
    error = serve_error(forged, *SAMPLE, "--name", NAME)
    assert error["exit_code"] == 6
    assert (venue_folder(forged) / "ledger.jsonl").read_bytes() == before


def test_a_torn_end_is_moved_aside_and_the_account_is_resumed(traded: Tc, tmp_path: Path) -> None:
    torn = with_changed_ledger(traded, tmp_path, lambda lines: [*lines, b'{"seq":'])
    (torn.home / "data").symlink_to(traded.home / "data")
    assert torn.json("venue", "audit", NAME)["proven"]
    with served_venue(torn, "--name", NAME) as venue, venue.client() as client:
        assert len(client.open_orders()) == 1
        client.place("BUY", "0.010", "40000.0").assert_ok()
    assert [path.read_bytes() for path in venue_folder(torn).glob("ledger-torn-at-*.bin")] == [b'{"seq":']
    assert torn.json("venue", "audit", NAME)["open_orders"] == 2
