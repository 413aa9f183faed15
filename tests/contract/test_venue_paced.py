"""The engine's own adapters and the venue of a run: bar pacing, a killed venue, a flatten by the venue."""

from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from opslab.model.market.candle import MINUTE_MS
from opslab.model.pipe.messages import AcknowledgeBars
from tests.drivers.control_client import EventLog, active_fault, control_client
from tests.drivers.node_process import NodeProcess
from tests.drivers.observed_node import SOCKETS
from tests.drivers.tc import wait_until
from tests.drivers.venue_client import SteppedVenue
from tests.oracles.ledger_state import differences

MINUTE_NS = MINUTE_MS * 1_000_000
NOT_ACKNOWLEDGED = "candle_not_acknowledged"


def first_close_ns(venue: SteppedVenue) -> int:
    return (next(iter(venue.candles())).open_ms + MINUTE_MS - 1) * 1_000_000


class BarAcknowledger:
    """Acknowledges to the venue each bar that the node has received; the bar's time gives its number."""

    def __init__(self, venue: SteppedVenue, node: NodeProcess) -> None:
        self.venue = venue
        self.node = node
        self._first_ns = first_close_ns(venue)

    def numbers(self) -> list[int]:
        return [(bar["ts_event"] - self._first_ns) // MINUTE_NS + 1 for bar in self.node.lines_of("bar")]

    def reach(self, number: int) -> None:
        """Acknowledge bar by bar until the node has received this one."""
        last = 0
        while last < number:
            wait_until(lambda last=last: any(received > last for received in self.numbers()), f"a bar after {last}")  # type: ignore[misc]
            last = max(self.numbers())
            self.acknowledge(last)

    def acknowledge(self, number: int) -> None:
        assert self.venue._child is not None
        self.venue._child.send(AcknowledgeBars(minutes=number))


def wait_until_equal(node: NodeProcess, venue: SteppedVenue) -> None:
    """A fill is reported in two messages: of the order, and of the balance."""
    found: list[str] = []

    def is_equal() -> bool:
        found[:] = differences(node.state(), venue.ledger_state())
        return not found

    with suppress(AssertionError):
        wait_until(is_equal, "the node to have what the ledger has")
    assert found == []


def paced_venue(home: Path, folder: Path, **changes: Any) -> SteppedVenue:
    """A venue at full speed whose candles wait for the acknowledgement of the one before."""
    return SteppedVenue(home, folder, speed=None, ticks=10, start="kline", **changes)


def test_a_candle_waits_for_the_acknowledgement_of_the_one_before(sample_home: Path, tmp_path: Path) -> None:
    with paced_venue(sample_home, tmp_path) as venue, NodeProcess(venue.endpoints, tmp_path / "node.log") as node:
        acknowledger = BarAcknowledger(venue, node)
        acknowledger.reach(50)
        with control_client(venue.ledger) as venue_control:
            node.wait("bar", ts_event=first_close_ns(venue) + 50 * MINUTE_NS)
            assert (
                venue_control.request("statement")["minutes"] == 51
            )  # 50 are acknowledged, and the next one has closed
            assert acknowledger.numbers() == list(range(1, 52))
            node.kill()
            wait_until(lambda: venue_control.request("status")["clients"] == 0, "the node to disconnect")
            acknowledger.acknowledge(51)
            assert venue_control.request("statement")["minutes"] == 51  # no client subscribes to candles
            with NodeProcess(venue.endpoints, tmp_path / "next.log") as second_node:
                BarAcknowledger(venue, second_node).reach(60)
                assert BarAcknowledger(venue, second_node).numbers()[0] == 52
                second_node.stop()
    assert EventLog(venue.ledger).of(NOT_ACKNOWLEDGED) == []


def test_a_lost_candle_delays_the_market_by_the_timeout_only(sample_home: Path, tmp_path: Path) -> None:
    with (
        paced_venue(sample_home, tmp_path, bar_done_timeout_seconds=0.5) as venue,
        NodeProcess(venue.endpoints, tmp_path / "node.log") as node,
    ):
        acknowledger = BarAcknowledger(venue, node)
        acknowledger.reach(5)
        node.wait("bar", ts_event=first_close_ns(venue) + 5 * MINUTE_NS)
        with (
            control_client(venue.ledger) as venue_control,
            active_fault(venue_control, "drop", count=1, stream="btcusdt@kline_1m"),
        ):
            acknowledger.acknowledge(6)
            acknowledger.reach(12)
        assert [number for number in range(1, 13) if number not in acknowledger.numbers()] == [7]
        (line,) = EventLog(venue.ledger).of(NOT_ACKNOWLEDGED)
        assert (line["minutes"], line["acknowledged"], line["reason"]) == (7, 6, "none arrived within 0.5 s")
        node.stop()


def test_after_a_restart_of_a_killed_venue_the_node_reconnects_itself(sample_home: Path, tmp_path: Path) -> None:
    """Same port, key and account: only the venue is restarted, and the replay resumes."""
    with paced_venue(sample_home, tmp_path, bar_done_timeout_seconds=2.0) as venue:
        with NodeProcess(venue.endpoints, tmp_path / "node.log", checks=True) as node:
            acknowledger = BarAcknowledger(venue, node)
            acknowledger.reach(10)
            node.place("RESTS", "BUY", "0.010", kind="limit", off=0.9)
            node.wait("order", client_order_id="RESTS", event="OrderAccepted")
            node.place("OPENS", "BUY", "0.050")
            node.wait("order", client_order_id="OPENS", event="OrderFilled")
            line_count = len(node.lines)
            venue.kill()
            node.wait("socket", state="DISCONNECTED", after=line_count)
            endpoints = venue.endpoints
            assert venue.start() == endpoints
            for endpoint in SOCKETS:  # the candles may be back before the updates of the account
                node.wait("socket", endpoint=endpoint, state="CONNECTED", after=line_count)
            acknowledger.acknowledge(max(acknowledger.numbers()))
            acknowledger.reach(max(acknowledger.numbers()) + 20)
            with control_client(venue.ledger) as venue_control:
                assert (
                    venue_control.request("statement")["minutes"] - max(acknowledger.numbers()) <= 1
                )  # acknowledgements are valid over the restart
            numbers = acknowledger.numbers()
            missing = [after - before - 1 for before, after in pairwise(numbers)]
            assert all(number >= 0 for number in missing)
            assert sum(missing) <= 1
            node.place("CLOSES", "SELL", "0.050", reduce_only=True)
            node.wait("order", client_order_id="CLOSES", event="OrderFilled")
            wait_until_equal(node, venue)
            assert "RESTS" in node.state()["open"]
            node.stop()
        assert venue.audit().proven


@pytest.mark.parametrize("faults", [(), ("halt", "http")])
def test_the_node_receives_the_flatten_of_the_venue(sample_home: Path, tmp_path: Path, faults: tuple[str, ...]) -> None:
    with (
        SteppedVenue(sample_home, tmp_path, speed=60.0, pace="clock") as venue,
        NodeProcess(venue.endpoints, tmp_path / "node.log") as node,
        control_client(venue.ledger) as venue_control,
    ):
        node.wait("ready")
        node.place("RESTS", "BUY", "0.010", kind="limit", off=0.9)
        node.wait("order", client_order_id="RESTS", event="OrderAccepted")
        node.place("OPENS", "BUY", "0.050")
        node.wait("order", client_order_id="OPENS", event="OrderFilled")
        for fault in faults:
            venue_control.request("start", fault=fault)
        result = venue_control.request("flatten", reason="a test", hold=True)
        assert (result["canceled"], result["closed"]) == (1, "0.050")
        assert (result["statement"]["account"]["positions"], result["statement"]["account"]["open_orders"]) == ([], [])
        node.wait("order", client_order_id="RESTS", event="OrderCanceled")
        node.wait("order", client_order_id="opslab-flatten-3", event="OrderFilled")
        wait_until_equal(node, venue)
        state = node.state()
        assert (state["open"], state["positions"]) == ({}, [])
        assert Decimal(state["balance"]) == Decimal(result["statement"]["account"]["balances"][0]["total"])
        venue_control.request("stop_all")
        node.place("AGAIN", "BUY", "0.050")
        assert "code=-4087" in node.wait("order", client_order_id="AGAIN", event="OrderRejected")["reason"]
        node.place("REDUCES", "SELL", "0.050", reduce_only=True)
        assert "code=-2022" in node.wait("order", client_order_id="REDUCES", event="OrderRejected")["reason"]
        assert venue.ledger_state().position == 0
        assert venue.audit().proven
        node.stop()


def test_node_and_venue_agree_on_the_total_balance_only(sample_home: Path, tmp_path: Path) -> None:
    """As documented in `venue/control/account_snapshot.py`: if the engine changes, that text must change."""
    with (
        SteppedVenue(sample_home, tmp_path, speed=60.0, pace="clock") as venue,
        control_client(venue.ledger) as venue_control,
    ):

        def venue_balance() -> tuple[Decimal, Decimal]:
            (row,) = venue_control.request("statement")["account"]["balances"]
            return Decimal(row["total"]), Decimal(row["free"])

        with NodeProcess(venue.endpoints, tmp_path / "node.log") as node:
            node.wait("ready")
            node.place("RESTS", "BUY", "0.100", kind="limit", off=0.9)
            node.wait("order", client_order_id="RESTS", event="OrderAccepted")
            node.place("OPENS", "SELL", "0.040")
            node.wait("order", client_order_id="OPENS", event="OrderFilled")
            state, (total, free) = node.state(), venue_balance()
            assert Decimal(state["balance"]) == Decimal(state["free"]) == total
            assert free < total - 200
            node.kill()
        with NodeProcess(venue.endpoints, tmp_path / "next.log") as second_node:
            second_node.wait("ready")
            state, (second_total, free) = second_node.state(), venue_balance()
            assert Decimal(state["balance"]) == second_total == total
            assert Decimal(state["free"]) < free - 200
            second_node.stop()
