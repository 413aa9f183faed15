"""The effect of every venue fault on NautilusTrader's own Binance adapters, and its timing: live nodes, each a process.

The bounds are wide enough for a busy machine and narrow enough that a different behaviour of the engine fails here.
The table of docs/venue-faults.md has the measured values.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from time import time
from typing import Any

import pytest

from opslab.venue.faults.registry import FAULTS
from tests.drivers.control_client import active_fault, control_client
from tests.drivers.node_process import Line, NodeProcess
from tests.drivers.observed_node import (
    DATA,
    MARKET,
    PUBLIC,
    SOCKETS,
    USER,
    Observation,
    ObservedNode,
    Recording,
)
from tests.drivers.venue_client import SteppedVenue

TRADES = "btcusdt@aggTrade"
TOLERANCE_SECONDS = 5.0
"""Tolerance in seconds for an immediate effect, on a busy machine."""
PARALLEL_SCENARIOS = 4
"""Scenarios that run at the same time."""


type Scenario = Callable[[ObservedNode], None]


def lost_connections(observed: ObservedNode) -> None:
    """Connections, silence, and messages that cannot be read."""
    for name in ("close", "reset"):
        with observed.observe(name) as recording:
            recording.immediate_fault(name)
            recording.wait_reconnected()
            recording.wait("deltas", first="CLEAR")
            recording.wait_all_data()
    with observed.observe("silence") as recording:
        with recording.active_fault("silence"):
            observed.wait_for_minutes(6)
        recording.wait_all_data()
    with observed.observe("silence: one stream") as recording:
        with recording.active_fault("silence", stream=TRADES):
            recording.wait_sent("bar", count=6)
        recording.wait_all_data()
    with observed.observe("drop") as recording:
        recording.wait("trade")
        with recording.active_fault("drop", stream=TRADES, count=20):
            recording.wait_sent("bar", count=6)
        recording.wait_all_data()
    with observed.observe("garbage") as recording:
        with recording.active_fault("garbage"):
            recording.wait_warning("Failed to parse JSON message", count=300)
        recording.wait_all_data()
    with observed.observe("garbage: null") as recording:
        with recording.active_fault("garbage", text="null"):
            observed.wait_for_minutes(4)
        recording.wait_all_data()
    with observed.observe("wrong-types") as recording:
        with recording.active_fault("wrong-types"):
            for kind, count in {"book ticker": 150, "aggregate trade": 150, "depth update": 40, "kline": 8}.items():
                recording.wait_warning(f"Failed to parse {kind}", count)
        recording.wait_all_data()


def late_messages(observed: ObservedNode) -> None:
    """Messages that are late, duplicated or reordered; the book's chain; and refused connections."""
    for name in ("delay", "jitter"):
        with observed.observe(name) as recording:
            with recording.active_fault(name, ms=1_500):
                recording.wait_sent("trade", count=120)
            recording.wait_all_data()
    with observed.observe("depth-gap") as recording, recording.active_fault("depth-gap"):
        recording.wait("deltas", first="CLEAR")
        recording.wait("deltas", count=20)
    with observed.observe("stale-snapshot") as recording:
        with recording.active_fault("stale-snapshot"), active_fault(observed.venue_control, "depth-gap"):
            recording.wait_warning("Book sequence gap")
            recording.wait_sent("bar", count=6)
        recording.wait("deltas", first="CLEAR")
        recording.wait_all_data()
    terms = {"status": 429, "path": "/fapi/v1/depth", "retry_after": 2, "count": 1}
    with (
        observed.observe("http: the book") as recording,
        recording.active_fault("http", **terms),
        active_fault(observed.venue_control, "depth-gap"),
    ):
        recording.wait("deltas", first="CLEAR")
    with observed.observe("hang: the book") as recording:
        with recording.active_fault("hang", path="/fapi/v1/depth"), active_fault(observed.venue_control, "depth-gap"):
            recording.wait_warning("Book sequence gap")
            recording.wait_sent("bar", count=4)
        recording.wait("deltas", first="CLEAR")
    for name, gaps in {"duplicate": 4, "reorder": 1}.items():
        with observed.observe(name) as recording:
            with recording.active_fault(name):
                recording.wait_warning("Book sequence gap", count=gaps)
                recording.wait_sent("bar", count=8)
            recording.wait_all_data()
    # here, where no socket has been connected again: the engine counts the attempts of a socket on
    with observed.observe("refuse") as recording:
        with recording.active_fault("refuse"):
            observed.venue_control.request("start", fault="close")
            recording.wait_warning("Reconnect attempt 4 failed", count=len(SOCKETS))
        recording.wait_reconnected()
        recording.wait_all_data()


def orders_over_the_socket(observed: ObservedNode) -> None:
    """Orders and the account."""
    with observed.observe("reject-orders") as recording, recording.active_fault("reject-orders"):
        observed.node.place("REFUSED", "BUY", "0.010")
        recording.wait_order("REFUSED", "OrderRejected")
    with (
        observed.observe("reject-orders: overloaded") as recording,
        recording.active_fault("reject-orders", code=-1008),
    ):
        observed.node.place("IN-DOUBT", "BUY", "0.010")
        recording.wait_order("IN-DOUBT", "OrderSubmitted")
        recording.wait_warning("Ambiguous WS submit failure for IN-DOUBT")
    with observed.observe("halt") as recording:
        with recording.active_fault("halt"):
            observed.node.place("HALTED", "BUY", "0.010")
            recording.wait_order("HALTED", "OrderRejected")
            recording.wait("status", action="HALT")
            recording.wait_sent("bar", count=4)
        recording.wait("status", action="TRADING")
    for name, terms in {"late-fill": {"ms": 1_500}, "duplicate-fill": {}}.items():
        with observed.observe(name) as recording, recording.active_fault(name, **terms):
            observed.node.place(name, "BUY", "0.010")
            recording.wait_filled("0.010", name)
            recording.wait_sent("bar", count=2)
            observed.node.state()
    with observed.observe("external-trade") as recording:
        recording.immediate_fault("external-trade", side="SELL", quantity="0.050")
        recording.wait_filled("0.050")
        observed.node.state()
    for ms in (10_000, -10_000, 2_000):
        with observed.observe(f"clock-skew: {ms}") as recording, recording.active_fault("clock-skew", ms=ms):
            observed.node.place(f"SKEW{ms}", "BUY", "0.010")
            recording.wait_order(f"SKEW{ms}", "OrderFilled" if ms == 2_000 else "OrderRejected")
    with observed.observe("hang") as recording:
        with recording.active_fault("hang"):
            observed.node.place("HANGS", "BUY", "0.010")
            recording.wait_order("HANGS", "OrderSubmitted")
            recording.wait_sent("bar", count=4)
        recording.wait_filled("0.010", "HANGS")
    with observed.observe("swallow-ack") as recording:
        with recording.active_fault("swallow-ack"):
            place_amend_cancel(observed, recording, "SWALLOWED")
            recording.wait_sent("bar", count=2)
        recording.wait_sent("bar", count=2)


def orders_over_http(observed: ObservedNode) -> None:
    """Orders without an answer: the node waits for half a minute."""
    with observed.observe("http") as recording:
        with recording.active_fault("http", status=503, method="POST", path="/fapi/v1/order", count=1):
            observed.node.place("LOST", "BUY", "0.010")
            recording.wait_warning("Ambiguous submit failure for LOST")
        with observed.observe("swallow-ack: over http") as other:
            with other.active_fault("swallow-ack"):
                place_amend_cancel(observed, other, "SWALLOWED")
            for kind in ("submit", "modify", "cancel"):
                other.wait_warning(f"Ambiguous {kind} failure for SWALLOWED")
            observed.node.state()
        recording.wait_order("LOST", "OrderRejected")


def silent_connections(observed: ObservedNode) -> None:
    """Connections that are silent for a minute: undetected with pongs, reconnected without."""
    with observed.observe("silence: no pongs") as recording:
        with (
            recording.active_fault("silence", which="market", pongs=False),
            observed.observe("silence: a fill") as other,
            other.active_fault("silence", which="user"),
        ):
            observed.node.place("UNTOLD", "BUY", "0.010")
            other.wait_filled("0.010", "UNTOLD")
            for endpoint in (MARKET, PUBLIC):
                recording.wait("socket", endpoint=endpoint, state="DISCONNECTED")
                recording.wait("socket", endpoint=endpoint, state="CONNECTED")
        recording.wait_sent("bar")


def place_amend_cancel(observed: ObservedNode, recording: Recording, id: str) -> None:
    """Place, amend and cancel an order."""
    observed.node.place(id, "BUY", "0.010", kind="limit", off=0.97)
    recording.wait_order(id, "OrderAccepted")
    observed.node.do("modify", id=id, quantity="0.011", price="40900.0")
    recording.wait_order(id, "OrderUpdated")
    observed.node.do("cancel", id=id)
    recording.wait_order(id, "OrderCanceled")


def late_ms(line: Line) -> float:
    """From the venue's event time to the receipt by the node."""
    return (line["ts_init"] - line["ts_event"]) / 1e6 if line["kind"] == "trade" else 0.0


SCENARIOS: dict[Scenario, dict[str, Any]] = {
    silent_connections: {"all_data": False, "bypass_risk": True},
    orders_over_http: {"all_data": False, "bypass_risk": True, "use_ws_trading": False},
    lost_connections: {},
    late_messages: {},
    orders_over_the_socket: {"all_data": False, "bypass_risk": True, "poll_seconds": 1},
}


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """The end of a node that a fault has terminated."""

    code: int
    seconds: float
    """Seconds from the fault's start."""
    printed: str
    lines: list[Line]


def node_end(venue: SteppedVenue, folder: Path, name: str) -> NodeEnd:
    with NodeProcess(venue.endpoints, folder / f"{name}.log") as node:
        node.wait("bar")
        start = time()
        with control_client(venue.ledger) as venue_control, active_fault(venue_control, name):
            return NodeEnd(node.exit_code(), time() - start, node.printed, node.lines)


def start_result(venue: SteppedVenue, folder: Path, name: str, **terms: Any) -> NodeEnd:
    """Start a node while requests for the instruments are answered with an error."""
    with (
        control_client(venue.ledger) as venue_control,
        active_fault(venue_control, "http", method="GET", path="/fapi/v1/exchangeInfo", **terms),
        NodeProcess(venue.endpoints, folder / f"{name}.log", connect_seconds=10, all_data=False) as node,
    ):
        start = time()
        if "count" in terms:
            node.wait("ready")
            return NodeEnd(0, time() - start, node.printed, node.lines)
        return NodeEnd(node.exit_code(), time() - start, node.printed, node.lines)


class ScenarioRuns:
    """All scenarios, run in parallel; each test reads the observations that it needs."""

    def __init__(self, home: Path, folder: Path, pool: ThreadPoolExecutor) -> None:
        self._home = home
        self._folder = folder
        self._observations: dict[str, Observation] = {}
        self._runs = [pool.submit(self._run, scenario, setup) for scenario, setup in SCENARIOS.items()]
        self._ends: Future[dict[str, NodeEnd]] = pool.submit(self._end)

    def observation(self, name: str) -> Observation:
        """An observation, also when its scenario failed later."""
        failures = [run.exception() for run in self._runs]
        if name not in self._observations:
            raise AssertionError(f"{name} was not observed") from next(
                (failure for failure in failures if failure), None
            )
        return self._observations[name]

    def end(self, name: str) -> NodeEnd:
        return self._ends.result()[name]

    def names(self) -> set[str]:
        for run in self._runs:
            run.result()
        return self._observations.keys() | self._ends.result().keys()

    def _run(self, scenario: Scenario, setup: dict[str, Any]) -> None:
        with (
            self._venue(scenario.__name__) as venue,
            NodeProcess(venue.endpoints, self._folder / f"{scenario.__name__}.log", **setup) as node,
            control_client(venue.ledger) as venue_control,
        ):
            node.wait("ready")
            node.wait("bar")
            scenario(ObservedNode(node, venue, venue_control, self._observations))
            node.stop()

    def _end(self) -> dict[str, NodeEnd]:
        with self._venue("ends") as venue:
            ends = {name: node_end(venue, self._folder, name) for name in ("broken-ohlc", "zero-quantity")}
            ends["http: at the start"] = start_result(venue, self._folder, "later", status=429, retry_after=3, count=1)
            ends["http: no start"] = start_result(venue, self._folder, "never", status=503)
            return ends

    def _venue(self, name: str) -> SteppedVenue:
        return SteppedVenue(self._home, self._folder / name, speed=120.0, ticks=30, start="now", pace="clock")


@pytest.fixture(scope="module")
def scenarios(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScenarioRuns]:
    with ThreadPoolExecutor(PARALLEL_SCENARIOS) as pool:
        yield ScenarioRuns(sample_home, tmp_path_factory.mktemp("scenarios"), pool)


# Connections.


@pytest.mark.parametrize(("name", "text"), [("close", "Received close frame"), ("reset", "connection reset")])
def test_a_lost_connection_is_reconnected_in_a_fifth_of_a_second(scenarios: ScenarioRuns, name: str, text: str) -> None:
    observation = scenarios.observation(name)
    assert len(observation.warnings_with(text)) == 4
    for endpoint in SOCKETS:
        disconnected, *_ = observation.lines_of("socket", endpoint=endpoint, state="DISCONNECTED")
        reconnected, *_ = observation.lines_of("socket", endpoint=endpoint, state="CONNECTED")
        assert observation.seconds_after_start(disconnected) < TOLERANCE_SECONDS
        assert observation.seconds_after_start(reconnected) > 0.15
        assert 0 < reconnected["at"] - disconnected["at"] < TOLERANCE_SECONDS
    assert observation.lines_of("deltas", first="CLEAR")
    assert observation.warnings_with("User data stream reconnected, triggering recovery")


def test_refused_connections_are_retried_at_growing_intervals(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("refuse")
    for number in (1, 2, 3, 4):
        warnings = observation.warnings_with(f"Reconnect attempt {number} failed: I/O error: Connection refused")
        assert len(warnings) == len(SOCKETS)
    pauses = [
        float(line["text"].split()[-1].removesuffix("s...")) for line in observation.warnings_with("Backing off for")
    ]
    for minimum, maximum in ((0.5, 0.75), (1.0, 1.25), (2.0, 2.25)):
        assert any(minimum <= pause <= maximum for pause in pauses)
    assert max(pauses) < 5.3
    for endpoint in SOCKETS:
        disconnected, *_ = observation.lines_of("socket", endpoint=endpoint, state="DISCONNECTED")
        reconnected, *_ = observation.lines_of("socket", endpoint=endpoint, state="CONNECTED")
        assert (
            disconnected["at"]
            < observation.ended_at
            < reconnected["at"]
            < observation.ended_at + 6.5 + TOLERANCE_SECONDS
        )


def test_silence_is_not_detected(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("silence")
    assert all(observation.during_fault(kind) == [] for kind in DATA)
    assert observation.lines_of("socket") == []
    assert observation.warning_counts().keys() <= {"Book sequence gap for BTCUSDT-PERP.BINAN"}
    assert observation.before_end("log") == []


def test_one_silent_stream_is_not_detected_and_the_others_continue(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("silence: one stream")
    assert observation.during_fault("trade") == []
    assert all(observation.during_fault(kind) for kind in ("quote", "deltas", "bar"))
    assert (observation.lines_of("socket"), observation.lines_of("log")) == ([], [])


def test_a_connection_without_pongs_is_reconnected_after_forty_seconds(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("silence: no pongs")
    expired, _ = observation.warnings_with("WebSocket Pong deadline expired")
    for endpoint in (MARKET, PUBLIC):
        (disconnected,) = observation.lines_of("socket", endpoint=endpoint, state="DISCONNECTED")
        reconnected, *_ = observation.lines_of("socket", endpoint=endpoint, state="CONNECTED")
        assert 38 < observation.seconds_after_start(disconnected) < 41 + TOLERANCE_SECONDS
        assert 0 < reconnected["at"] - disconnected["at"] < TOLERANCE_SECONDS
        assert reconnected["at"] - expired["at"] > 0.15
    assert observation.lines_of("socket", endpoint=USER) == []


def test_a_fill_that_is_not_sent_is_found_by_a_query_and_has_no_fee(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("silence: a fill")
    for fill in observation.fills("UNTOLD"):
        assert fill["reconciliation"] is True
        assert fill["fee"] is None
        assert 4 < observation.seconds_after_start(fill) < 15 + TOLERANCE_SECONDS
    assert observation.lines_of("socket", endpoint=USER) == []


# Messages.


def test_a_delay_is_visible_in_the_time_of_receipt(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("delay")
    late = [late_ms(line) for line in observation.during_fault("trade", excluded_seconds=1.5)]
    assert len(late) > 50
    assert min(late) > 1_450
    assert observation.lines_of("socket") == observation.lines_of("log") == []
    assert_trades_in_order(observation)


def test_jitter_is_visible_in_the_time_of_receipt(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("jitter")
    late = [late_ms(line) for line in observation.during_fault("trade")]
    assert 1_200 < max(late) < 1_500 + 1_000 * TOLERANCE_SECONDS
    assert len({round(delay / 50) for delay in late}) > 3
    assert observation.lines_of("socket") == observation.lines_of("log") == []
    assert_trades_in_order(observation)


def assert_trades_in_order(observation: Observation) -> None:
    numbers = [int(line["trade_id"]) for line in observation.lines_of("trade")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_duplicates_are_delivered_twice_and_each_of_the_book_costs_a_snapshot(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("duplicate")
    assert set(Counter(line["trade_id"] for line in observation.during_fault("trade")).values()) == {2}
    assert set(Counter(line["ts_event"] for line in observation.during_fault("bar")).values()) == {2}
    assert len(observation.warnings_with("Book sequence gap")) > 3
    assert len(observation.lines_of("deltas", first="CLEAR")) > 3


def test_reordered_messages_are_delivered_in_the_order_of_arrival(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("reorder")
    steps = Counter(
        int(after["trade_id"]) - int(before["trade_id"])
        for before, after in pairwise(observation.during_fault("trade")[1:-1])
    )
    assert steps.keys() == {-1, 3}
    assert observation.warnings_with("Book sequence gap")


def test_lost_trades_are_not_detected(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("drop")
    numbers = [int(line["trade_id"]) for line in observation.lines_of("trade")]
    assert sorted(after - before for before, after in pairwise(numbers))[-2:] == [1, 21]
    assert observation.lines_of("log") == []


def test_messages_that_are_not_json_are_dropped_with_a_warning(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("garbage")
    assert all(observation.during_fault(kind) == [] for kind in DATA)
    assert len(observation.warnings_with("Failed to parse JSON message")) >= 50
    assert observation.lines_of("socket") == []


def test_json_that_is_no_event_is_dropped_without_a_warning(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("garbage: null")
    assert all(observation.during_fault(kind) == [] for kind in DATA)
    assert observation.before_end("log") == []


def test_values_of_other_types_are_dropped_with_a_warning(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("wrong-types")
    assert all(observation.during_fault(kind) == [] for kind in DATA)
    assert observation.lines_of("socket") == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("broken-ohlc", "panicked at crates/model/src/data/bar.rs"),
        ("zero-quantity", "panicked at crates/model/src/data/trade.rs"),
    ],
)
def test_an_impossible_candle_or_trade_terminates_the_node(scenarios: ScenarioRuns, name: str, text: str) -> None:
    end = scenarios.end(name)
    assert end.code == -6
    assert text in end.printed
    assert "Condition failed" in end.printed
    assert end.seconds < 3 + TOLERANCE_SECONDS


# The book.


def test_a_gap_is_detected_at_once_and_costs_a_snapshot(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("depth-gap")
    (gap,) = observation.warnings_with("Book sequence gap")
    (clear,) = observation.lines_of("deltas", first="CLEAR")
    assert observation.seconds_after_start(gap) < TOLERANCE_SECONDS
    assert 0 <= clear["at"] - gap["at"] < TOLERANCE_SECONDS
    assert clear["count"] > 100


def test_a_stale_snapshot_is_requested_again_and_the_book_stops(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("stale-snapshot")
    (gap,) = observation.warnings_with("Book sequence gap")
    assert [line for line in observation.before_end("deltas") if line["ts_event"] / 1e9 > gap["at"]] == []
    (clear,) = observation.lines_of("deltas", first="CLEAR")
    assert observation.ended_at < clear["at"] < observation.ended_at + 5 + TOLERANCE_SECONDS
    assert observation.lines_of("socket") == []


def test_a_snapshot_refused_for_two_seconds_is_requested_again_then_without_a_warning(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("http: the book")
    (gap,) = observation.warnings_with("Book sequence gap")
    (clear,) = observation.lines_of("deltas", first="CLEAR")
    assert 1.9 < clear["at"] - gap["at"] < 2.5 + TOLERANCE_SECONDS
    assert observation.lines_of("log") == [gap]


def test_a_missing_snapshot_stops_the_book_only(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("hang: the book")
    (clear,) = observation.lines_of("deltas", first="CLEAR")
    assert observation.ended_at < clear["at"] < observation.ended_at + TOLERANCE_SECONDS
    assert all(observation.during_fault(kind) for kind in ("trade", "quote", "bar"))


# Requests.


def test_a_starting_node_waits_for_retry_after(scenarios: ScenarioRuns) -> None:
    end = scenarios.end("http: at the start")
    assert 3 < end.seconds < 5 + 2 * TOLERANCE_SECONDS
    assert "exchangeInfo" not in end.printed


def test_a_node_that_cannot_start_exits_after_its_timeout(scenarios: ScenarioRuns) -> None:
    end = scenarios.end("http: no start")
    assert end.code == 1
    assert "Failed to connect data client BINANCE" in end.printed
    assert re.search(r"RuntimeError: .*timeout", end.printed)
    assert 9.5 < end.seconds < 12 + 2 * TOLERANCE_SECONDS


def test_an_order_answered_with_a_server_error_is_rejected_after_half_a_minute(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("http")
    assert observation.events("LOST")[-2:] == ["OrderSubmitted", "OrderRejected"]
    rejected = observation.order("LOST", "OrderRejected")
    assert rejected["reason"] == "INFLIGHT_TIMEOUT"
    assert 25 < observation.seconds_after_start(rejected) < 40 + TOLERANCE_SECONDS


def test_an_order_that_hangs_is_submitted_until_the_fault_ends(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("hang")
    assert observation.events("HANGS")[-3:] == ["OrderSubmitted", "OrderAccepted", "OrderFilled"]
    assert (
        observation.ended_at
        < observation.order("HANGS", "OrderAccepted")["at"]
        < observation.ended_at + TOLERANCE_SECONDS
    )


# Orders and the account.


def test_a_refused_order_is_rejected_with_the_venues_code(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("reject-orders")
    assert observation.order("REFUSED", "OrderRejected")["reason"] == "code=-2010: NEW_ORDER_REJECTED"


def test_an_order_refused_for_overload_is_in_doubt(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("reject-orders: overloaded")
    assert observation.events("IN-DOUBT")[-1] == "OrderSubmitted"


def test_a_halt_is_detected_at_the_next_poll_and_orders_are_rejected(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("halt")
    assert "-4108" in observation.order("HALTED", "OrderRejected")["reason"]
    assert observation.seconds_after_start(observation.lines_of("status", action="HALT")[0]) < 1 + TOLERANCE_SECONDS
    assert observation.lines_of("status", action="TRADING")[0]["at"] < observation.ended_at + 1 + TOLERANCE_SECONDS
    assert observation.during_fault("bar")


def test_a_late_fill_is_a_fill(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("late-fill")
    for fill in observation.fills("late-fill"):
        assert 1.45 < fill["at"] - fill["ts_event"] / 1e9 < 1.5 + TOLERANCE_SECONDS
        assert (fill["reconciliation"], fill["fee"] is None) == (False, False)


def test_a_duplicated_fill_counts_once(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("duplicate-fill")
    fills = observation.fills("duplicate-fill")
    assert sum(Decimal(fill["last_qty"]) for fill in fills) == Decimal("0.010")
    assert len({fill["trade_id"] for fill in fills}) == len(fills)
    before, after = scenarios.observation("late-fill").lines_of("state")[-1], observation.lines_of("state")[-1]
    assert position_of(after) - position_of(before) == Decimal("0.010")


def test_an_external_trade_is_an_order_of_the_strategy_that_claims_the_instrument(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("external-trade")
    fill = observation.lines_of("order", event="OrderFilled")[0]
    assert (fill["reconciliation"], fill["side"]) == (True, "SELL")
    assert fill["client_order_id"].startswith("venue_")
    before, after = scenarios.observation("duplicate-fill").lines_of("state")[-1], observation.lines_of("state")[-1]
    assert position_of(after) - position_of(before) == Decimal("-0.050")
    assert after["positions"][0]["strategy"] == "S-001"


def position_of(state: Line) -> Decimal:
    """The total position."""
    return sum((Decimal(position["quantity"]) for position in state["positions"]), Decimal(0))


@pytest.mark.parametrize(("ms", "reason"), [(10_000, "outside of the recvWindow"), (-10_000, "ahead of the server")])
def test_with_a_large_clock_offset_every_order_is_refused(scenarios: ScenarioRuns, ms: int, reason: str) -> None:
    rejected = scenarios.observation(f"clock-skew: {ms}").order(f"SKEW{ms}", "OrderRejected")
    assert rejected["reason"].startswith("code=-1021")
    assert reason in rejected["reason"]


def test_a_small_clock_offset_has_no_effect_on_orders(scenarios: ScenarioRuns) -> None:
    assert scenarios.observation("clock-skew: 2000").events("SKEW2000")[-1] == "OrderFilled"


@pytest.mark.parametrize("name", ["swallow-ack", "swallow-ack: over http"])
def test_answers_are_not_needed_while_the_user_stream_works(scenarios: ScenarioRuns, name: str) -> None:
    observation = scenarios.observation(name)
    events = [event for event in observation.events("SWALLOWED") if "Pending" not in event]
    assert events[-4:] == ["OrderSubmitted", "OrderAccepted", "OrderUpdated", "OrderCanceled"]
    assert all(line["at"] < observation.ended_at for line in observation.lines_of("order", client_order_id="SWALLOWED"))


def test_missing_http_answers_are_in_doubt_and_change_nothing(scenarios: ScenarioRuns) -> None:
    observation = scenarios.observation("swallow-ack: over http")
    assert len(observation.warnings_with("Ambiguous")) == 3
    assert all(line["at"] > observation.ended_at for line in observation.warnings_with("Ambiguous"))
    assert observation.lines_of("state")[-1]["closed"]["SWALLOWED"] == "CANCELED"


def test_every_fault_was_observed(scenarios: ScenarioRuns) -> None:
    """Three faults concern a run, and are observed in paper runs: `forced-close` and `margin-call` by
    tests/integration/test_forced_close.py, `refuse-flatten` by tests/integration/test_refused_flatten.py."""
    elsewhere = {"forced-close", "margin-call", "refuse-flatten"}
    assert {name.partition(":")[0] for name in scenarios.names()} == FAULTS.keys() - elsewhere
