"""The engine child of a paper run: a real node with the real adapters, in its process, against a venue in another."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import pytest

from opslab.model.messages.engine_messages import UserStrategyPlan
from opslab.model.messages.paper_messages import EngineHeartbeat, FeedName, Flattened, NodeSnapshot
from opslab.runs.processes.venue_control_client import ControlClient
from tests.drivers.control_client import TOKEN, active_fault
from tests.drivers.engine_process import EngineProcess, PacedVenue
from tests.drivers.load import stretched
from tests.drivers.tc import wait_until
from tests.drivers.venue_process import VenueProcess

ENGINES = Path(__file__).parents[1] / "fakes" / "live_engines.py"
SPEED = 120.0
"""A bar every half second."""
DATA: tuple[FeedName, ...] = ("bars", "trades")


class Stage(Protocol):
    def __call__(self, strategy: str | None = None, **more: Any) -> EngineProcess: ...


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def venue(sample_home: Path, tmp_path: Path, stack: ExitStack) -> VenueProcess:
    return stack.enter_context(VenueProcess(sample_home, tmp_path / "venue", speed=SPEED))


@pytest.fixture
def engine(venue: VenueProcess, tmp_path: Path, stack: ExitStack) -> Stage:
    """Start one, at the venue of the test."""
    logs = iter(range(100))

    def start(strategy: str | None = None, **more: Any) -> EngineProcess:
        if strategy is not None:
            more |= {"scenario": "ops_smoke_demo"}
            more |= {"command": (sys.executable, "-P", str(ENGINES), strategy)}
        log = tmp_path / f"engine-{next(logs)}.log"
        return stack.enter_context(EngineProcess(more.pop("at", venue), log, **more))

    return start


@pytest.fixture
def venue_control(venue: VenueProcess, stack: ExitStack) -> ControlClient:
    return stack.enter_context(ControlClient(venue.ledger, TOKEN))


def open_at(venue: VenueProcess) -> tuple[Decimal, int]:
    """(position, open orders), as the venue says itself."""
    risk = venue.get("/fapi/v2/positionRisk", symbol="BTCUSDT")
    return Decimal(risk[0]["positionAmt"]), len(venue.get("/fapi/v1/openOrders", symbol="BTCUSDT"))


HELD = (Decimal("0.031"), 2)
"""What `Holds` and those like it have open."""
FLAT = (Decimal(0), 0)


def holding_all(found: EngineProcess) -> EngineProcess:
    """Comes back when it has filled and rests what it wants, and says so itself."""
    found.wait("heartbeat", lambda beat: _held(beat["node"]))
    return found


def _held(node: dict[str, Any]) -> bool:
    account = node["account"]
    return bool(account["positions"] and account["positions"][0]["signed_quantity"] == "0.031") and (
        len(account["open_orders"]) == 2
    )


def flattened(found: EngineProcess) -> Flattened:
    (told,) = found.told("flattened")
    return Flattened.model_validate(told)


def last_snapshot(found: EngineProcess) -> NodeSnapshot:
    assert set(found.told()[-1]) == {"result"}
    return NodeSnapshot.model_validate_json(json.dumps(found.told("snapshot")[-1]))


def why(found: EngineProcess) -> str:
    (closed,) = found.events("gate_closed")
    text: str = closed["reason"]
    return text


# The whole way.


def test_a_run_ends_with_its_last_bar_flat_and_says_so_in_order(venue: VenueProcess, engine: Stage) -> None:
    node = engine(rows=6)
    assert node.end() is None
    assert node.told("failure") == []
    keys = [next(iter(frame)) for frame in node.told() if "heartbeat" not in frame and "progress" not in frame]
    names = [frame["event"] for frame in node.told() if "event" in frame]
    assert names[:2] == ["engine_started", "scenario_registered"]
    assert keys[-4:] == ["flattened", "snapshot", "ended", "result"]
    assert why(node) == "last_bar"
    assert node.told("ended") == [{"bars": 6, "early": False}]
    assert flattened(node).flat
    assert flattened(node).seconds < stretched(1)
    assert open_at(venue) == FLAT
    result = node.told("result")[0]["counters"]
    standing = venue.ledger_state()
    assert result["fills_count"] == len(standing.trades) > 0
    assert result["orders_submitted"] == len(standing.orders)
    snapshot = last_snapshot(node)
    assert (snapshot.request_number, snapshot.account.open_orders, snapshot.account.positions) == (0, (), ())
    assert snapshot.account.balances
    assert Decimal(snapshot.account.balances[0].total) == standing.wallet


def test_beats_come_every_second_and_say_how_the_node_is(engine: Stage) -> None:
    node = holding_all(engine("Holds"))
    node.wait("heartbeat", lambda beat: beat["number"] == 5)
    beats = [EngineHeartbeat.model_validate_json(json.dumps(beat)) for beat in node.told("heartbeat")]
    assert [beat.number for beat in beats[:5]] == [1, 2, 3, 4, 5]
    came = [at for at, frame in node.frames if "heartbeat" in frame]
    assert all(0.5 < after - before < 1.8 for before, after in pairwise(came[:5]))
    last = beats[4]
    assert last.bars >= 6
    assert last.quotes > 50
    assert last.trades > 50
    assert last.last_bar_ns is not None
    assert set(last.feeds.values()) == {"live"}
    assert set(last.sockets.values()) == {"connected"}
    assert len(last.sockets) == 4
    ages = [age for age in last.ages_seconds.values() if age is not None]
    assert len(ages) == 3
    assert max(ages) < 1.5
    assert last.queue.state == "normal"
    assert not last.gate_closed
    assert 50 << 20 < last.memory_bytes < 500 << 20
    assert last.event_lag_ms is not None
    assert 0 <= last.event_lag_ms < stretched(500)
    assert 0 <= last.timer_lag_ms < stretched(500)


def test_a_snapshot_is_what_the_venue_has(venue: VenueProcess, engine: Stage) -> None:
    node = holding_all(engine("Holds"))
    node.say(snapshot=7)
    snapshot = NodeSnapshot.model_validate_json(json.dumps(node.wait("snapshot")))
    assert snapshot.request_number == 7
    (position,) = snapshot.account.positions or ()
    (risk,) = venue.get("/fapi/v2/positionRisk", symbol="BTCUSDT")
    assert (position.instrument, position.side) == ("BTCUSDT", "LONG")
    assert Decimal(position.signed_quantity) == Decimal(risk["positionAmt"])
    assert abs(Decimal(position.average_entry_price or 0) - Decimal(risk["entryPrice"])) <= Decimal("0.00001")
    orders = {str(order["orderId"]): order for order in venue.get("/fapi/v1/openOrders", symbol="BTCUSDT")}
    assert len(snapshot.account.open_orders or ()) == 2
    for order in snapshot.account.open_orders or ():
        theirs = orders[snapshot.venue_order_ids[order.client_order_id]]
        assert (order.side, order.type, order.status) == (theirs["side"], theirs["type"], "ACCEPTED")
        assert Decimal(order.price or 0) == Decimal(theirs["price"])
        assert Decimal(order.quantity) == Decimal(theirs["origQty"])
    (balance,) = snapshot.account.balances or ()
    assert (balance.asset, Decimal(balance.total)) == ("USDT", venue.ledger_state().wallet)
    assert {one.kind for one in snapshot.in_flight} <= {"fill"}


# Feeds.


def changes(node: EngineProcess, feed: FeedName) -> list[tuple[str, str]]:
    return [(one["from"], one["to"]) for one in node.events("feed_state_changed") if one["feed"] == feed]


def test_a_stream_that_is_silent_is_noticed_and_only_that(engine: Stage, venue_control: ControlClient) -> None:
    node = engine("Holds", silent_after={"bars": 60.0, "quotes": 60.0, "trades": 1.0})
    node.wait("heartbeat", lambda beat: set(beat["feeds"].values()) == {"live"})
    with active_fault(venue_control, "silence", stream="btcusdt@aggTrade"):
        noticed = node.wait_event("feed_state_changed", lambda one: one["to"] == "silent")
        assert noticed["feed"] == "trades"
        assert 1.0 < noticed["noticed_after_seconds"] < stretched(1.3)
        assert noticed["age_seconds"] == pytest.approx(noticed["noticed_after_seconds"], abs=0.01)
        node.wait("heartbeat", lambda beat: beat["feeds"] == {"bars": "live", "quotes": "live", "trades": "silent"})
    node.wait_event("feed_state_changed", lambda one: (one["from"], one["to"]) == ("silent", "live"))
    assert changes(node, "trades") == [("recovering", "live"), ("live", "silent"), ("silent", "live")]
    assert changes(node, "quotes") == [("recovering", "live")]


def test_a_lost_connection_is_noticed_and_so_is_its_return(engine: Stage, venue_control: ControlClient) -> None:
    node = engine("Holds")
    node.wait("heartbeat", lambda beat: set(beat["feeds"].values()) == {"live"})
    with active_fault(venue_control, "refuse", which="market"):
        venue_control.request("start", fault="close", terms={"which": "market"})
        for feed in (*DATA, "quotes"):

            def is_disconnection(change: dict[str, Any], feed: str = feed) -> bool:
                return (change["feed"], change["to"]) == (feed, "disconnected")

            noticed = node.wait_event("feed_state_changed", is_disconnection)
            assert noticed["noticed_after_seconds"] < stretched(0.5)
        down = node.wait("heartbeat", lambda beat: set(beat["feeds"].values()) == {"disconnected"})
        assert down["sockets"]["binance-futures-market-streams"] == "disconnected"
        assert down["sockets"]["binance-futures-trading"] == "connected"
    node.wait("heartbeat", lambda beat: beat["number"] > down["number"] and set(beat["feeds"].values()) == {"live"})
    for feed in (*DATA, "quotes"):
        assert changes(node, feed) == [
            ("recovering", "live"), ("live", "disconnected"), ("disconnected", "recovering"), ("recovering", "live"),
        ]  # fmt: skip
    numbers = [one["number"] for one in node.events("feed_state_changed")]
    assert numbers == list(range(1, len(numbers) + 1))


def test_what_was_filled_while_nobody_could_tell_is_known_again(
    venue: VenueProcess, engine: Stage, venue_control: ControlClient
) -> None:
    node = engine("Near")
    node.wait_event("order_event", lambda event: event["type"] == "OrderAccepted")
    with active_fault(venue_control, "refuse", which="user"):
        venue_control.request("start", fault="close", terms={"which": "user"})
        wait_until(lambda: open_at(venue) == (Decimal("0.010"), 0), "the venue to fill it", 30)
    wallet = str(venue.ledger_state().wallet.normalize())

    def known(beat: dict[str, Any]) -> bool:
        account = beat["node"]["account"]
        held = [one["signed_quantity"] for one in account["positions"]] == ["0.01"]
        return held and not account["open_orders"] and account["balances"][0]["total"] == wallet

    node.wait("heartbeat", known)
    (fill,) = [event for event in node.events("order_event") if event["type"] == "OrderFilled"]
    assert fill["reconciliation"] is True, "it was told by nobody"


def test_a_venue_that_was_killed_is_found_again(venue: VenueProcess, engine: Stage) -> None:
    node = holding_all(engine("Holds"))
    venue.kill()
    down = node.wait("heartbeat", lambda beat: set(beat["feeds"].values()) == {"disconnected"})
    venue.start()
    beat = node.wait("heartbeat", lambda beat: beat["bars"] > down["bars"] and set(beat["feeds"].values()) == {"live"})
    assert set(beat["sockets"].values()) == {"connected"}
    assert _held(beat["node"])
    assert open_at(venue) == HELD
    node.say(stop="max_seconds")
    assert node.end() is None
    assert flattened(node).flat
    assert open_at(venue) == FLAT


def test_a_connection_that_says_nothing_becomes_silent(engine: Stage, venue_control: ControlClient) -> None:
    with active_fault(venue_control, "silence", stream="btcusdt@kline_1m"):
        node = engine("Holds", silent_after={"bars": 1.0, "quotes": 60.0, "trades": 60.0})
        noticed = node.wait_event("feed_state_changed", lambda one: one["to"] == "silent")
        assert (noticed["feed"], noticed["from"], noticed["age_seconds"]) == ("bars", "recovering", None)


def test_a_blocked_handler_means_no_beats_and_then_one_again(engine: Stage) -> None:
    node = engine("Blocks", silent_after={"bars": 2.0, "quotes": 2.0, "trades": 2.0})
    blocked_at = node.when("event", lambda name: name == "scenario_action_triggered")
    late = node.wait("heartbeat", lambda beat: beat["timer_lag_ms"] > 2_000)
    behind = node.wait("heartbeat", lambda beat: beat["number"] == late["number"] + 1)
    came = [at for at, frame in node.frames if "heartbeat" in frame and at > blocked_at]
    assert 3.5 < came[0] - blocked_at < 5.5
    assert behind["timer_lag_ms"] < 2_000, "beats that were missed are not made up for"
    assert all(pair[1] != "silent" for feed in (*DATA, "quotes") for pair in changes(node, feed)), "the feeds went on"


# Bars.


def test_a_bar_that_comes_twice_is_told_and_neither_counted_nor_acted_on(
    engine: Stage, venue_control: ControlClient
) -> None:
    node = engine("TellsBars")
    node.wait("heartbeat", lambda beat: beat["bars"] >= 2)
    with active_fault(venue_control, "duplicate", which="market"):
        twice = node.wait_event("bar_out_of_order")
        assert twice == {"ts_event": twice["newest"], "newest": twice["newest"], "skipped": True}
    node.say(stop="max_seconds")
    assert node.end() is None
    seen = [one["ts_event"] for one in node.events("scenario_action_triggered")]
    assert seen == sorted(set(seen))
    assert node.told("result")[0]["counters"]["bars_seen"] == len(seen)


def test_a_user_s_strategy_gets_a_bar_twice_as_the_engine_gives_it(
    engine: Stage, venue_control: ControlClient, tmp_path: Path
) -> None:
    node = engine(own=user_strategy(tmp_path, "print('saw', bar.ts_event, flush=True)"))
    node.wait("heartbeat", lambda beat: beat["bars"] >= 2)
    with active_fault(venue_control, "duplicate", which="market"):
        twice = node.wait_event("bar_out_of_order")
        assert twice["skipped"] is False
    node.say(stop="max_seconds")
    assert node.end() is None
    saw = [line for line in node.printed.splitlines() if line.startswith("saw ")]
    assert saw.count(f"saw {twice['ts_event']}") == 2
    assert node.told("result")[0]["counters"]["bars_seen"] == len(set(saw))


@pytest.mark.parametrize("strategy", [None, "SeesNoBars"])
def test_at_full_speed_each_bar_is_told_once_its_orders_are_answered(
    sample_home: Path, tmp_path: Path, engine: Stage, strategy: str | None
) -> None:
    minutes = 60
    with PacedVenue(sample_home, tmp_path / "paced", minutes=minutes, ticks=4) as paced:

        def pass_on(frame: dict[str, Any]) -> None:
            if "bars_done" in frame:
                paced.handled(frame["bars_done"])

        node = engine(strategy, at=paced, rows=minutes, acknowledges_bars=True, on_frame=pass_on)
        assert node.end(60) is None
        assert node.told("bars_done") == list(range(1, minutes + 1))
        assert why(node) == "last_bar"
        if strategy is None:
            _assert_answered_between_bars(node)
            assert len(paced.ledger_state().orders) == node.told("result")[0]["counters"]["orders_submitted"] >= minutes


def _assert_answered_between_bars(node: EngineProcess) -> None:
    waiting: set[str] = set()
    for frame in node.told():
        if "bars_done" in frame:
            assert not waiting, frame
        elif frame.get("event") == "order_event":
            event = frame["payload"]
            name = event["client_order_id"]
            if event["type"] in ("OrderInitialized", "OrderPendingCancel"):
                waiting.add(name)
            elif event["type"] in ("OrderFilled", "OrderCanceled") or (
                event["type"] == "OrderAccepted" and _is_limit(node, name)
            ):
                waiting.discard(name)


def _is_limit(node: EngineProcess, name: str) -> bool:
    return any(one.get("order_type") == "LIMIT" for one in node.events("order_event") if one["client_order_id"] == name)


# The end.


def test_stop_leaves_the_venue_flat(venue: VenueProcess, engine: Stage) -> None:
    node = holding_all(engine("Holds"))
    assert open_at(venue) == HELD
    asked = time.monotonic()
    node.say(stop="max_seconds")
    node.wait("flattened")
    assert open_at(venue) == FLAT
    assert node.when("flattened") - asked < 1.0
    assert node.end() is None
    assert why(node) == "max_seconds"
    assert flattened(node).flat
    assert last_snapshot(node).account.open_orders == ()
    assert node.told("ended")[0]["early"] is True
    assert node.told("failure") == []


def test_leave_leaves(venue: VenueProcess, engine: Stage) -> None:
    node = holding_all(engine("Holds", on_stop="leave"))
    node.say(stop="max_seconds")
    assert node.end() is None
    assert flattened(node) == Flattened(flat=False, rounds=0, seconds=0.0)
    assert open_at(venue) == HELD
    assert len(last_snapshot(node).account.open_orders or ()) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_as_a_word_does(venue: VenueProcess, engine: Stage, number: signal.Signals) -> None:
    node = holding_all(engine("Holds"))
    node.signal(number)
    assert node.end() is None
    assert why(node) == number.name
    assert flattened(node).flat
    assert open_at(venue) == FLAT


def test_the_end_of_control_ends_it(venue: VenueProcess, engine: Stage) -> None:
    node = holding_all(engine("Holds"))
    node.let_go()
    assert node.end(10) is None
    assert why(node) == "control_lost"
    assert open_at(venue) == FLAT


def test_without_control_a_strategy_that_never_returns_does_not_keep_the_account_open(
    venue: VenueProcess, engine: Stage
) -> None:
    node = holding_all(engine("NeverReturns"))
    node.wait_event("scenario_action_triggered")
    node.let_go()
    failure = node.end(25)
    assert failure is not None
    assert "exit code 3" in failure.message
    assert open_at(venue) == FLAT


def test_a_strategy_that_raises_fails_the_run_and_the_account_is_flat(venue: VenueProcess, engine: Stage) -> None:
    node = engine("HoldsAndRaises")
    assert node.end() is None
    (failure,) = node.told("failure")
    assert (failure["kind"], failure["message"]) == ("strategy", "on_bar raised ValueError: a strategy's own mistake")
    assert "Traceback" in failure["detail"]
    assert why(node) == "failure"
    assert len(venue.ledger_state().orders) > 4, "it has traded"
    assert flattened(node).flat
    assert open_at(venue) == FLAT


def test_a_strategy_that_cannot_start_leaves_nothing_of_the_engine_before(venue: VenueProcess, engine: Stage) -> None:
    holding_all(engine("Holds")).kill()
    assert open_at(venue) == HELD
    node = engine("CannotStart", number=2)
    assert node.end() is None
    (failure,) = node.told("failure")
    assert (failure["kind"], failure["message"]) == ("strategy", "on_start raised ValueError: cannot start")
    assert flattened(node).flat
    assert open_at(venue) == FLAT


def test_behind_the_gate_nothing_is_ordered(venue: VenueProcess, engine: Stage) -> None:
    node = engine("Insists")
    node.wait_event("order_event", lambda event: event["type"] == "OrderAccepted")
    node.say(stop="max_seconds")
    assert node.end() is None
    assert flattened(node).flat
    assert open_at(venue) == FLAT
    reasons = node.told("result")[0]["denial_reasons"]
    assert reasons["RUN_IS_ENDING"] > 0


def test_orders_that_stand_in_a_row_to_be_sent_do_not_outlive_the_run(venue: VenueProcess, engine: Stage) -> None:
    """The adapter sends twenty a second, and the strategy orders a hundred."""
    node = engine("Insists")
    node.wait("heartbeat", lambda beat: len(beat["node"]["in_flight"]) > 100)
    asked = time.monotonic()
    node.say(stop="max_seconds")
    assert node.end() is None
    assert time.monotonic() - asked < stretched(15)
    assert flattened(node).flat
    assert open_at(venue) == FLAT


def test_what_the_engine_would_deny_is_closed_past_it(venue: VenueProcess, engine: Stage) -> None:
    node = engine("Piles", max_notional="1000")
    denied = node.wait_event("order_event", lambda event: event["type"] == "OrderDenied")
    assert "NOTIONAL" in denied["reason"]
    assert open_at(venue)[0] == Decimal("0.060")
    node.say(stop="max_seconds")
    assert node.end() is None
    assert flattened(node).flat
    assert open_at(venue) == FLAT
    assert last_snapshot(node).account.positions == ()


def test_a_node_that_its_strategy_stops_is_a_failure_and_the_account_is_flat(
    venue: VenueProcess, engine: Stage
) -> None:
    node = engine("StopsItself")
    assert node.end() is None
    (failure,) = node.told("failure")
    assert failure["message"] == "the node stopped before the end of the run"
    assert flattened(node).flat
    assert open_at(venue) == FLAT


# Starting, and starting again.


def test_a_second_engine_has_the_orders_and_the_position_of_the_first(venue: VenueProcess, engine: Stage) -> None:
    first = holding_all(engine("Holds"))
    first.say(snapshot=1)
    before = NodeSnapshot.model_validate_json(json.dumps(first.wait("snapshot")))
    first.kill()
    second = engine("SeesNoBars", number=2)
    beat = EngineHeartbeat.model_validate_json(json.dumps(second.wait("heartbeat")))
    assert beat.number == 1
    assert beat.node.account.open_orders == before.account.open_orders
    assert beat.node.venue_order_ids == before.venue_order_ids
    (mine,), (theirs,) = beat.node.account.positions or (), before.account.positions or ()
    assert (mine.side, mine.signed_quantity) == (theirs.side, theirs.signed_quantity)
    apart = Decimal(mine.average_entry_price or 0) - Decimal(theirs.average_entry_price or 0)
    assert abs(apart) <= Decimal("0.00001")
    second.say(stop="max_seconds")
    assert second.end() is None
    assert flattened(second).rounds == 1
    assert open_at(venue) == FLAT
    canceled = {event["client_order_id"] for event in second.events("order_event") if event["type"] == "OrderCanceled"}
    assert canceled == set(before.venue_order_ids), "they are the strategy's: it is told of them"


def test_a_strategy_that_claims_by_itself_keeps_its_way_and_the_account_is_flat_all_the_same(
    venue: VenueProcess, engine: Stage, tmp_path: Path
) -> None:
    holding_all(engine("Holds")).kill()
    second = engine(own=user_strategy(tmp_path, "pass", claims="ETHUSDT-PERP.BINANCE"), number=2)
    beat = EngineHeartbeat.model_validate_json(json.dumps(second.wait("heartbeat")))
    assert len(beat.node.account.open_orders or ()) == 2, "the node knows of what is nobody's here"
    second.say(stop="max_seconds")
    assert second.end() is None
    assert flattened(second).flat
    assert open_at(venue) == FLAT
    assert flattened(second).rounds == 1, "by the engine"
    assert not [event for event in second.events("order_event") if "-001-001-" in event["client_order_id"]]


def test_what_somebody_else_opened_is_closed_too(
    venue: VenueProcess, engine: Stage, venue_control: ControlClient
) -> None:
    node = holding_all(engine("Holds"))
    venue_control.request("start", fault="external-trade", terms={"side": "SELL", "quantity": "0.050"})
    node.say(stop="max_seconds")
    assert node.end() is None
    assert flattened(node).flat
    assert open_at(venue) == FLAT


def test_no_engine_of_a_run_repeats_an_order_id(venue: VenueProcess, engine: Stage) -> None:
    """Even when all of them begin in the same second, which their ids are made of."""
    nodes = [engine("Insists", number=number, on_stop="leave") for number in (1, 2)]
    for number, node in enumerate(nodes, 1):  # each is told of the other's orders, too

        def is_its_own(event: dict[str, Any], mine: str = f"-00{number}-001-") -> bool:
            return mine in event["client_order_id"]

        node.wait_event("order_event", is_its_own)
    for node in nodes:
        node.say(stop="max_seconds")
    for node in nodes:
        assert node.end() is None
    ids = [{event["client_order_id"] for event in node.events("order_event")} for node in nodes]
    ours = [{name for name in found if f"-00{number}-001-" in name} for number, found in enumerate(ids, 1)]
    seconds = [{name.split("-")[2] for name in found} for found in ours]
    assert seconds[0] & seconds[1], "they were to meet in a second"
    assert not ours[0] & ours[1]
    sent = [order["client_order_id"] for order in venue.ledger_state().orders.values()]
    assert len(sent) == len(set(sent))


def test_a_venue_that_is_not_there_is_a_clear_failure(venue: VenueProcess, engine: Stage) -> None:
    endpoints = venue.endpoints
    venue.stop()
    node = engine("Holds", endpoints=endpoints)
    assert node.end(40) is None
    (failure,) = node.told("failure")
    assert (failure["kind"], failure["message"]) == ("engine", "the node could not connect within 20 s")
    assert not flattened(node).flat
    assert node.told("ended")


def test_a_stop_works_while_the_node_connects(venue: VenueProcess, engine: Stage) -> None:
    endpoints = venue.endpoints
    venue.stop()
    node = engine("Holds", endpoints=endpoints)
    node.wait_event("scenario_registered")
    node.say(stop="max_seconds")
    assert node.end(8) is None
    assert why(node) == "max_seconds"
    assert not flattened(node).flat
    assert node.told("result")


def test_it_goes_nowhere_but_to_this_machine(venue: VenueProcess, engine: Stage) -> None:
    elsewhere = venue.endpoints.model_copy(update={"ws_url": "ws://192.0.2.1:80/ws"})
    node = engine("Holds", endpoints=elsewhere)
    assert node.end() is None
    (failure,) = node.told("failure")
    assert "not a loopback URL" in failure["message"]


def test_a_panic_is_printed(venue: VenueProcess, engine: Stage, venue_control: ControlClient) -> None:
    node = engine("Holds")
    node.wait("heartbeat", lambda beat: beat["bars"] >= 1)
    with active_fault(venue_control, "broken-ohlc"):
        failure = node.end()
    assert failure is not None
    assert "the engine panicked" in failure.message


def user_strategy(folder: Path, does: str, claims: str | None = None) -> UserStrategyPlan:
    """A user's strategy that does this with each bar. claims: the instrument whose orders it claims."""
    source = f"""
from nautilus_trader.model import BarType, InstrumentId, StrategyId
from nautilus_trader.trading import Strategy, StrategyConfig

class Claims(StrategyConfig):
    def __new__(cls):
        ids = [InstrumentId.from_str("{claims}")]
        return super().__new__(cls, strategy_id=StrategyId("MINE-007"), external_order_instrument_ids=ids)

class Mine(Strategy):
    def on_start(self):
        self.subscribe_bars(BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"))

    def on_bar(self, bar):
        {does}
"""
    (folder / "mine_live.py").write_text(source)
    config_path = "mine_live:Claims" if claims else None
    return UserStrategyPlan(folder=str(folder), path="mine_live:Mine", config_path=config_path, config="{}")
