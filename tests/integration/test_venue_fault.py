"""`tc venue fault` as a user calls it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opslab.cli.app import app
from opslab.errors import Usage
from opslab.venue.faults.registry import FAULTS
from tests.drivers.tc import Tc, wait_until
from tests.drivers.venue_client import VenueClient
from tests.integration.test_venue_serve import NAME, Served, folder, serving

PATH = "/fapi/v1/ping"


@pytest.fixture(scope="module")
def tc(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Tc:
    home = tmp_path_factory.mktemp("faulty")
    (home / "data").symlink_to(sample_home / "data")
    return Tc(home)


@pytest.fixture(scope="module")
def served(tc: Tc) -> Iterator[Served]:
    with serving(tc, "--name", NAME) as served:
        yield served


@pytest.fixture
def client(served: Served, tc: Tc) -> Iterator[VenueClient]:
    with served.client() as client:
        yield client
        tc.ok("venue", "fault", "stop", "--all", "--name", NAME)


def start(tc: Tc, fault: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = tc.json("venue", "fault", "start", fault, "--name", NAME, *words)
    return found


def held(tc: Tc) -> list[int]:
    return [one["number"] for one in tc.json("venue", "fault", "list", "--name", NAME)]


def refused(tc: Tc, *words: str) -> tuple[int, dict[str, Any]]:
    answer = tc("venue", "fault", *words, "--json")
    return answer.code, answer.document["error"]


def test_every_fault_is_listed_with_its_terms(tmp_path: Path) -> None:
    told = {one["name"]: one for one in Tc(tmp_path).json("venue", "fault", "list")}
    assert list(told) == list(FAULTS)
    assert told["delay"]["terms"]["ms"]["default"] == 500
    assert all(one["summary"] and all(term["description"] for term in one["terms"].values()) for one in told.values())
    assert all(name in Tc(tmp_path).ok("venue", "fault", "list").out for name in FAULTS)


def test_a_fault_begins_and_ends_and_both_are_in_the_log(tc: Tc, client: VenueClient) -> None:
    found = start(tc, "http", "--term", "status=429", "--term", "retry-after=7", "--term", f"path={PATH}")
    answer = client.ask("GET", PATH)
    assert (answer.refused, answer.headers["retry-after"]) == ((429, -1003), "7")
    assert client.get("/fapi/v1/time")["serverTime"]
    assert held(tc) == [found["number"]]
    assert 0 < found["remaining_seconds"] <= 30
    tc.ok("venue", "fault", "stop", str(found["number"]), "--name", NAME)
    assert client.get(PATH) == {}
    lines = [json.loads(line) for line in (folder(tc) / "events.jsonl").read_text().splitlines()]
    mine = [line for line in lines if line.get("number") == found["number"]]
    assert [line["event"] for line in mine] == ["fault begun", "fault ended"]
    assert mine[0]["terms"] == found["terms"] == {
        "status": 429, "path": PATH, "method": None, "retry_after": 7, "count": None,
    }  # fmt: skip
    assert mine[0]["time"] < mine[1]["time"]
    assert mine[0]["monotonic_s"] < mine[1]["monotonic_s"]


def test_it_ends_by_itself(tc: Tc, client: VenueClient) -> None:
    start(tc, "http", "--term", f"path={PATH}", "--seconds", "0.5")
    wait_until(lambda: client.ask("GET", PATH).status == 200, "the fault to end")
    assert held(tc) == []


def test_all_are_stopped_at_once(tc: Tc, client: VenueClient) -> None:
    numbers = [start(tc, name)["number"] for name in ("silence", "halt", "clock-skew")]
    assert held(tc) == numbers
    assert tc.json("venue", "fault", "stop", "--all", "--name", NAME) == {"stopped": 3}
    assert held(tc) == []
    assert client.get("/fapi/v1/exchangeInfo")["symbols"][0]["status"] == "TRADING"


def test_what_happens_once_is_over_at_once(tc: Tc, client: VenueClient) -> None:
    found = start(tc, "external-trade", "--term", "quantity=0.020")
    assert found["remaining_seconds"] is None
    assert client.position()["positionAmt"] == "0.020"
    start(tc, "external-trade", "--term", "quantity=0.020", "--term", "side=SELL")
    assert held(tc) == []


@pytest.mark.parametrize(
    "words",
    [
        ("start", "silense"),
        ("start", "delay", "--term", "ms=0"),
        ("start", "delay", "--term", "ms=soon"),
        ("start", "delay", "--term", "milliseconds=5"),
        ("start", "delay", "--term", "ms"),
        ("start", "delay", "--term", "=5"),
        ("start", "http", "--term", "status=200"),
        ("start", "drop", "--term", "share=1.5"),
        ("start", "delay", "--seconds", "0"),
        ("start", "delay", "--seconds", "nan"),
        ("start", "delay", "--seconds", "1e9"),
        ("start", "external-trade", "--term", "quantity=0"),
        ("stop",),
        ("stop", "1", "--all"),
        ("stop", "one"),
    ],
    ids=" ".join,
)
def test_what_is_no_fault_is_exit_2_and_nothing_begins(tc: Tc, served: Served, words: tuple[str, ...]) -> None:
    code, error = refused(tc, *words, "--name", NAME)
    assert (code, error["exit_code"]) == (2, 2)
    assert held(tc) == []


def test_a_fault_that_is_not_held_is_exit_5(tc: Tc, served: Served) -> None:
    assert refused(tc, "stop", "99999", "--name", NAME)[0] == 5


def test_venues_that_are_not_there_are_told_apart(tc: Tc, served: Served) -> None:
    assert refused(tc, "start", "silence", "--name", "mime")[0] == 5
    with serving(tc, "--name", "ended"):
        pass
    code, error = refused(tc, "start", "silence", "--name", "ended")
    assert code == 5
    assert error["hint"]
    with pytest.raises(Usage):
        app(["venue", "fault", "start", "silence", "--name", "../mine", "--home", str(tc.home)], standalone_mode=False)


def test_a_token_that_is_gone_or_wrong_opens_nothing(tc: Tc, served: Served) -> None:
    token = folder(tc) / "control.token"
    good = token.read_text()
    try:
        token.write_text("wrong")
        assert refused(tc, "start", "silence", "--name", NAME)[0] == 5
        token.unlink()
        assert refused(tc, "start", "silence", "--name", NAME)[0] == 5
    finally:
        token.write_text(good)
        token.chmod(0o600)
    assert held(tc) == []


def test_only_its_owner_can_enter(tc: Tc, served: Served) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder(tc), *folder(tc).iterdir())}
    assert modes[NAME] == 0o700
    assert (modes["control.sock"], modes["control.token"], modes["events.jsonl"]) == (0o600, 0o600, 0o600)


def test_a_venue_that_was_killed_opens_its_door_again(tc: Tc) -> None:
    with serving(tc, "--name", "killed") as served:
        tc.ok("venue", "fault", "start", "silence", "--name", "killed")
        served.kill()
    wait_until(lambda: refused(tc, "list", "--name", "killed")[0] == 5, "the venue to be gone")
    with serving(tc, "--name", "killed", "--speed", "600") as served, served.client() as client:
        assert tc.json("venue", "fault", "list", "--name", "killed") == []
        assert client.stream("btcusdt@kline_1m").next()["e"] == "kline"
