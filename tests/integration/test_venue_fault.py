"""`tc venue fault` as a user calls it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opslab.cli.app import app
from opslab.errors import Usage
from opslab.venue.faults.registry import FAULTS
from tests.drivers.served_venue import NAME, ServedVenue, served_venue, venue_folder
from tests.drivers.tc import Tc, wait_until
from tests.drivers.venue_client import VenueClient

PATH = "/fapi/v1/ping"


@pytest.fixture(scope="module")
def tc(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Tc:
    home = tmp_path_factory.mktemp("faulty")
    (home / "data").symlink_to(sample_home / "data")
    return Tc(home)


@pytest.fixture(scope="module")
def served(tc: Tc) -> Iterator[ServedVenue]:
    with served_venue(tc, "--name", NAME) as venue:
        yield venue


@pytest.fixture
def client(served: ServedVenue, tc: Tc) -> Iterator[VenueClient]:
    with served.client() as client:
        yield client
        tc.ok("venue", "fault", "stop", "--all", "--name", NAME)


def start(tc: Tc, fault: str, *words: str) -> dict[str, Any]:
    active: dict[str, Any] = tc.json("venue", "fault", "start", fault, "--name", NAME, *words)
    return active


def active_numbers(tc: Tc) -> list[int]:
    return [row["number"] for row in tc.json("venue", "fault", "list", "--name", NAME)]


def fault_error(tc: Tc, *words: str) -> tuple[int, dict[str, Any]]:
    answer = tc("venue", "fault", *words, "--json")
    return answer.code, answer.document["error"]


def test_every_fault_is_listed_with_its_terms(tmp_path: Path) -> None:
    listed = {fault["name"]: fault for fault in Tc(tmp_path).json("venue", "fault", "list")}
    assert list(listed) == list(FAULTS)
    assert listed["delay"]["terms"]["ms"]["default"] == 500
    assert all(fault["summary"] for fault in listed.values())
    assert all(term["description"] for fault in listed.values() for term in fault["terms"].values())
    assert all(name in Tc(tmp_path).ok("venue", "fault", "list").out for name in FAULTS)


def test_the_start_and_the_end_of_a_fault_are_in_the_event_log(tc: Tc, client: VenueClient) -> None:
    active = start(tc, "http", "--term", "status=429", "--term", "retry-after=7", "--term", f"path={PATH}")
    answer = client.request("GET", PATH)
    assert (answer.error, answer.headers["retry-after"]) == ((429, -1003), "7")
    assert client.get("/fapi/v1/time")["serverTime"]
    assert active_numbers(tc) == [active["number"]]
    assert 0 < active["remaining_seconds"] <= 30
    tc.ok("venue", "fault", "stop", str(active["number"]), "--name", NAME)
    assert client.get(PATH) == {}
    lines = [json.loads(line) for line in (venue_folder(tc) / "events.jsonl").read_text().splitlines()]
    own = [line for line in lines if line.get("number") == active["number"]]
    assert [line["event"] for line in own] == ["fault_started", "fault_ended"]
    assert own[0]["terms"] == active["terms"] == {
        "status": 429, "path": PATH, "method": None, "retry_after": 7, "count": None,
    }  # fmt: skip
    assert own[0]["time"] < own[1]["time"]
    assert own[0]["monotonic_s"] < own[1]["monotonic_s"]


def test_a_fault_ends_after_its_time(tc: Tc, client: VenueClient) -> None:
    start(tc, "http", "--term", f"path={PATH}", "--seconds", "0.5")
    wait_until(lambda: client.request("GET", PATH).status == 200, "the fault to end")
    assert active_numbers(tc) == []


def test_all_faults_can_be_stopped_together(tc: Tc, client: VenueClient) -> None:
    numbers = [start(tc, name)["number"] for name in ("silence", "halt", "clock-skew")]
    assert active_numbers(tc) == numbers
    assert tc.json("venue", "fault", "stop", "--all", "--name", NAME) == {"stopped": 3}
    assert active_numbers(tc) == []
    assert client.get("/fapi/v1/exchangeInfo")["symbols"][0]["status"] == "TRADING"


def test_an_immediate_fault_is_not_listed_as_active(tc: Tc, client: VenueClient) -> None:
    active = start(tc, "external-trade", "--term", "quantity=0.020")
    assert active["remaining_seconds"] is None
    assert client.position()["positionAmt"] == "0.020"
    start(tc, "external-trade", "--term", "quantity=0.020", "--term", "side=SELL")
    assert active_numbers(tc) == []


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
def test_invalid_faults_and_terms_are_exit_2_and_nothing_starts(
    tc: Tc, served: ServedVenue, words: tuple[str, ...]
) -> None:
    code, error = fault_error(tc, *words, "--name", NAME)
    assert (code, error["exit_code"]) == (2, 2)
    assert active_numbers(tc) == []


def test_a_fault_that_is_not_active_is_exit_5(tc: Tc, served: ServedVenue) -> None:
    assert fault_error(tc, "stop", "99999", "--name", NAME)[0] == 5


def test_an_unknown_venue_and_one_that_is_not_served_are_exit_5(tc: Tc, served: ServedVenue) -> None:
    assert fault_error(tc, "start", "silence", "--name", "mime")[0] == 5
    with served_venue(tc, "--name", "ended"):
        pass
    code, error = fault_error(tc, "start", "silence", "--name", "ended")
    assert code == 5
    assert error["hint"]
    with pytest.raises(Usage):
        app(["venue", "fault", "start", "silence", "--name", "../mine", "--home", str(tc.home)], standalone_mode=False)


def test_a_missing_or_wrong_token_is_exit_5(tc: Tc, served: ServedVenue) -> None:
    token = venue_folder(tc) / "control.token"
    valid_token = token.read_text()
    try:
        token.write_text("wrong")
        assert fault_error(tc, "start", "silence", "--name", NAME)[0] == 5
        token.unlink()
        assert fault_error(tc, "start", "silence", "--name", NAME)[0] == 5
    finally:
        token.write_text(valid_token)
        token.chmod(0o600)
    assert active_numbers(tc) == []


def test_only_its_owner_can_access_the_folder(tc: Tc, served: ServedVenue) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in (venue_folder(tc), *venue_folder(tc).iterdir())}
    assert modes[NAME] == 0o700
    assert (modes["control.sock"], modes["control.token"], modes["events.jsonl"]) == (0o600, 0o600, 0o600)


def test_a_killed_venue_opens_its_control_socket_again(tc: Tc) -> None:
    with served_venue(tc, "--name", "killed") as venue:
        tc.ok("venue", "fault", "start", "silence", "--name", "killed")
        venue.kill()
    wait_until(lambda: fault_error(tc, "list", "--name", "killed")[0] == 5, "the venue to end")
    with served_venue(tc, "--name", "killed", "--speed", "600") as venue, venue.client() as client:
        assert tc.json("venue", "fault", "list", "--name", "killed") == []
        assert client.stream("btcusdt@kline_1m").next()["e"] == "kline"
