"""The engine's own adapters and the venue of a run: paced by the engine, killed, made flat by the venue itself."""

from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from opslab.model.market.candle import MINUTE_MS
from opslab.runs.processes.venue_control_client import ControlClient
from tests.drivers.control_client import TOKEN, EventLog, active_fault
from tests.drivers.node_process import NodeProcess
from tests.drivers.tc import wait_until
from tests.drivers.venue_client import SteppedVenue
from tests.oracles.ledger_state import differences

MINUTE_NS = MINUTE_MS * 1_000_000
NOT_ACKNOWLEDGED = "candle not acknowledged"


def first_close_ns(venue: SteppedVenue) -> int:
    return (next(iter(venue.candles())).open_ms + MINUTE_MS - 1) * 1_000_000


class Control:
    """Tells the venue of each bar that the node has told; which candle it is, it reads from the bar."""

    def __init__(self, venue: SteppedVenue, node: NodeProcess) -> None:
        self.venue = venue
        self.node = node
        self._first_ns = first_close_ns(venue)

    def numbers(self) -> list[int]:
        return [(bar["ts_event"] - self._first_ns) // MINUTE_NS + 1 for bar in self.node.lines_of("bar")]

    def reach(self, number: int) -> None:
        """Word by word until the node has that bar."""
        told = 0
        while told < number:
            wait_until(lambda told=told: any(found > told for found in self.numbers()), f"a bar behind {told}")  # type: ignore[misc]
            told = max(self.numbers())
            self.tell(told)

    def tell(self, number: int) -> None:
        assert self.venue._child is not None
        self.venue._child.send({"bars_done": number})


def paced(home: Path, folder: Path, **changes: Any) -> SteppedVenue:
    """At full speed, each candle behind word of the one before."""
    return SteppedVenue(home, folder, speed=None, ticks=10, start="kline", **changes)


def test_a_candle_waits_for_word_of_the_one_before(sample_home: Path, tmp_path: Path) -> None:
    with paced(sample_home, tmp_path) as venue, NodeProcess(venue.endpoints, tmp_path / "node.log") as node:
        control = Control(venue, node)
        control.reach(50)
        with ControlClient(venue.ledger, TOKEN) as venue_control:
            node.wait("bar", ts_event=first_close_ns(venue) + 50 * MINUTE_NS)
            assert venue_control.request("statement")["minutes"] == 51  # 50 are dealt with, and the one behind has closed
            assert control.numbers() == list(range(1, 52))
            node.kill()
            wait_until(lambda: venue_control.request("status")["clients"] == 0, "the node to be gone")
            control.tell(51)
            assert venue_control.request("statement")["minutes"] == 51  # nobody follows
            with NodeProcess(venue.endpoints, tmp_path / "next.log") as fresh:
                Control(venue, fresh).reach(60)
                assert Control(venue, fresh).numbers()[0] == 52
                fresh.stop()
    assert EventLog(venue.ledger).of(NOT_ACKNOWLEDGED) == []


def test_a_lost_candle_holds_the_market_up_for_its_time_only(sample_home: Path, tmp_path: Path) -> None:
    with (
        paced(sample_home, tmp_path, bar_done_timeout_seconds=0.5) as venue,
        NodeProcess(venue.endpoints, tmp_path / "node.log") as node,
    ):
        control = Control(venue, node)
        control.reach(5)
        node.wait("bar", ts_event=first_close_ns(venue) + 5 * MINUTE_NS)
        with ControlClient(venue.ledger, TOKEN) as venue_control, active_fault(venue_control, "drop", count=1, stream="btcusdt@kline_1m"):
            control.tell(6)
            control.reach(12)
        assert [number for number in range(1, 13) if number not in control.numbers()] == [7]
        (line,) = EventLog(venue.ledger).of(NOT_ACKNOWLEDGED)
        assert (line["minutes"], line["acknowledged"], line["reason"]) == (7, 6, "none arrived within 0.5 s")
        node.stop()


def test_a_venue_that_was_killed_comes_back_and_the_node_by_itself(sample_home: Path, tmp_path: Path) -> None:
    """Same port, same key, same account: nobody but the venue is started again, and the replay goes on."""
    with paced(sample_home, tmp_path, bar_done_timeout_seconds=2.0) as venue:
        with NodeProcess(venue.endpoints, tmp_path / "node.log", checks=True) as node:
            control = Control(venue, node)
            control.reach(10)
            node.place("RESTS", "BUY", "0.010", kind="limit", off=0.9)
            node.wait("order", client_order_id="RESTS", event="OrderAccepted")
            node.place("OPENS", "BUY", "0.050")
            node.wait("order", client_order_id="OPENS", event="OrderFilled")
            seen = len(node.lines)
            venue.kill()
            node.wait("socket", state="DISCONNECTED", after=seen)
            before = venue.endpoints
            assert venue.start() == before
            control.tell(max(control.numbers()))
            control.reach(max(control.numbers()) + 20)
            with ControlClient(venue.ledger, TOKEN) as venue_control:
                assert venue_control.request("statement")["minutes"] - max(control.numbers()) <= 1  # word counts over the restart
            numbers = control.numbers()
            lost = [after - before - 1 for before, after in pairwise(numbers)]
            assert all(number >= 0 for number in lost)
            assert sum(lost) <= 1
            node.place("CLOSES", "SELL", "0.050", reduce_only=True)
            node.wait("order", client_order_id="CLOSES", event="OrderFilled")
            assert differences(node.state(), venue.ledger_state()) == []
            assert "RESTS" in node.state()["open"]
            node.stop()
        assert venue.audit().proven


@pytest.mark.parametrize("faults", [(), ("halt", "http")])
def test_the_node_learns_that_the_venue_has_made_it_flat(
    sample_home: Path, tmp_path: Path, faults: tuple[str, ...]
) -> None:
    with (
        SteppedVenue(sample_home, tmp_path, speed=60.0, pace="clock") as venue,
        NodeProcess(venue.endpoints, tmp_path / "node.log") as node,
        ControlClient(venue.ledger, TOKEN) as venue_control,
    ):
        node.wait("ready")
        node.place("RESTS", "BUY", "0.010", kind="limit", off=0.9)
        node.wait("order", client_order_id="RESTS", event="OrderAccepted")
        node.place("OPENS", "BUY", "0.050")
        node.wait("order", client_order_id="OPENS", event="OrderFilled")
        for fault in faults:
            venue_control.request("start", fault=fault)
        done = venue_control.request("flatten", reason="a test", hold=True)
        assert (done["canceled"], done["closed"]) == (1, "0.050")
        assert (done["statement"]["account"]["positions"], done["statement"]["account"]["open_orders"]) == ([], [])
        node.wait("order", client_order_id="RESTS", event="OrderCanceled")
        node.wait("order", client_order_id="opslab-flatten-3", event="OrderFilled")
        assert differences(node.state(), venue.ledger_state()) == []
        told = node.state()
        assert (told["open"], told["positions"]) == ({}, [])
        assert Decimal(told["balance"]) == Decimal(done["statement"]["account"]["balances"][0]["total"])
        venue_control.request("stop_all")
        node.place("AGAIN", "BUY", "0.050")
        assert "code=-4087" in node.wait("order", client_order_id="AGAIN", event="OrderRejected")["reason"]
        node.place("REDUCES", "SELL", "0.050", reduce_only=True)
        assert "code=-2022" in node.wait("order", client_order_id="REDUCES", event="OrderRejected")["reason"]
        assert venue.ledger_state().position == 0
        assert venue.audit().proven
        node.stop()


def test_of_balances_a_node_and_the_venue_share_the_total_alone(sample_home: Path, tmp_path: Path) -> None:
    """What `venue/control/account_snapshot.py` says of the two: should the engine change, that text has to."""
    with (
        SteppedVenue(sample_home, tmp_path, speed=60.0, pace="clock") as venue,
        ControlClient(venue.ledger, TOKEN) as venue_control,
    ):

        def said() -> tuple[Decimal, Decimal]:
            (row,) = venue_control.request("statement")["account"]["balances"]
            return Decimal(row["total"]), Decimal(row["free"])

        with NodeProcess(venue.endpoints, tmp_path / "node.log") as node:
            node.wait("ready")
            node.place("RESTS", "BUY", "0.100", kind="limit", off=0.9)
            node.wait("order", client_order_id="RESTS", event="OrderAccepted")
            node.place("OPENS", "SELL", "0.040")
            node.wait("order", client_order_id="OPENS", event="OrderFilled")
            told, (total, free) = node.state(), said()
            assert Decimal(told["balance"]) == Decimal(told["free"]) == total
            assert free < total - 200
            node.kill()
        with NodeProcess(venue.endpoints, tmp_path / "next.log") as fresh:
            fresh.wait("ready")
            told, (again, free) = fresh.state(), said()
            assert Decimal(told["balance"]) == again == total
            assert Decimal(told["free"]) < free - 200
            fresh.stop()
