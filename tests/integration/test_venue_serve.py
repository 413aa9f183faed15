"""`tc venue serve` and `tc venue audit` as a user calls them."""

import hashlib
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from opslab.cli.app import app
from opslab.errors import BadData, Corrupt, Environment, Usage
from opslab.model.market.candle import MINUTE_MS
from opslab.model.messages.venue_messages import VenueEndpoints
from tests.drivers.processes import children, is_living
from tests.drivers.tc import Tc, candle_lines, wait_until
from tests.drivers.venue_client import Closed, Socket, VenueClient

SAMPLE = ("--dataset", "btcusdt-sample")
START_SECONDS = 30.0
END_SECONDS = 20.0
BTC = {"symbol": "BTCUSDT"}
NAME = "mine"
NOT_PLAYABLE = {
    "not_enclosed": "{t},100.1,99.0,98.0,100.1,1.5",
    "non_positive_price": "{t},100.1,100.1,0.0,100.1,1.5",
    "duplicate_disagreeing": "{before},100.1,100.2,100.1,100.1,1.5",
}


class Served:
    """A `tc venue serve` that has said where it is."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        assert ready, "nothing was printed"
        self.line = process.stdout.readline()
        assert self.line, (process.wait(END_SECONDS), process.stderr and process.stderr.read())

    def client(self) -> VenueClient:
        return VenueClient(VenueEndpoints.model_validate_json(self.line))

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Exit code, and what it had printed besides."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=END_SECONDS)
        assert "Traceback" not in err, err
        return self.process.returncode, out, err

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(END_SECONDS)


@contextmanager
def serving(tc: Tc, *words: str) -> Iterator[Served]:
    """A venue; whatever the test does, nothing of it is left."""
    process = tc.start("venue", "serve", *SAMPLE, "--json", *words)
    try:
        yield Served(process)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
        process.wait(END_SECONDS)


def folder(tc: Tc, name: str = NAME) -> Path:
    return tc.home / "runtime" / "venues" / name


# Where it is, and how it ends.


@pytest.fixture(scope="module")
def open_tc(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Tc:
    home = tmp_path_factory.mktemp("open")
    (home / "data").symlink_to(sample_home / "data")
    return Tc(home)


@pytest.fixture(scope="module")
def open_venue(open_tc: Tc) -> Iterator[Served]:
    """One that stays for all who only look at it."""
    with serving(open_tc, "--name", NAME) as served:
        yield served


def test_one_line_of_json_says_where_the_venue_is_and_with_which_key(open_venue: Served) -> None:
    told = json.loads(open_venue.line)
    assert list(told) == ["rest_url", "ws_url", "ws_trading_url", "api_key", "api_secret"]
    place = told["rest_url"].removeprefix("http://")
    assert place.startswith("127.0.0.1:")
    assert (told["ws_url"], told["ws_trading_url"]) == (f"ws://{place}/ws", f"ws://{place}/ws-fapi/v1")
    with open_venue.client() as client:
        assert client.account()["totalWalletBalance"] == "100000.00000000"
        assert client.trading().call("account.status")["status"] == 200


def test_nobody_else_can_reach_it(open_venue: Served) -> None:
    port = int(json.loads(open_venue.line)["rest_url"].rpartition(":")[2])
    paths = [path for name in ("tcp", "tcp6") if (path := Path(f"/proc/net/{name}")).exists()]
    rows = [line.split() for path in paths for line in path.read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"]


def test_a_ledger_is_held_by_one_venue_at_a_time(open_tc: Tc, open_venue: Served) -> None:
    with open_venue.client() as client:
        before = client.account()
        assert refused(open_tc, *SAMPLE, "--name", NAME)["exit_code"] == 5
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
    told = VenueEndpoints.model_validate(dict(lines))
    assert told.rest_url.startswith("http://127.0.0.1:")


def test_a_signal_closes_it_and_its_clients_are_told(tc: Tc) -> None:
    with serving(tc, "--name", NAME) as served, served.client() as client:
        sockets = [client.stream("btcusdt@bookTicker"), client.trading(), client.user_stream()]
        assert served.end(signal.SIGHUP)[:2] == (0, "")
        assert [socket.closed() for socket in sockets] == [1001, 1001, 1001]
        secret = client.endpoints.api_secret
    files = [path for path in folder(tc).iterdir() if path.is_file()]
    assert files
    assert not any(secret.encode() in path.read_bytes() for path in files)


def test_the_venue_ends_with_the_command_that_serves_it_however_that_ends(tc: Tc) -> None:
    with serving(tc, "--name", NAME) as served:
        [child] = children(served.process.pid)
        served.kill()
        wait_until(lambda: not is_living(child), "the venue to end")


def test_a_venue_that_dies_is_told_of_and_its_account_goes_on(tc: Tc) -> None:
    with serving(tc, "--name", NAME) as served, served.client() as client:
        number = client.place("BUY", "0.010", "41000.0").found["orderId"]
        [child] = children(served.process.pid)
        os.kill(child, signal.SIGKILL)
        _, err = served.process.communicate(timeout=END_SECONDS)
        assert served.process.returncode == 5
        assert "Traceback" not in err
    with serving(tc, "--name", NAME) as served, served.client() as client:
        assert [row["orderId"] for row in client.open_orders()] == [number]


# What it is asked for.


def refused(tc: Tc, *words: str) -> dict[str, Any]:
    """The one error of a `serve` that refuses."""
    answer = tc("venue", "serve", "--json", *words)
    found: dict[str, Any] = answer.document["error"]
    assert found["exit_code"] == answer.code
    return found


def test_other_hosts_and_what_is_no_option_are_exit_2(tc: Tc) -> None:
    for words in (("--host", "0.0.0.0"), ("--speed", "fast"), ("--ticks", "3")):
        assert refused(tc, *SAMPLE, *words)["exit_code"] == 2
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
def test_options_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    command = ["venue", "serve", "--dataset", "any", "--home", str(tmp_path), *words]
    with pytest.raises((Usage, typer.TyperException)):
        app(command, standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../mine", "", "a/b", ".hidden", "a" * 65, "a__b", "dot."])
def test_names_that_are_none_are_refused(sample_home: Path, name: str) -> None:
    with pytest.raises(Usage):
        app(["venue", "serve", *SAMPLE, "--home", str(sample_home), "--name", name], standalone_mode=False)


@pytest.mark.parametrize("dataset", ["btcusdt-simple", "../data", ""])
def test_datasets_that_are_not_there_are_refused(sample_home: Path, dataset: str) -> None:
    with pytest.raises((Usage, Environment)) as wrong:
        app(["venue", "serve", "--dataset", dataset, "--home", str(sample_home)], standalone_mode=False)
    assert wrong.value.hint
    assert not (sample_home / "runtime" / "venues").exists()


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_every_loopback_address_can_be_served(tc: Tc, host: str) -> None:
    if host == "::1" and not _has_ipv6():
        pytest.skip("no IPv6 on this machine")
    with serving(tc, "--host", host) as served, served.client() as client:
        assert client.get("/fapi/v1/ping") == {}
        assert client.stream("btcusdt@bookTicker").next()["e"] == "bookTicker"


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_port_that_is_taken_is_exit_5(tc: Tc) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert refused(tc, *SAMPLE, "--port", str(taken.getsockname()[1]))["exit_code"] == 5


def test_a_port_that_is_asked_for_is_taken_and_again_after_a_kill(tc: Tc) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    for _ in range(2):
        with serving(tc, "--port", port, "--name", NAME) as served, served.client() as client:
            assert client.endpoints.rest_url.endswith(f":{port}")
            client.stream("btcusdt@bookTicker").next()
            served.kill()


@pytest.mark.parametrize("rule", NOT_PLAYABLE)
def test_candles_that_no_venue_sends_are_refused(tmp_path: Path, rule: str) -> None:
    *lines, last = candle_lines(6, price="100.1")
    before, at = (int(line.partition(",")[0]) for line in (lines[-1], last))
    lines.append(NOT_PLAYABLE[rule].format(t=at, before=before))
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines) + "\n")
    at_home = ["--dataset", "bad", "--home", str(tmp_path)]
    app(["data", "import", str(path), "--allow", rule, *at_home], standalone_mode=False)
    with pytest.raises(BadData) as wrong:
        app(["venue", "serve", *at_home], standalone_mode=False)
    assert (wrong.value.exit_code, wrong.value.counts) == (1, {rule: 1})
    assert not (tmp_path / "runtime" / "venues").exists()


# The account and its name.


def test_a_name_is_taken_by_what_it_was_first_started_with(tc: Tc) -> None:
    with serving(tc, "--name", NAME, "--balance", "5000", "--ticks", "10"):
        pass
    found = refused(tc, *SAMPLE, "--name", NAME, "--balance", "6000", "--ticks", "20", "--leverage", "3")
    assert found["exit_code"] == 5
    told = {row["field"]: (row["before"], row["after"]) for row in found["differences"]}
    assert told == {
        "account.balance": ("5000", "6000"),
        "account.leverage": ("10", "3"),
        "ticks_per_minute": ("10", "20"),
    }
    with serving(tc, "--name", NAME, "--balance", "5000.00") as served, served.client() as client:  # the rest as it was
        assert client.account()["totalWalletBalance"] == "5000.00000000"


def test_two_venues_without_a_name_are_two_accounts(tc: Tc) -> None:
    with serving(tc) as first, serving(tc) as second, first.client() as one, second.client() as other:
        assert len(list((tc.home / "runtime" / "venues").iterdir())) == 2
        one.place("BUY", "0.010", "41000.0").assert_ok()
        assert other.open_orders() == []


def test_a_restart_goes_on_with_the_account_and_the_replay(tc: Tc) -> None:
    """Every trade and candle is told once, with a restart in the middle of a minute; keys are of one start only."""
    words = ("--name", NAME, "--speed", "600", "--ticks", "40")
    opens: list[int] = []
    trades: list[int] = []
    states: list[tuple[Any, ...]] = []
    keys: list[str] = []
    with ExitStack() as stack:
        for turn in range(3):
            served = stack.enter_context(serving(tc, *words))
            client = stack.enter_context(served.client())
            if states:
                assert _state(client) == states[-1]
            for key in keys:
                stale = client.send("GET", "/fapi/v2/account", headers={"X-MBX-APIKEY": key})
                assert stale.refused == (401, -2015)
            keys.append(client.endpoints.api_key)
            client.place("BUY" if turn != 1 else "SELL", "0.020").assert_ok()
            client.place("BUY", "0.010", "40000.0").assert_ok()
            stream = client.stream("btcusdt@aggTrade")
            stream.subscribe("btcusdt@kline_1m")
            wanted = len(trades) + 70
            while len(trades) < wanted:
                event = stream.next()
                if event["e"] == "aggTrade":
                    trades.append(event["a"])
                elif event["k"]["x"]:
                    opens.append(event["k"]["t"])
            states.append(_state(client))
            code, _, _ = served.end()
            assert code == 0
            trades += _untold(stream, opens)
    assert len(set(trades)) == len(trades)
    assert trades == sorted(trades)
    assert all(after - before == MINUTE_MS for before, after in pairwise(opens))
    assert trades[0] == 1


def _untold(stream: Socket, opens: list[int]) -> list[int]:
    """What was sent between the last look and the end."""
    found: list[int] = []
    try:
        while True:
            event = stream.next()
            if event["e"] == "aggTrade":
                found.append(event["a"])
            elif event["k"]["x"]:
                opens.append(event["k"]["t"])
    except Closed:
        return found


def _state(client: VenueClient) -> tuple[Any, ...]:
    account = client.account()
    return (
        account["totalWalletBalance"],
        account["positions"][0]["positionAmt"],
        client.position()["entryPrice"],
        client.open_orders(),
        client.sign("GET", "/fapi/v1/userTrades", **BTC).found,
        client.sign("GET", "/fapi/v1/allOrders", **BTC).found,
    )


# The audit.


@pytest.fixture(scope="module")
def traded(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Tc:
    """A home with a venue whose account has traded."""
    home = tmp_path_factory.mktemp("traded")
    (home / "data").symlink_to(sample_home / "data")
    tc = Tc(home)
    with serving(tc, "--name", NAME) as served, served.client() as client:
        for side, quantity, price in (
            ("BUY", "0.050", None),
            ("SELL", "0.030", None),
            ("BUY", "0.010", "41000.0"),
            ("SELL", "0.010", "43000.0"),
        ):
            number = client.place(side, quantity, price).found["orderId"]
        client.modify(number, "SELL", "0.020", "43100.0").assert_ok()
        client.cancel(number).assert_ok()
        client.sign("POST", "/fapi/v1/leverage", **BTC, leverage=5).assert_ok()
    return tc


def test_a_good_ledger_is_proven(traded: Tc) -> None:
    told = traded.json("venue", "audit", NAME)
    assert (told["venue"], told["proven"], told["finding_count"], told["findings"]) == (NAME, True, 0, [])
    assert (told["orders"], told["open_orders"], told["trades"], told["position"]) == (4, 1, 2, "0.020")
    assert told["start"] == "100000.00000000" or float(told["start"]) == 100_000
    assert float(told["wallet"]) < 100_000
    text = traded.ok("venue", "audit", NAME).out
    assert told["wallet"] in text


def test_a_venue_that_was_never_started_is_not_found(traded: Tc) -> None:
    answer = traded("venue", "audit", "mime", "--json")
    assert answer.code == answer.document["error"]["exit_code"] == 5
    with pytest.raises(Usage):
        app(["venue", "audit", "../mine", "--home", str(traded.home)], standalone_mode=False)


def forge(tc: Tc, tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]) -> Tc:
    """Another home, with a venue whose ledger's lines were changed."""
    home = tmp_path / "forged"
    target = folder(Tc(home))
    target.mkdir(parents=True)
    for path in folder(tc).iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    lines = change((folder(tc) / "ledger.jsonl").read_bytes().splitlines(keepends=True))
    (target / "ledger.jsonl").write_bytes(b"".join(lines))
    return Tc(home)


def chained(transactions: list[dict[str, Any]]) -> list[bytes]:
    """Lines with good numbers and digests, whatever they say."""
    lines: list[bytes] = []
    for number, transaction in enumerate(transactions, 1):
        prev = f"sha256:{hashlib.sha256(lines[-1]).hexdigest()}" if lines else None
        lines.append(json.dumps({**transaction, "seq": number, "prev": prev}, separators=(",", ":")).encode() + b"\n")
    return lines


def test_a_changed_line_is_named(traded: Tc, tmp_path: Path) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        lines[1] = lines[1].replace(b'"0.050"', b'"0.060"')
        return lines

    forged = forge(traded, tmp_path, change)
    answer = forged("venue", "audit", NAME, "--json")
    found = answer.document["error"]
    first, second = (folder(traded) / "ledger.jsonl").read_bytes().splitlines(keepends=True)[:2]
    assert (answer.code, found["file"], found["line"]) == (6, "ledger.jsonl", 3)
    assert found["byte"] == len(first) + len(second)


@pytest.mark.parametrize("gone", ["wallet", "fill", "order"])
def test_a_ledger_that_was_forged_with_care_is_not_proven(
    traded: Tc, tmp_path: Path, capsys: pytest.CaptureFixture[str], gone: str
) -> None:
    """Numbers and chain are good; what they say cannot be."""

    def change(lines: list[bytes]) -> list[bytes]:
        found = [json.loads(line) for line in lines]
        for transaction in found:
            for event in transaction["events"]:
                if gone == "wallet" and event["kind"] == "filled":
                    event["wallet"] = "1000000.00000000"
            transaction["events"] = [
                event
                for event in transaction["events"]
                if not (gone == "fill" and event["kind"] == "filled" and event["trade_id"] == 1)
                and not (gone == "order" and event["kind"] == "accepted" and event["order_id"] == 1)
            ]
        return chained(found)

    forged = forge(traded, tmp_path, change)
    code = app(["venue", "audit", NAME, "--json", "--home", str(forged.home)], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert (code, told["proven"]) == (6, False)
    assert told["finding_count"] == len(told["findings"]) > 0
    assert all(finding["line"] > 1 for finding in told["findings"])


@pytest.mark.parametrize("what", ["no event", "no record", "a hole"])
def test_a_ledger_that_cannot_be_read_is_exit_6(traded: Tc, tmp_path: Path, what: str) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        if what == "a hole":
            return [*lines[:2], *lines[3:]]
        if what == "no event":
            transactions = [json.loads(line) for line in lines]
            transactions[1]["events"][0]["kind"] = "granted"
            return chained(transactions)
        return lines

    forged = forge(traded, tmp_path, change)
    if what == "no record":
        (folder(forged) / "venue.json").write_text("{}")
    with pytest.raises(Corrupt):
        app(["venue", "audit", NAME, "--home", str(forged.home)], standalone_mode=False)


def test_a_venue_with_a_broken_ledger_is_not_served(traded: Tc, tmp_path: Path) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        lines[1] = lines[1].replace(b'"0.050"', b'"0.060"')
        return lines

    forged = forge(traded, tmp_path, change)
    (forged.home / "data").symlink_to(traded.home / "data")
    before = (folder(forged) / "ledger.jsonl").read_bytes()
    found = refused(forged, *SAMPLE, "--name", NAME)
    assert found["exit_code"] == 6
    assert (folder(forged) / "ledger.jsonl").read_bytes() == before


def test_a_torn_end_is_kept_aside_and_the_account_goes_on(traded: Tc, tmp_path: Path) -> None:
    torn = forge(traded, tmp_path, lambda lines: [*lines, b'{"seq":'])
    (torn.home / "data").symlink_to(traded.home / "data")
    assert torn.json("venue", "audit", NAME)["proven"]
    with serving(torn, "--name", NAME) as served, served.client() as client:
        assert len(client.open_orders()) == 1
        client.place("BUY", "0.010", "40000.0").assert_ok()
    assert [path.read_bytes() for path in folder(torn).glob("ledger-torn-at-*.bin")] == [b'{"seq":']
    assert torn.json("venue", "audit", NAME)["open_orders"] == 2
