"""A venue whose control was killed: it serves on, leaves the account as it was told to, ends, and says so."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from opslab.killswitch.switch import activate, prepare
from opslab.model.primitives.ids import RunId
from opslab.runs.processes.venue_control_client import ControlClient
from opslab.store.layout import Layout
from opslab.system import SystemClock
from tests.drivers.control_client import TOKEN, EventLog, RawControlClient
from tests.drivers.venue_client import Closed, Socket, VenueChild, VenueClient
from tests.drivers.venue_owner import Control

LONG = 60.0
"""A deadline that no test waits for."""
SOON = 10.0


class Orphan:
    def __init__(self, home: Path, folder: Path, **changes: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.home = folder / "home"
        """With the data of the other, and a kill switch of its own, as the start gate of a run leaves it."""
        self.home.mkdir()
        (self.home / "data").symlink_to(home / "data")
        prepare(Layout(self.home))
        self.venue = VenueChild(self.home, folder, speed=600.0, start="now", pace="clock", **changes)
        self.control = Control(self.venue.plan, folder / "venue.log")
        self.client = VenueClient(self.control.endpoints)

    def trade(self) -> None:
        """A position, and two open orders."""
        self.client.place("BUY", "0.050").assert_ok()
        for price in ("40000.0", "40100.0"):
            self.client.place("BUY", "0.010", price).assert_ok()

    def events(self) -> dict[str, dict[str, Any]]:
        """What it said since control was gone, by name; both clocks are in order."""
        lines = EventLog(self.venue.ledger).lines()
        names = [line["event"] for line in lines]
        found = [line for line in lines[names.index("control is gone") :] if line["event"] not in ("left", "connected")]
        for clock in ("time", "monotonic_s"):
            assert [line[clock] for line in found] == sorted(line[clock] for line in found)
        return {line["event"]: line for line in found}

    def stands(self) -> tuple[str, int]:
        """(position, open orders) by the ledger alone, which is proven."""
        audit = self.venue.audit()
        assert audit.proven, audit.findings
        return f"{audit.position:f}", audit.open_orders


@contextmanager
def orphan(home: Path, folder: Path, **changes: Any) -> Iterator[Orphan]:
    found = Orphan(home, folder, **changes)
    with found.control, found.client:
        yield found


def activate_switch(found: Orphan, name: str) -> None:
    activate(Layout(found.home), RunId(name), "odd", "ann", SystemClock())


def rest(socket: Socket) -> Iterator[Any]:
    """Everything up to its end."""
    with suppress(Closed):
        while True:
            yield socket.next()


def test_what_its_clients_do_not_flatten_it_flattens_at_the_deadline(sample_home: Path, tmp_path: Path) -> None:
    """Also while the market is halted and requests are refused; whoever listens is told."""
    with orphan(sample_home, tmp_path, on_orphan="flatten", orphan_seconds=1.0) as found:
        found.trade()
        user = found.client.user_stream()
        with ControlClient(found.venue.ledger, TOKEN) as venue_control:
            for fault in ("halt", "http"):
                venue_control.request("start", fault=fault)
            found.control.die()
            assert not found.control.venue_ended(0.5)
            assert found.control.venue_ended(SOON)
        told = [(event["o"]["c"], event["o"]["x"]) for event in rest(user) if event["e"] == "ORDER_TRADE_UPDATE"]
        assert [x for _, x in told] == ["CANCELED", "CANCELED", "NEW", "TRADE"]
        assert {c for c, _ in told[2:]} == {"opslab-flatten-4"}
        assert found.stands() == ("0.000", 0)
        events = found.events()
        assert [name for name in events if "fault" not in name] == [
            "control is gone", "account flattened", "ended without control",
        ]  # fmt: skip
        gone, flat, ended = events["control is gone"], events["account flattened"], events["ended without control"]
        assert (gone["on_orphan"], gone["seconds"]) == ("flatten", 1.0)
        assert (flat["canceled"], flat["closed"], flat["hold"]) == (2, "0.050", True)
        assert (ended["reason"], ended["position"], ended["open_orders"]) == (
            "the time for clients is over",
            "0.000",
            0,
        )
        assert 1.0 <= ended["monotonic_s"] - gone["monotonic_s"] < 2.0


def test_it_serves_on_until_its_clients_are_flat_and_gone(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path, on_orphan="flatten", orphan_seconds=LONG) as found:
        found.trade()
        found.control.die()
        found.client.flatten()
        assert not found.control.venue_ended(0.5)  # it is still connected
        found.client.hang_up()
        assert found.control.venue_ended(SOON)
        assert found.stands() == ("0.000", 0)
        assert found.events()["account flattened"]["canceled"] == 0
        assert found.events()["ended without control"]["reason"] == "the account is flat and no client is connected"


def test_it_waits_for_a_client_that_may_come_back_to_flatten(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path, on_orphan="flatten", orphan_seconds=LONG) as found:
        found.trade()
        found.client.hang_up()
        found.control.die()
        assert not found.control.venue_ended(0.5)
        found.client.flatten()
        found.client.hang_up()
        assert found.control.venue_ended(SOON)


def test_left_alone_it_leaves_the_account_as_it_is_and_goes_with_its_clients(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path, on_orphan="leave", orphan_seconds=LONG) as found:
        found.trade()
        found.control.die()
        assert not found.control.venue_ended(0.5)
        assert len(found.client.open_orders()) == 2
        found.client.hang_up()
        assert found.control.venue_ended(SOON)
        assert found.stands() == ("0.050", 2)
        ended = found.events()["ended without control"]
        assert (ended["reason"], ended["position"], ended["open_orders"]) == ("no client is connected", "0.050", 2)


def test_clients_that_stay_are_left_at_the_deadline(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path, on_orphan="leave", orphan_seconds=0.5) as found:
        found.trade()
        user = found.client.user_stream()
        found.control.die()
        assert found.control.venue_ended(SOON)
        assert user.closed() == 1001
        assert found.stands() == ("0.050", 2)


def test_by_default_it_ends_with_its_control(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path) as found:
        found.trade()
        found.control.die()
        assert found.control.venue_ended(SOON)
        assert found.stands() == ("0.050", 2)
        assert list(found.events()) == ["control is gone"]


@pytest.mark.parametrize(("rule", "stands"), [("flatten", ("0.000", 0)), ("leave", ("0.050", 2))])
def test_a_signal_ends_it_at_once_as_it_was_to_end(
    sample_home: Path, tmp_path: Path, rule: str, stands: tuple[str, int]
) -> None:
    with orphan(sample_home, tmp_path, on_orphan=rule, orphan_seconds=LONG) as found:
        found.trade()
        found.control.die()
        assert not found.control.venue_ended(0.3)
        found.control.ask_venue_to_end()
        assert found.control.venue_ended(SOON)
        assert found.stands() == stands
        assert found.events()["ended without control"]["reason"] == "stop requested"


def test_a_signal_while_control_lives_ends_it_without_more(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path, on_orphan="flatten", orphan_seconds=LONG) as found:
        found.trade()
        found.control.ask_venue_to_end()
        assert found.control.venue_ended(SOON)
        assert found.stands() == ("0.050", 2)


def test_no_order_of_its_clients_reopens_what_it_has_flattened(sample_home: Path, tmp_path: Path) -> None:
    """Orders are on their way for a second when it flattens; they arrive while it still serves."""
    with orphan(sample_home, tmp_path, latency_ms=1000) as found:
        trading = found.client.trading()
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.050"}
        trading.call("order.place", **order)
        on_its_way = trading.request("order.place", **order)
        deadline = time.monotonic() + SOON
        with ControlClient(found.venue.ledger, TOKEN) as venue_control:
            done = venue_control.request("flatten", reason="a test", hold=True)
            assert (done["canceled"], done["closed"]) == (0, "0.050")
            assert done["statement"]["account"]["positions"] == []
            answer = trading.until(lambda message: message.get("id") == on_its_way, deadline - time.monotonic())[-1]
            assert (answer["status"], answer["error"]["code"]) == (400, -4087)
            assert venue_control.request("statement")["account"]["positions"] == []


@pytest.mark.parametrize("torn", [b"", b'{"handled": ', b'["handled"]\n', b'{"handled": "many"}\n', b"\xff\n"])
def test_a_control_that_dies_in_the_middle_of_a_word_is_missed_all_the_same(
    sample_home: Path, tmp_path: Path, torn: bytes
) -> None:
    with VenueChild(sample_home, tmp_path, start="now") as venue:
        assert venue._child is not None
        pipe = venue._child._child.stdin
        assert pipe is not None
        pipe.write(torn)
        pipe.close()
        assert venue._listener is not None
        venue._listener.join(SOON)
        assert not venue._listener.is_alive()
        assert EventLog(venue.ledger).of("control is gone")


def test_the_door_asks_for_a_reason(sample_home: Path, tmp_path: Path) -> None:
    with VenueChild(sample_home, tmp_path, start="now") as venue, RawControlClient(venue.ledger) as venue_control:
        for wrong in ({}, {"reason": ""}, {"reason": 3}, {"reason": "x" * 201}, {"reason": "x", "hold": "yes"}):
            answer = venue_control.request("flatten", **wrong)
            assert (answer["exit_code"], answer["error"]) == (
                2, "why is a text of at most 200 characters, hold is true or false",
            )  # fmt: skip
        assert venue_control.request("flatten", reason="x")["ok"]["closed"] == "0"


@pytest.mark.parametrize("when", ["before", "behind"])
def test_a_kill_switch_has_it_flatten_at_once_whatever_it_was_told(
    sample_home: Path, tmp_path: Path, when: str
) -> None:
    """Active before control was gone, or behind it. Its clients are there still, and may open nothing any more."""
    with orphan(sample_home, tmp_path, on_orphan="leave", orphan_seconds=LONG) as found:
        found.trade()
        user = found.client.user_stream()
        if when == "before":
            activate_switch(found, found.venue.plan.name)
        found.control.die()
        if when == "behind":
            assert not found.control.venue_ended(0.5)
            assert "account flattened" not in found.events()
            activate_switch(found, found.venue.plan.name)
        kinds: list[str] = []
        while "TRADE" not in kinds:
            event = user.next()
            if event["e"] == "ORDER_TRADE_UPDATE":
                kinds.append(event["o"]["x"])
        assert kinds == ["CANCELED", "CANCELED", "NEW", "TRADE"]
        assert found.client.place("BUY", "0.010").refused[1] == -4087
        user.drop()
        found.client.hang_up()
        assert found.control.venue_ended(SOON)
        assert found.stands() == ("0.000", 0)


def test_the_switch_of_another_run_is_of_no_concern(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path, on_orphan="leave", orphan_seconds=LONG) as found:
        found.trade()
        activate_switch(found, "another")
        found.control.die()
        assert not found.control.venue_ended(0.5)
        found.client.hang_up()
        assert found.control.venue_ended(SOON)
        assert found.stands() == ("0.050", 2)
