"""What NautilusTrader's own Binance adapters make of every fault of the venue, and when: live nodes, each a process.

Figures are bounds: wide enough for a busy machine, narrow enough that another behaviour of the engine fails here. The
table of docs/venue-faults.md says what was measured.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from time import time
from typing import Any

import pytest

from opslab.runs.processes.venue_control_client import ControlClient
from opslab.venue.faults.registry import FAULTS
from tests.drivers.control_client import TOKEN, active_fault
from tests.drivers.node_process import Line, NodeProcess
from tests.drivers.tc import wait_until
from tests.drivers.venue_client import SteppedVenue

MARKET, PUBLIC, USER, TRADING = SOCKETS = (
    "binance-futures-market-streams",
    "binance-futures-public-streams",
    "binance-futures-user-streams",
    "binance-futures-trading",
)
DATA = ("quote", "trade", "deltas", "bar")
TRADES, BARS = "btcusdt@aggTrade", "btcusdt@kline_1m"
SOON = 5.0
"""Seconds within which happens what should happen at once, on a busy machine."""
AT_WORK = 4
"""Scenes that are played at the same time."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a node told from the begin of a fault until it was over and done with."""

    begun: float
    ended: float
    """When the fault was over."""
    lines: list[Line]

    def told(self, what: str, **more: Any) -> list[Line]:
        return [line for line in self.lines if tells(what, **more)(line)]

    def held(self, what: str, left_out_seconds: float = 0.05) -> list[Line]:
        """What the venue said while it was held, however late it came. Bars have times of their own: what came then.

        left_out_seconds: at the end.
        """
        until = self.ended - left_out_seconds
        if what == "bar":
            return [line for line in self.told(what) if self.begun + 1 < line["at"] < until]
        return [line for line in self.told(what) if self.begun + 0.05 < line["ts_event"] / 1e9 < until]

    def meanwhile(self, what: str) -> list[Line]:
        """What was told before the fault's end."""
        return [line for line in self.told(what) if line["at"] < self.ended]

    def after(self, line: Line) -> float:
        """Seconds from the fault's begin."""
        return float(line["at"]) - self.begun

    def warned(self, text: str) -> list[Line]:
        return [line for line in self.told("log") if text in line["text"]]

    def warnings(self) -> Counter[str]:
        """How often each kind of warning came, by its first words."""
        return Counter(re.sub(r"[0-9].*", "", line["text"].partition(": ")[2])[:40] for line in self.told("log"))

    def events(self, id: str) -> list[str]:
        return [line["event"] for line in self.told("order", client_order_id=id)]

    def order(self, id: str, event: str) -> Line:
        (found,) = self.told("order", client_order_id=id, event=event)
        return found


class StrategyRecorder:
    """A node at a venue of its own."""

    def __init__(self, node: NodeProcess, venue_control: ControlClient, seen: dict[str, Seen]) -> None:
        """seen: gets what is watched."""
        self.node = node
        self.venue_control = venue_control
        self._seen = seen

    @contextmanager
    def watching(self, name: str) -> Iterator["Take"]:
        """What is told while the block lasts is kept under that name."""
        take = Take(self, len(self.node.lines))
        yield take
        ended = time() if take.ended is None else take.ended
        self._seen[name] = Seen(take.begun, ended, self.node.lines[take.first :])


class Take:
    """What is watched between two moments."""

    def __init__(self, watch: StrategyRecorder, first: int) -> None:
        self.first = first
        self.begun = time()
        self.ended: float | None = None
        self._watch = watch

    @contextmanager
    def active_fault(self, fault: str, **terms: Any) -> Iterator[None]:
        with active_fault(self._watch.venue_control, fault, 120.0, **terms):
            yield
            self.ended = time()

    def at_once(self, fault: str, **terms: Any) -> None:
        self._watch.venue_control.request("start", fault=fault, terms=terms)
        self.ended = time()

    def wait(self, what: str, count: int = 1, seconds: float = 30.0, **more: Any) -> Line:
        """The so-manyth line of the take that tells this."""
        return self._nth(self.first, tells(what, **more), f"{what} {more}", count, seconds)

    def wait_anew(self, what: str, count: int = 1) -> Line:
        """The so-manyth from now on."""
        return self._nth(len(self._watch.node.lines), tells(what), what, count)

    def warned(self, text: str, count: int = 1) -> Line:
        return self._nth(self.first, lambda line: line["kind"] == "log" and text in line["text"], text, count)

    def _nth(self, after: int, fits: Callable[[Line], bool], what: str, count: int, seconds: float = 30.0) -> Line:
        node = self._watch.node
        line: Line = {}
        for _ in range(count):
            line = node.wait_for(fits, what, after=after, seconds=seconds)
            after = node.lines.index(line, after) + 1
        return line

    def flows(self) -> None:
        """Comes back when each kind of data has come anew."""
        first = len(self._watch.node.lines)
        for what in DATA:
            self._watch.node.wait(what, after=first)

    def until(self, id: str, event: str, seconds: float = 30.0) -> None:
        self.wait("order", client_order_id=id, event=event, seconds=seconds)


def tells(what: str, **more: Any) -> Callable[[Line], bool]:
    return lambda line: line["kind"] == what and all(line.get(name) == value for name, value in more.items())


type Scene = Callable[[StrategyRecorder], None]


def lost_and_found(watch: StrategyRecorder) -> None:
    """Connections, silence, and what cannot be read."""
    for name in ("close", "reset"):
        with watch.watching(name) as take:
            take.at_once(name)
            for endpoint in SOCKETS:
                take.wait("socket", endpoint=endpoint, state="CONNECTED")
            take.wait("deltas", first="CLEAR")
            take.flows()
    with watch.watching("refuse") as take:
        with take.active_fault("refuse"):
            watch.venue_control.request("start", fault="close")
            take.warned("Reconnect attempt 4 failed")
        for endpoint in SOCKETS:
            take.wait("socket", endpoint=endpoint, state="CONNECTED")
        take.flows()
    with watch.watching("silence") as take:
        with take.active_fault("silence"):
            minutes = watch.venue_control.request("status")["minutes"]
            wait_for_minutes(watch, minutes + 6)
        take.flows()
    with watch.watching("silence: one stream") as take:
        with take.active_fault("silence", stream=TRADES):
            take.wait("bar", count=6)
        take.flows()
    with watch.watching("drop") as take:
        take.wait("trade")
        with take.active_fault("drop", stream=TRADES, count=20):
            take.wait("bar", count=6)
        take.flows()
    with watch.watching("garbage") as take:
        with take.active_fault("garbage"):
            take.warned("Failed to parse JSON message", count=300)
        take.flows()
    with watch.watching("garbage: null") as take:
        with take.active_fault("garbage", text="null"):
            wait_for_minutes(watch, watch.venue_control.request("status")["minutes"] + 3)
        take.flows()
    with watch.watching("wrong-types") as take:
        with take.active_fault("wrong-types"):
            for kind, count in {"book ticker": 150, "aggregate trade": 150, "depth update": 40, "kline": 8}.items():
                take.warned(f"Failed to parse {kind}", count)
        take.flows()


def late_and_double(watch: StrategyRecorder) -> None:
    """What comes late, twice, or not in its turn; and the book's chain."""
    for name in ("delay", "jitter"):
        with watch.watching(name) as take:
            with take.active_fault(name, ms=1_500):
                watch.node.wait_for(lambda line: late_ms(line) > 1_200, "a message that is late", after=take.first)
                take.wait_anew("trade", count=120)
            take.flows()
    with watch.watching("depth-gap") as take, take.active_fault("depth-gap"):
        take.wait("deltas", first="CLEAR")
        take.wait("deltas", count=20)
    with watch.watching("stale-snapshot") as take:
        with take.active_fault("stale-snapshot"), active_fault(watch.venue_control, "depth-gap"):
            take.warned("Book sequence gap")
            take.wait_anew("bar", count=6)
        take.wait("deltas", first="CLEAR")
        take.flows()
    terms = {"status": 429, "path": "/fapi/v1/depth", "retry_after": 2, "count": 1}
    with watch.watching("http: the book") as take, take.active_fault("http", **terms), active_fault(watch.venue_control, "depth-gap"):
        take.wait("deltas", first="CLEAR")
    with watch.watching("hang: the book") as take:
        with take.active_fault("hang", path="/fapi/v1/depth"), active_fault(watch.venue_control, "depth-gap"):
            take.warned("Book sequence gap")
            take.wait_anew("bar", count=4)
        take.wait("deltas", first="CLEAR")
    for name in ("duplicate", "reorder"):
        with watch.watching(name) as take:
            with take.active_fault(name):
                take.wait("bar", count=12)
            take.flows()


def orders_over_the_socket(watch: StrategyRecorder) -> None:
    """What befalls orders, and the account."""
    with watch.watching("reject-orders") as take, take.active_fault("reject-orders"):
        watch.node.place("REFUSED", "BUY", "0.010")
        take.until("REFUSED", "OrderRejected")
    with watch.watching("reject-orders: overloaded") as take, take.active_fault("reject-orders", code=-1008):
        watch.node.place("IN-DOUBT", "BUY", "0.010")
        take.until("IN-DOUBT", "OrderSubmitted")
        take.warned("Ambiguous WS submit failure for IN-DOUBT")
    with watch.watching("halt") as take:
        with take.active_fault("halt"):
            watch.node.place("HALTED", "BUY", "0.010")
            take.until("HALTED", "OrderRejected")
            take.wait("status", action="HALT")
            take.wait_anew("bar", count=4)
        take.wait("status", action="TRADING")
    for name, terms in {"late-fill": {"ms": 1_500}, "duplicate-fill": {}}.items():
        with watch.watching(name) as take, take.active_fault(name, **terms):
            watch.node.place(name, "BUY", "0.010")
            take.until(name, "OrderFilled")
            take.wait_anew("bar", count=2)
            watch.node.state()
    with watch.watching("external-trade") as take:
        take.at_once("external-trade", side="SELL", quantity="0.050")
        take.wait("order", event="OrderFilled")
        watch.node.state()
    for ms in (10_000, -10_000, 2_000):
        with watch.watching(f"clock-skew: {ms}") as take, take.active_fault("clock-skew", ms=ms):
            watch.node.place(f"SKEW{ms}", "BUY", "0.010")
            take.until(f"SKEW{ms}", "OrderFilled" if ms == 2_000 else "OrderRejected")
    with watch.watching("hang") as take:
        with take.active_fault("hang"):
            watch.node.place("HANGS", "BUY", "0.010")
            take.until("HANGS", "OrderSubmitted")
            take.wait_anew("bar", count=4)
        take.until("HANGS", "OrderFilled")
    with watch.watching("swallow-ack") as take:
        with take.active_fault("swallow-ack"):
            move_about(watch, take, "SWALLOWED")
            take.wait_anew("bar", count=2)
        take.wait_anew("bar", count=2)


def orders_over_http(watch: StrategyRecorder) -> None:
    """Orders whose outcome the node is not told: it waits for half a minute."""
    with watch.watching("http") as take:
        with take.active_fault("http", status=503, method="POST", path="/fapi/v1/order", count=1):
            watch.node.place("LOST", "BUY", "0.010")
            take.warned("Ambiguous submit failure for LOST")
        with watch.watching("swallow-ack: over http") as other:
            with other.active_fault("swallow-ack"):
                move_about(watch, other, "SWALLOWED")
            for what in ("submit", "modify", "cancel"):
                other.warned(f"Ambiguous {what} failure for SWALLOWED")
            watch.node.state()
        take.until("LOST", "OrderRejected", seconds=60)


def unheard(watch: StrategyRecorder) -> None:
    """Connections that are silent for a minute: with pongs nobody notices, without them they are opened anew."""
    with watch.watching("silence: no pongs") as take:
        with (
            take.active_fault("silence", which="market", pongs=False),
            watch.watching("silence: a fill") as other,
            other.active_fault("silence", which="user"),
        ):
            watch.node.place("UNTOLD", "BUY", "0.010")
            other.until("UNTOLD", "OrderFilled", seconds=40)
            for endpoint in (MARKET, PUBLIC):
                take.wait("socket", endpoint=endpoint, state="DISCONNECTED", seconds=60)
                take.wait("socket", endpoint=endpoint, state="CONNECTED")
        take.wait_anew("bar")


def move_about(watch: StrategyRecorder, take: Take, id: str) -> None:
    """Place, change and cancel an order."""
    watch.node.place(id, "BUY", "0.010", kind="limit", off=0.97)
    take.until(id, "OrderAccepted")
    watch.node.do("modify", id=id, quantity="0.011", price="40900.0")
    take.until(id, "OrderUpdated")
    watch.node.do("cancel", id=id)
    take.until(id, "OrderCanceled")


def late_ms(line: Line) -> float:
    """From what the venue says to when the node had it."""
    return (line["ts_init"] - line["ts_event"]) / 1e6 if line["kind"] == "trade" else 0.0


def wait_for_minutes(watch: StrategyRecorder, minutes: int) -> None:
    wait_until(lambda: watch.venue_control.request("status")["minutes"] >= minutes, f"{minutes} minutes of the market")


SCENES: dict[Scene, dict[str, Any]] = {
    unheard: {"all_data": False, "bypass_risk": True},
    orders_over_http: {"all_data": False, "bypass_risk": True, "use_ws_trading": False},
    lost_and_found: {},
    late_and_double: {},
    orders_over_the_socket: {"all_data": False, "bypass_risk": True, "poll_seconds": 1},
}


@dataclass(frozen=True, slots=True)
class End:
    """How a node ended that a fault was too much for."""

    code: int
    seconds: float
    """From the fault's begin."""
    printed: str
    lines: list[Line]


def killed(venue: SteppedVenue, folder: Path, name: str) -> End:
    with NodeProcess(venue.endpoints, folder / f"{name}.log") as node:
        node.wait("bar")
        begun = time()
        with ControlClient(venue.ledger, TOKEN) as venue_control, active_fault(venue_control, name):
            return End(node.exit_code(), time() - begun, node.printed, node.lines)


def starting(venue: SteppedVenue, folder: Path, name: str, **terms: Any) -> End:
    """A node that is started while requests for the instruments are answered with an error."""
    with (
        ControlClient(venue.ledger, TOKEN) as venue_control,
        active_fault(venue_control, "http", method="GET", path="/fapi/v1/exchangeInfo", **terms),
        NodeProcess(venue.endpoints, folder / f"{name}.log", connect_seconds=10, all_data=False) as node,
    ):
        begun = time()
        if "count" in terms:
            node.wait("ready")
            return End(0, time() - begun, node.printed, node.lines)
        return End(node.exit_code(40), time() - begun, node.printed, node.lines)


class Theatre:
    """All scenes, played at the same time as far as the machine goes; each is looked at by the tests it is for."""

    def __init__(self, home: Path, folder: Path, pool: ThreadPoolExecutor) -> None:
        self._home = home
        self._folder = folder
        self._seen: dict[str, Seen] = {}
        self._scenes = [pool.submit(self._play, scene, setup) for scene, setup in SCENES.items()]
        self._ends: Future[dict[str, End]] = pool.submit(self._end)

    def seen(self, name: str) -> Seen:
        """What a scene has shown, be it that the scene itself went wrong later."""
        failures = [found.exception() for found in self._scenes]
        if name not in self._seen:
            raise AssertionError(f"{name} was not played") from next((one for one in failures if one), None)
        return self._seen[name]

    def end(self, name: str) -> End:
        return self._ends.result()[name]

    def names(self) -> set[str]:
        for found in self._scenes:
            found.result()
        return self._seen.keys() | self._ends.result().keys()

    def _play(self, scene: Scene, setup: dict[str, Any]) -> None:
        with (
            self._venue(scene.__name__) as venue,
            NodeProcess(venue.endpoints, self._folder / f"{scene.__name__}.log", **setup) as node,
            ControlClient(venue.ledger, TOKEN) as venue_control,
        ):
            node.wait("ready")
            node.wait("bar")
            scene(StrategyRecorder(node, venue_control, self._seen))
            node.stop()

    def _end(self) -> dict[str, End]:
        with self._venue("ends") as venue:
            ends = {name: killed(venue, self._folder, name) for name in ("broken-ohlc", "zero-quantity")}
            ends["http: at the start"] = starting(venue, self._folder, "later", status=429, retry_after=3, count=1)
            ends["http: no start"] = starting(venue, self._folder, "never", status=503)
            return ends

    def _venue(self, name: str) -> SteppedVenue:
        return SteppedVenue(self._home, self._folder / name, speed=120.0, ticks=30, start="now", pace="clock")


@pytest.fixture(scope="module")
def theatre(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    with ThreadPoolExecutor(AT_WORK) as pool:
        yield Theatre(sample_home, tmp_path_factory.mktemp("theatre"), pool)


# Connections.


@pytest.mark.parametrize(("name", "words"), [("close", "Received close frame"), ("reset", "connection reset")])
def test_a_connection_that_is_lost_is_back_in_a_fifth_of_a_second(theatre: Theatre, name: str, words: str) -> None:
    seen = theatre.seen(name)
    assert len(seen.warned(words)) == 4
    for endpoint in SOCKETS:
        lost, *_ = seen.told("socket", endpoint=endpoint, state="DISCONNECTED")
        back, *_ = seen.told("socket", endpoint=endpoint, state="CONNECTED")
        assert seen.after(lost) < SOON
        assert 0.15 < back["at"] - lost["at"] < SOON
    assert seen.told("deltas", first="CLEAR")
    assert seen.warned("User data stream reconnected, triggering recovery")


def test_connections_that_are_refused_are_tried_again_at_growing_intervals(theatre: Theatre) -> None:
    seen = theatre.seen("refuse")
    assert all(seen.warned(f"Reconnect attempt {number} failed: I/O error: Connection refused") for number in (1, 2, 3))
    pauses = [float(line["text"].split()[-1].removesuffix("s...")) for line in seen.warned("Backing off for")]
    for least, most in ((0.5, 0.75), (1.0, 1.25), (2.0, 2.25)):
        assert any(least <= pause <= most for pause in pauses)
    assert max(pauses) < 5.3
    for endpoint in SOCKETS:
        lost, *_ = seen.told("socket", endpoint=endpoint, state="DISCONNECTED")
        back, *_ = seen.told("socket", endpoint=endpoint, state="CONNECTED")
        assert lost["at"] < seen.ended < back["at"] < seen.ended + 6.5 + SOON


def test_silence_is_not_noticed(theatre: Theatre) -> None:
    seen = theatre.seen("silence")
    assert all(seen.held(what) == [] for what in DATA)
    assert seen.told("socket") == []
    assert seen.warnings().keys() <= {"Book sequence gap for BTCUSDT-PERP.BINAN"}
    assert seen.meanwhile("log") == []


def test_one_silent_stream_is_not_noticed_and_the_others_go_on(theatre: Theatre) -> None:
    seen = theatre.seen("silence: one stream")
    assert seen.held("trade") == []
    assert all(seen.held(what) for what in ("quote", "deltas", "bar"))
    assert (seen.told("socket"), seen.told("log")) == ([], [])


def test_a_connection_that_answers_no_ping_is_opened_anew_after_forty_seconds(theatre: Theatre) -> None:
    seen = theatre.seen("silence: no pongs")
    for endpoint in (MARKET, PUBLIC):
        (lost,) = seen.told("socket", endpoint=endpoint, state="DISCONNECTED")
        back, *_ = seen.told("socket", endpoint=endpoint, state="CONNECTED")
        assert 38 < seen.after(lost) < 41 + SOON
        assert 0.15 < back["at"] - lost["at"] < SOON
    assert len(seen.warned("WebSocket Pong deadline expired")) == 2
    assert seen.told("socket", endpoint=USER) == []


def test_a_fill_that_is_not_told_is_found_by_asking_and_has_no_fee(theatre: Theatre) -> None:
    seen = theatre.seen("silence: a fill")
    fill = seen.order("UNTOLD", "OrderFilled")
    assert fill["reconciliation"] is True
    assert fill["fee"] is None
    assert 4 < seen.after(fill) < 15 + SOON
    assert seen.told("socket", endpoint=USER) == []


# Messages.


def test_what_is_delayed_shows_in_the_time_of_receipt(theatre: Theatre) -> None:
    seen = theatre.seen("delay")
    late = [late_ms(line) for line in seen.held("trade", left_out_seconds=1.55)]
    assert len(late) > 50
    assert min(late) > 1_450
    assert seen.told("socket") == seen.told("log") == []
    in_turn(seen)


def test_jitter_shows_in_the_time_of_receipt(theatre: Theatre) -> None:
    seen = theatre.seen("jitter")
    late = [late_ms(line) for line in seen.held("trade")]
    assert 1_200 < max(late) < 1_500 + 1_000 * SOON
    assert len({round(one / 50) for one in late}) > 3
    assert seen.told("socket") == seen.told("log") == []
    in_turn(seen)


def in_turn(seen: Seen) -> None:
    numbers = [int(line["trade_id"]) for line in seen.told("trade")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_duplicates_are_passed_on_twice_and_each_of_the_book_costs_a_snapshot(theatre: Theatre) -> None:
    seen = theatre.seen("duplicate")
    assert set(Counter(line["trade_id"] for line in seen.held("trade")).values()) == {2}
    _, *times, _ = Counter(line["ts_event"] for line in seen.held("bar")).values()
    assert set(times) == {2}
    assert len(seen.warned("Book sequence gap")) > 3
    assert len(seen.told("deltas", first="CLEAR")) > 3


def test_messages_out_of_turn_are_passed_on_as_they_come(theatre: Theatre) -> None:
    seen = theatre.seen("reorder")
    steps = Counter(
        int(after["trade_id"]) - int(before["trade_id"]) for before, after in pairwise(seen.held("trade")[1:-1])
    )
    assert steps.keys() == {-1, 3}
    assert seen.warned("Book sequence gap")


def test_trades_that_are_lost_are_not_missed(theatre: Theatre) -> None:
    seen = theatre.seen("drop")
    numbers = [int(line["trade_id"]) for line in seen.told("trade")]
    assert sorted(after - before for before, after in pairwise(numbers))[-2:] == [1, 21]
    assert seen.told("log") == []


def test_what_is_no_json_is_dropped_with_a_warning(theatre: Theatre) -> None:
    seen = theatre.seen("garbage")
    assert all(seen.held(what) == [] for what in DATA)
    assert len(seen.warned("Failed to parse JSON message")) >= 50
    assert seen.told("socket") == []


def test_json_that_is_no_event_is_dropped_without_a_word(theatre: Theatre) -> None:
    seen = theatre.seen("garbage: null")
    assert all(seen.held(what) == [] for what in DATA)
    assert seen.meanwhile("log") == []


def test_values_of_other_types_are_dropped_with_a_warning(theatre: Theatre) -> None:
    seen = theatre.seen("wrong-types")
    assert all(seen.held(what) == [] for what in DATA)
    assert seen.told("socket") == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken-ohlc", "panicked at crates/model/src/data/bar.rs"),
        ("zero-quantity", "panicked at crates/model/src/data/trade.rs"),
    ],
)
def test_a_candle_and_a_trade_that_cannot_be_kill_the_node(theatre: Theatre, name: str, words: str) -> None:
    end = theatre.end(name)
    assert end.code == -6
    assert words in end.printed
    assert "Condition failed" in end.printed
    assert end.seconds < 3 + SOON


# The book.


def test_a_gap_is_noticed_at_once_and_costs_a_snapshot(theatre: Theatre) -> None:
    seen = theatre.seen("depth-gap")
    (gap,) = seen.warned("Book sequence gap")
    (clear,) = seen.told("deltas", first="CLEAR")
    assert seen.after(gap) < SOON
    assert 0 <= clear["at"] - gap["at"] < SOON
    assert clear["count"] > 100


def test_a_stale_snapshot_is_asked_for_again_and_the_book_stands_still(theatre: Theatre) -> None:
    seen = theatre.seen("stale-snapshot")
    (gap,) = seen.warned("Book sequence gap")
    assert [line for line in seen.meanwhile("deltas") if line["at"] > gap["at"] + 0.2] == []
    (clear,) = seen.told("deltas", first="CLEAR")
    assert seen.ended < clear["at"] < seen.ended + 5 + SOON
    assert seen.told("socket") == []


def test_a_snapshot_that_is_refused_for_two_seconds_is_asked_for_again_then_without_a_word(theatre: Theatre) -> None:
    seen = theatre.seen("http: the book")
    (gap,) = seen.warned("Book sequence gap")
    (clear,) = seen.told("deltas", first="CLEAR")
    assert 1.9 < clear["at"] - gap["at"] < 2.5 + SOON
    assert seen.told("log") == [gap]


def test_a_snapshot_that_does_not_come_stops_the_book_alone(theatre: Theatre) -> None:
    seen = theatre.seen("hang: the book")
    (clear,) = seen.told("deltas", first="CLEAR")
    assert seen.ended < clear["at"] < seen.ended + SOON
    assert all(seen.held(what) for what in ("trade", "quote", "bar"))


# Requests.


def test_a_node_that_starts_waits_as_long_as_it_is_told(theatre: Theatre) -> None:
    end = theatre.end("http: at the start")
    assert 3 < end.seconds < 5 + 2 * SOON
    assert "exchangeInfo" not in end.printed


def test_a_node_that_is_not_let_in_gives_up(theatre: Theatre) -> None:
    end = theatre.end("http: no start")
    assert end.code == 1
    assert "Failed to connect data client BINANCE" in end.printed
    assert re.search(r"RuntimeError: .*timeout", end.printed)
    assert 9.5 < end.seconds < 12 + 2 * SOON


def test_an_order_whose_answer_is_an_error_is_rejected_after_half_a_minute(theatre: Theatre) -> None:
    seen = theatre.seen("http")
    assert seen.events("LOST")[-2:] == ["OrderSubmitted", "OrderRejected"]
    rejected = seen.order("LOST", "OrderRejected")
    assert rejected["reason"] == "INFLIGHT_TIMEOUT"
    assert 25 < seen.after(rejected) < 40 + SOON


def test_an_order_that_hangs_is_submitted_until_it_is_let_go(theatre: Theatre) -> None:
    seen = theatre.seen("hang")
    assert seen.events("HANGS")[-3:] == ["OrderSubmitted", "OrderAccepted", "OrderFilled"]
    assert seen.ended < seen.order("HANGS", "OrderAccepted")["at"] < seen.ended + SOON


# Orders and the account.


def test_an_order_that_is_refused_is_rejected_with_the_venues_code(theatre: Theatre) -> None:
    seen = theatre.seen("reject-orders")
    assert seen.order("REFUSED", "OrderRejected")["reason"] == "code=-2010: NEW_ORDER_REJECTED"


def test_an_order_that_is_refused_for_overload_is_in_doubt(theatre: Theatre) -> None:
    seen = theatre.seen("reject-orders: overloaded")
    assert seen.events("IN-DOUBT")[-1] == "OrderSubmitted"


def test_a_halt_is_seen_at_the_next_poll_and_orders_are_rejected(theatre: Theatre) -> None:
    seen = theatre.seen("halt")
    assert "-4108" in seen.order("HALTED", "OrderRejected")["reason"]
    assert seen.after(seen.told("status", action="HALT")[0]) < 1 + SOON
    assert seen.told("status", action="TRADING")[0]["at"] < seen.ended + 1 + SOON
    assert seen.held("bar")


def test_a_late_fill_is_a_fill(theatre: Theatre) -> None:
    seen = theatre.seen("late-fill")
    accepted, filled = seen.order("late-fill", "OrderAccepted"), seen.order("late-fill", "OrderFilled")
    assert 1.4 < filled["at"] - accepted["at"] < 1.5 + SOON
    assert (filled["reconciliation"], filled["fee"] is None) == (False, False)


def test_a_fill_that_is_told_twice_counts_once(theatre: Theatre) -> None:
    seen = theatre.seen("duplicate-fill")
    assert seen.events("duplicate-fill").count("OrderFilled") == 1
    before, after = theatre.seen("late-fill").told("state")[-1], seen.told("state")[-1]
    assert held(after) - held(before) == Decimal("0.010")


def test_a_trade_of_somebody_else_is_an_order_of_the_strategy_that_claims_the_instrument(theatre: Theatre) -> None:
    seen = theatre.seen("external-trade")
    fill = seen.told("order", event="OrderFilled")[0]
    assert (fill["reconciliation"], fill["side"]) == (True, "SELL")
    assert fill["client_order_id"].startswith("venue_")
    before, after = theatre.seen("duplicate-fill").told("state")[-1], seen.told("state")[-1]
    assert held(after) - held(before) == Decimal("-0.050")
    assert after["positions"][0]["strategy"] == "S-001"


def held(state: Line) -> Decimal:
    """The position."""
    return sum((Decimal(position["quantity"]) for position in state["positions"]), Decimal(0))


@pytest.mark.parametrize(("ms", "reason"), [(10_000, "outside of the recvWindow"), (-10_000, "ahead of the server")])
def test_a_clock_that_is_far_off_refuses_every_order(theatre: Theatre, ms: int, reason: str) -> None:
    rejected = theatre.seen(f"clock-skew: {ms}").order(f"SKEW{ms}", "OrderRejected")
    assert rejected["reason"].startswith("code=-1021")
    assert reason in rejected["reason"]


def test_a_clock_that_is_a_little_off_does_no_harm(theatre: Theatre) -> None:
    assert theatre.seen("clock-skew: 2000").events("SKEW2000")[-1] == "OrderFilled"


@pytest.mark.parametrize("name", ["swallow-ack", "swallow-ack: over http"])
def test_answers_are_not_needed_where_the_user_stream_speaks(theatre: Theatre, name: str) -> None:
    seen = theatre.seen(name)
    events = [event for event in seen.events("SWALLOWED") if "Pending" not in event]
    assert events[-4:] == ["OrderSubmitted", "OrderAccepted", "OrderUpdated", "OrderCanceled"]
    assert all(line["at"] < seen.ended for line in seen.told("order", client_order_id="SWALLOWED"))


def test_answers_over_http_that_are_cut_off_are_in_doubt_and_change_nothing(theatre: Theatre) -> None:
    seen = theatre.seen("swallow-ack: over http")
    assert len(seen.warned("Ambiguous")) == 3
    assert all(line["at"] > seen.ended for line in seen.warned("Ambiguous"))
    assert seen.told("state")[-1]["closed"]["SWALLOWED"] == "CANCELED"


def test_every_fault_was_seen_by_a_node(theatre: Theatre) -> None:
    assert {name.partition(":")[0] for name in theatre.names()} == FAULTS.keys()
