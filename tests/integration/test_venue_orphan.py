"""An orphaned venue, whose control process was killed: it serves on, applies its orphan policy, ends, and logs it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from opslab.killswitch.switch import activate, prepare
from opslab.model.primitives.ids import RunId
from opslab.store.layout import Layout
from opslab.system import SystemClock
from tests.drivers.control_client import EventLog, RawControlClient, control_client
from tests.drivers.load import stretched
from tests.drivers.venue_client import Closed, Socket, SteppedVenue, VenueClient
from tests.drivers.venue_owner import ControlProcess

LONG = 60.0
"""A deadline that no test waits for."""
SOON = 10.0


class OrphanScene:
    def __init__(self, home: Path, folder: Path, **changes: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.home = folder / "home"
        """With the sample's data, and its own kill switch in the state after a run's start gate."""
        self.home.mkdir()
        (self.home / "data").symlink_to(home / "data")
        prepare(Layout(self.home))
        self.venue = SteppedVenue(self.home, folder, speed=600.0, start="now", pace="clock", **changes)
        self.control = ControlProcess(self.venue.plan, folder / "venue.log")
        self.client = VenueClient(self.control.endpoints)

    def trade(self) -> None:
        """Open a position and two orders."""
        self.client.place("BUY", "0.050").assert_ok()
        for price in ("40000.0", "40100.0"):
            self.client.place("BUY", "0.010", price).assert_ok()

    def events(self) -> dict[str, dict[str, Any]]:
        """The logged events since the end of control, by name; asserts that both clocks are in order."""
        lines = EventLog(self.venue.ledger).lines()
        names = [line["event"] for line in lines]
        events = [line for line in lines[names.index("control_lost") :] if line["event"] not in ("left", "connected")]
        for clock in ("time", "monotonic_s"):
            assert [line[clock] for line in events] == sorted(line[clock] for line in events)
        return {line["event"]: line for line in events}

    def final_account(self) -> tuple[str, int]:
        """(position, open orders) from the ledger, whose audit must pass."""
        audit = self.venue.audit()
        assert audit.proven, audit.findings
        return f"{audit.position:f}", audit.open_orders


@contextmanager
def orphan(home: Path, folder: Path, **changes: Any) -> Iterator[OrphanScene]:
    scene = OrphanScene(home, folder, **changes)
    with scene.control, scene.client:
        yield scene


def activate_switch(scene: OrphanScene, name: str) -> None:
    activate(Layout(scene.home), RunId(name), "odd", "ann", SystemClock())


def remaining_messages(socket: Socket) -> Iterator[Any]:
    """The messages up to the end of the connection."""
    with suppress(Closed):
        while True:
            yield socket.next()


def test_at_the_deadline_it_flattens_the_account(sample_home: Path, tmp_path: Path) -> None:
    """Also while the market is halted and requests are refused; the user-data stream reports it."""
    with orphan(sample_home, tmp_path, on_orphan="flatten", orphan_seconds=1.0) as scene:
        scene.trade()
        user = scene.client.user_stream()
        with control_client(scene.venue.ledger) as venue_control:
            for fault in ("halt", "http"):
                venue_control.request("start", fault=fault)
            scene.control.kill()
            assert not scene.control.venue_ended(0.5)
            assert scene.control.venue_ended(SOON)
        updates = [
            (event["o"]["c"], event["o"]["x"])
            for event in remaining_messages(user)
            if event["e"] == "ORDER_TRADE_UPDATE"
        ]
        assert [execution for _, execution in updates] == ["CANCELED", "CANCELED", "NEW", "TRADE"]
        assert {client_order_id for client_order_id, _ in updates[2:]} == {"opslab-flatten-4"}
        assert scene.final_account() == ("0.000", 0)
        events = scene.events()
        assert [name for name in events if "fault" not in name] == [
            "control_lost", "account_flattened", "ended_without_control",
        ]  # fmt: skip
        lost, flat, ended = events["control_lost"], events["account_flattened"], events["ended_without_control"]
        assert (lost["on_orphan"], lost["seconds"]) == ("flatten", 1.0)
        assert (flat["canceled"], flat["closed"], flat["hold"]) == (2, "0.050", True)
        assert (ended["reason"], ended["position"], ended["open_orders"]) == (
            "the time for clients is over",
            "0.000",
            0,
        )
        assert 1.0 <= ended["monotonic_s"] - lost["monotonic_s"] < stretched(2.0)


def test_it_ends_when_the_account_is_flat_and_no_client_is_connected(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path, on_orphan="flatten", orphan_seconds=LONG) as scene:
        scene.trade()
        scene.control.kill()
        scene.client.flatten()
        assert not scene.control.venue_ended(0.5)  # the client is still connected
        scene.client.close_connection()
        assert scene.control.venue_ended(SOON)
        assert scene.final_account() == ("0.000", 0)
        assert scene.events()["account_flattened"]["canceled"] == 0
        assert scene.events()["ended_without_control"]["reason"] == "the account is flat and no client is connected"


def test_it_waits_for_a_client_to_reconnect_and_flatten(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path, on_orphan="flatten", orphan_seconds=LONG) as scene:
        scene.trade()
        scene.client.close_connection()
        scene.control.kill()
        assert not scene.control.venue_ended(0.5)
        scene.client.flatten()
        scene.client.close_connection()
        assert scene.control.venue_ended(SOON)


def test_with_leave_it_keeps_the_account_and_ends_with_its_last_client(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path, on_orphan="leave", orphan_seconds=LONG) as scene:
        scene.trade()
        scene.control.kill()
        assert not scene.control.venue_ended(0.5)
        assert len(scene.client.open_orders()) == 2
        scene.client.close_connection()
        assert scene.control.venue_ended(SOON)
        assert scene.final_account() == ("0.050", 2)
        ended = scene.events()["ended_without_control"]
        assert (ended["reason"], ended["position"], ended["open_orders"]) == ("no client is connected", "0.050", 2)


def test_connected_clients_are_closed_at_the_deadline(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path, on_orphan="leave", orphan_seconds=0.5) as scene:
        scene.trade()
        user = scene.client.user_stream()
        scene.control.kill()
        assert scene.control.venue_ended(SOON)
        assert user.wait_closed() == 1001
        assert scene.final_account() == ("0.050", 2)


def test_by_default_it_ends_with_its_control_process(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path) as scene:
        scene.trade()
        scene.control.kill()
        assert scene.control.venue_ended(SOON)
        assert scene.final_account() == ("0.050", 2)
        assert list(scene.events()) == ["control_lost"]


@pytest.mark.parametrize(("policy", "account"), [("flatten", ("0.000", 0)), ("leave", ("0.050", 2))])
def test_a_signal_applies_the_orphan_policy_at_once(
    sample_home: Path, tmp_path: Path, policy: str, account: tuple[str, int]
) -> None:
    with orphan(sample_home, tmp_path, on_orphan=policy, orphan_seconds=LONG) as scene:
        scene.trade()
        scene.control.kill()
        assert not scene.control.venue_ended(0.3)
        scene.control.stop_venue()
        assert scene.control.venue_ended(SOON)
        assert scene.final_account() == account
        assert scene.events()["ended_without_control"]["reason"] == "stop requested"


def test_a_signal_while_control_runs_ends_it_without_the_orphan_policy(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path, on_orphan="flatten", orphan_seconds=LONG) as scene:
        scene.trade()
        scene.control.stop_venue()
        assert scene.control.venue_ended(SOON)
        assert scene.final_account() == ("0.050", 2)


def test_no_order_in_flight_reopens_the_flattened_account(sample_home: Path, tmp_path: Path) -> None:
    """Orders are in flight for a second when it flattens; they arrive while it still serves."""
    with orphan(sample_home, tmp_path, latency_ms=1000) as scene:
        trading = scene.client.trading()
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.050"}
        trading.call("order.place", **order)
        in_flight = trading.send_request("order.place", **order)
        deadline = time.monotonic() + SOON
        with control_client(scene.venue.ledger) as venue_control:
            result = venue_control.request("flatten", reason="a test", hold=True)
            assert (result["canceled"], result["closed"]) == (0, "0.050")
            assert result["statement"]["account"]["positions"] == []
            answer = trading.read_until(lambda message: message.get("id") == in_flight, deadline - time.monotonic())[-1]
            assert (answer["status"], answer["error"]["code"]) == (400, -4087)
            assert venue_control.request("statement")["account"]["positions"] == []


@pytest.mark.parametrize(
    "torn",
    [
        b"",
        b'{"acknowledge_bars":',
        b'["halt"]\n',
        b'{"acknowledge_bars":{"minutes":"many"}}\n',
        b'{"x":1}\n',
        b"\xff\n",
    ],
)
def test_the_end_of_control_is_noticed_after_an_incomplete_or_invalid_message(
    sample_home: Path, tmp_path: Path, torn: bytes
) -> None:
    with SteppedVenue(sample_home, tmp_path, start="now") as venue:
        assert venue._child is not None
        pipe = venue._child._child.stdin
        assert pipe is not None
        pipe.write(torn)
        pipe.close()
        assert venue._listener is not None
        venue._listener.join(SOON)
        assert not venue._listener.is_alive()
        assert EventLog(venue.ledger).of("control_lost")


def test_a_flatten_request_needs_a_reason(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path, start="now") as venue, RawControlClient(venue.ledger) as venue_control:
        for params in ({}, {"reason": ""}, {"reason": 3}, {"reason": "x" * 201}, {"reason": "x", "hold": "yes"}):
            answer = venue_control.request("flatten", **params)
            assert (answer["exit_code"], answer["error"]) == (
                2, "reason must have 1 to 200 characters, hold must be true or false",
            )  # fmt: skip
        assert venue_control.request("flatten", reason="x")["ok"]["closed"] == "0"


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_active_kill_switch_flattens_at_once_whatever_the_policy(
    sample_home: Path, tmp_path: Path, when: str
) -> None:
    """Activated before or after the end of control. Connected clients can open nothing any more."""
    with orphan(sample_home, tmp_path, on_orphan="leave", orphan_seconds=LONG) as scene:
        scene.trade()
        user = scene.client.user_stream()
        if when == "before":
            activate_switch(scene, scene.venue.plan.name)
        scene.control.kill()
        if when == "after":
            assert not scene.control.venue_ended(0.5)
            assert "account_flattened" not in scene.events()
            activate_switch(scene, scene.venue.plan.name)
        kinds: list[str] = []
        while "TRADE" not in kinds:
            event = user.next()
            if event["e"] == "ORDER_TRADE_UPDATE":
                kinds.append(event["o"]["x"])
        assert kinds == ["CANCELED", "CANCELED", "NEW", "TRADE"]
        assert scene.client.place("BUY", "0.010").error[1] == -4087
        user.drop()
        scene.client.close_connection()
        assert scene.control.venue_ended(SOON)
        assert scene.final_account() == ("0.000", 0)


def test_the_kill_switch_of_another_run_has_no_effect(sample_home: Path, tmp_path: Path) -> None:
    with orphan(sample_home, tmp_path, on_orphan="leave", orphan_seconds=LONG) as scene:
        scene.trade()
        activate_switch(scene, "another")
        scene.control.kill()
        assert not scene.control.venue_ended(0.5)
        scene.client.close_connection()
        assert scene.control.venue_ended(SOON)
        assert scene.final_account() == ("0.050", 2)
