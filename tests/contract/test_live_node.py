"""The engine child of a paper run: a real node with the real adapters in one process, the venue in another."""

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pytest

from opslab.model.messages.engine_messages import UserStrategyPlan
from opslab.model.messages.paper_messages import EngineHeartbeat, FeedName, Flattened, NodeSnapshot
from opslab.model.pipe.messages import Stop, TakeSnapshot
from opslab.runs.processes.venue_control_client import ControlClient
from tests.drivers.control_client import active_fault, control_client
from tests.drivers.engine_process import EngineProcess, PacedVenue
from tests.drivers.load import stretched
from tests.drivers.tc import wait_until
from tests.drivers.venue_client import SteppedVenue, VenueClient
from tests.drivers.venue_process import VenueProcess

ENGINES = Path(__file__).parents[1] / "fakes" / "live_engines.py"
SPEED = 120.0
"""A bar every half second."""
DATA: tuple[FeedName, ...] = ("bars", "trades")


class StartEngine(Protocol):
    def __call__(self, strategy: str | None = None, **options: Any) -> EngineProcess: ...


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def venue(request: pytest.FixtureRequest, sample_home: Path, tmp_path: Path, stack: ExitStack) -> VenueProcess:
    """With the parameter `stepped`, its market moves only when the test plays a minute."""
    if getattr(request, "param", None) == "stepped":
        return stack.enter_context(SteppedVenue(sample_home, tmp_path / "venue"))
    return stack.enter_context(VenueProcess(sample_home, tmp_path / "venue", speed=SPEED))


@pytest.fixture
def engine(venue: VenueProcess, tmp_path: Path, stack: ExitStack) -> StartEngine:
    """Starts an engine at the venue of the test."""
    logs = iter(range(100))

    def start(strategy: str | None = None, **options: Any) -> EngineProcess:
        if strategy is not None:
            options |= {"scenario": "ops_smoke_demo"}
            options |= {"command": (sys.executable, "-P", str(ENGINES), strategy)}
        log = tmp_path / f"engine-{next(logs)}.log"
        return stack.enter_context(EngineProcess(options.pop("at", venue), log, **options))

    return start


@pytest.fixture
def venue_control(venue: VenueProcess, stack: ExitStack) -> ControlClient:
    return stack.enter_context(control_client(venue.ledger))


def open_exposure(venue: VenueProcess) -> tuple[Decimal, int]:
    """(position, number of open orders), as the venue reports them."""
    risk = venue.get("/fapi/v2/positionRisk", symbol="BTCUSDT")
    return Decimal(risk[0]["positionAmt"]), len(venue.get("/fapi/v1/openOrders", symbol="BTCUSDT"))


HELD = (Decimal("0.031"), 2)
"""The exposure of `Holds` and its subclasses."""
FLAT = (Decimal(0), 0)


def wait_until_held(node: EngineProcess) -> EngineProcess:
    """Wait until a heartbeat of the node reports the whole exposure."""
    node.wait("heartbeat", lambda beat: _is_held(beat["node"]))
    return node


def _is_held(node: dict[str, Any]) -> bool:
    account = node["account"]
    return bool(account["positions"] and account["positions"][0]["signed_quantity"] == "0.031") and (
        len(account["open_orders"]) == 2
    )


def flattened(node: EngineProcess) -> Flattened:
    (message,) = node.messages("flattened")
    return Flattened.model_validate(message)


def last_snapshot(node: EngineProcess) -> NodeSnapshot:
    last = [message for message in node.messages() if "progress" not in message][-1]  # telemetry comes at any time
    assert set(last) == {"result"}
    return NodeSnapshot.model_validate_json(json.dumps(node.messages("snapshot")[-1]))


def order_events(node: EngineProcess) -> Counter[str]:
    """Its order events, by type."""
    return Counter(event["type"] for event in node.events("order_event"))


def wait_order_event(node: EngineProcess, kind: str, name_prefix: str) -> None:
    node.wait_event(
        "order_event", lambda event: event["type"] == kind and event["client_order_id"].startswith(name_prefix)
    )


def stop_reason(node: EngineProcess) -> str:
    (closed,) = node.events("gate_closed")
    reason: str = closed["reason"]
    return reason


# A complete run.


def test_a_run_ends_flat_after_its_last_bar_and_sends_its_end_in_order(
    venue: VenueProcess, engine: StartEngine
) -> None:
    node = engine(rows=6)
    assert node.end() is None
    assert node.messages("failure") == []
    keys = [
        next(iter(message)) for message in node.messages() if "heartbeat" not in message and "progress" not in message
    ]
    names = [message["event"]["name"] for message in node.messages() if "event" in message]
    assert names[:2] == ["engine_started", "scenario_registered"]
    assert keys[-4:] == ["flattened", "snapshot", "ended", "result"]
    assert stop_reason(node) == "last_bar"
    bars = len(node.messages("bar"))  # the venue goes on: bars may arrive while the node stops
    assert bars >= 6
    (ended,) = node.messages("ended")
    received = ended.pop("received")
    assert ended == {"bars": bars, "early": False}
    assert received >= bars
    assert flattened(node).flat
    assert flattened(node).seconds < stretched(1)
    assert open_exposure(venue) == FLAT
    assert node.messages("result")[0]["bars"] == bars
    ledger = venue.ledger_state()
    assert order_events(node)["OrderFilled"] == len(ledger.trades) > 0
    assert order_events(node)["OrderSubmitted"] == len(ledger.orders)
    snapshot = last_snapshot(node)
    assert (snapshot.request_number, snapshot.account.open_orders, snapshot.account.positions) == (0, (), ())
    assert snapshot.account.balances
    assert Decimal(snapshot.account.balances[0].total) == ledger.wallet


def test_heartbeats_are_sent_every_second_with_the_state_of_the_node(engine: StartEngine) -> None:
    node = wait_until_held(engine("Holds"))
    node.wait("heartbeat", lambda beat: beat["number"] == 5)
    beats = [EngineHeartbeat.model_validate_json(json.dumps(beat)) for beat in node.messages("heartbeat")]
    assert [beat.number for beat in beats[:5]] == [1, 2, 3, 4, 5]
    arrivals = [at for at, message in node.received if "heartbeat" in message]
    assert 2.5 < arrivals[4] - arrivals[0] < stretched(6)
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
    assert max(ages) < stretched(1.5)
    assert last.queue.state == "normal"
    assert not last.gate_closed
    assert 50 << 20 < last.memory_bytes < 500 << 20
    assert last.event_lag_ms is not None
    assert 0 <= last.event_lag_ms < stretched(500)
    assert 0 <= last.timer_lag_ms < stretched(500)


def test_a_snapshot_equals_the_account_at_the_venue(venue: VenueProcess, engine: StartEngine) -> None:
    node = wait_until_held(engine("Holds"))
    node.send(TakeSnapshot(request_number=7))
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
    assert {update.kind for update in snapshot.in_flight} <= {"fill"}


# Feeds.


def changes(node: EngineProcess, feed: FeedName) -> list[tuple[str, str]]:
    return [(change["from"], change["to"]) for change in node.events("feed_state_changed") if change["feed"] == feed]


def test_a_silent_stream_is_noticed_and_no_other(engine: StartEngine, venue_control: ControlClient) -> None:
    node = engine("Holds", silent_after={"bars": 60.0, "quotes": 60.0, "trades": 2.0})
    node.wait("heartbeat", lambda beat: set(beat["feeds"].values()) == {"live"})
    with active_fault(venue_control, "silence", stream="btcusdt@aggTrade"):
        noticed = node.wait_event("feed_state_changed", lambda change: change["to"] == "silent")
        assert noticed["feed"] == "trades"
        assert 2.0 < noticed["noticed_after_seconds"] < stretched(2.3)
        assert noticed["age_seconds"] == pytest.approx(noticed["noticed_after_seconds"], abs=0.01)
        node.wait("heartbeat", lambda beat: beat["feeds"] == {"bars": "live", "quotes": "live", "trades": "silent"})
    node.wait_event("feed_state_changed", lambda change: (change["from"], change["to"]) == ("silent", "live"))
    assert changes(node, "trades") == [("recovering", "live"), ("live", "silent"), ("silent", "live")]
    assert changes(node, "quotes") == [("recovering", "live")]


def test_a_lost_connection_is_noticed_and_so_is_its_return(engine: StartEngine, venue_control: ControlClient) -> None:
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
    numbers = [change["number"] for change in node.events("feed_state_changed")]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("venue", ["stepped"], indirect=True)
def test_a_fill_while_the_user_stream_is_down_is_known_afterwards(
    venue: SteppedVenue, engine: StartEngine, venue_control: ControlClient
) -> None:
    node = engine("Near")
    node.wait_event("order_event", lambda event: event["type"] == "OrderAccepted")
    with active_fault(venue_control, "refuse", 600.0, which="user"):
        venue_control.request("start", fault="close", terms={"which": "user"})
        node.wait("heartbeat", lambda beat: beat["sockets"]["binance-futures-user-streams"] == "disconnected")
        assert open_exposure(venue) == (Decimal(0), 1)
        venue.play(60)
        wait_until(lambda: open_exposure(venue) == (Decimal("0.010"), 0), "the venue to fill it")
    wallet = str(venue.ledger_state().wallet.normalize())

    def is_known(beat: dict[str, Any]) -> bool:
        account = beat["node"]["account"]
        is_held = [position["signed_quantity"] for position in account["positions"]] == ["0.01"]
        return is_held and not account["open_orders"] and account["balances"][0]["total"] == wallet

    node.wait("heartbeat", is_known)
    fills = [event for event in node.events("order_event") if event["type"] == "OrderFilled"]
    assert [fill["reconciliation"] for fill in fills] == [True], "no message of the user stream reported it"


def test_a_node_reconnects_to_a_venue_that_was_killed(venue: VenueProcess, engine: StartEngine) -> None:
    node = wait_until_held(engine("Holds"))
    venue.kill()
    down = node.wait("heartbeat", lambda beat: set(beat["feeds"].values()) == {"disconnected"})
    venue.start()
    live = ({"live"}, {"connected"})
    beat = node.wait(
        "heartbeat",
        lambda beat: (
            beat["bars"] > down["bars"] and (set(beat["feeds"].values()), set(beat["sockets"].values())) == live
        ),
    )
    assert _is_held(beat["node"])
    assert open_exposure(venue) == HELD
    node.send(Stop(reason="max_seconds"))
    assert node.end() is None
    assert flattened(node).flat
    assert open_exposure(venue) == FLAT


def test_a_connection_without_a_message_becomes_silent(engine: StartEngine, venue_control: ControlClient) -> None:
    with active_fault(venue_control, "silence", stream="btcusdt@kline_1m"):
        node = engine("Holds", silent_after={"bars": 1.0, "quotes": 60.0, "trades": 60.0})
        noticed = node.wait_event("feed_state_changed", lambda change: change["to"] == "silent")
        assert (noticed["feed"], noticed["from"], noticed["age_seconds"]) == ("bars", "recovering", None)


def test_a_blocked_handler_means_no_heartbeats_until_it_returns(engine: StartEngine) -> None:
    node = engine("Blocks", silent_after={"bars": 2.0, "quotes": 2.0, "trades": 2.0})
    blocked_at = node.arrival("event", lambda event: event["name"] == "scenario_action_triggered")
    late = node.wait("heartbeat", lambda beat: beat["timer_lag_ms"] > 2_000)
    next_beat = node.wait("heartbeat", lambda beat: beat["number"] == late["number"] + 1)
    arrivals = [at for at, message in node.received if "heartbeat" in message and at > blocked_at]
    assert 3.5 < arrivals[0] - blocked_at < stretched(5.5)
    assert next_beat["timer_lag_ms"] < 2_000, "missed heartbeats are not made up for"
    assert all(pair[1] != "silent" for feed in (*DATA, "quotes") for pair in changes(node, feed)), "the feeds continued"


# Bars.


def test_a_repeated_bar_is_reported_and_neither_counted_nor_passed_on(
    engine: StartEngine, venue_control: ControlClient
) -> None:
    node = engine("SendsBars")
    node.wait("heartbeat", lambda beat: beat["bars"] >= 2)
    with active_fault(venue_control, "duplicate", which="market"):
        repeated = node.wait_event("bar_out_of_order")
        assert repeated == {"ts_event": repeated["newest"], "newest": repeated["newest"], "skipped": True}
    node.send(Stop(reason="max_seconds"))
    assert node.end() is None
    bars = [payload["ts_event"] for payload in node.events("scenario_action_triggered")]
    assert bars == sorted(set(bars))
    assert node.messages("result")[0]["bars"] == len(bars)


def test_a_user_strategy_receives_a_repeated_bar(
    engine: StartEngine, venue_control: ControlClient, tmp_path: Path
) -> None:
    node = engine(user_strategy=user_strategy(tmp_path, "print('bar', bar.ts_event, flush=True)"))
    node.wait("heartbeat", lambda beat: beat["bars"] >= 2)
    with active_fault(venue_control, "duplicate", which="market"):
        repeated = node.wait_event("bar_out_of_order")
        assert repeated["skipped"] is False
    node.send(Stop(reason="max_seconds"))
    assert node.end() is None
    printed = [line for line in node.printed.splitlines() if line.startswith("bar ")]
    assert printed.count(f"bar {repeated['ts_event']}") == 2
    assert node.messages("result")[0]["bars"] == len(set(printed))


@pytest.mark.parametrize("strategy", [None, "SubscribesToNothing"])
def test_at_full_speed_each_bar_is_reported_once_its_orders_are_acknowledged(
    sample_home: Path, tmp_path: Path, engine: StartEngine, strategy: str | None
) -> None:
    minutes = 60
    with PacedVenue(sample_home, tmp_path / "paced", minutes=minutes, ticks=4) as paced:

        def pass_on(message: dict[str, Any]) -> None:
            if "bars_done" in message:
                paced.send_bars_done(message["bars_done"]["bars"])

        node = engine(strategy, at=paced, rows=minutes, acknowledges_bars=True, on_message=pass_on)
        assert node.end(60) is None
        assert [done["bars"] for done in node.messages("bars_done")] == list(range(1, minutes + 1))
        assert stop_reason(node) == "last_bar"
        if strategy is None:
            _assert_acknowledged_between_bars(node)
            assert len(paced.ledger_state().orders) == order_events(node)["OrderSubmitted"] >= minutes


def _assert_acknowledged_between_bars(node: EngineProcess) -> None:
    in_flight: set[str] = set()
    for message in node.messages():
        if "bars_done" in message:
            assert not in_flight, message
        elif "order_event" in message:
            event = message["order_event"]
            order_id = event["client_order_id"]
            if event["type"] in ("OrderInitialized", "OrderPendingCancel"):
                in_flight.add(order_id)
            elif event["type"] in ("OrderFilled", "OrderCanceled") or (
                event["type"] == "OrderAccepted" and _is_limit(node, order_id)
            ):
                in_flight.discard(order_id)


def _is_limit(node: EngineProcess, order_id: str) -> bool:
    events = [event for event in node.events("order_event") if event["client_order_id"] == order_id]
    return any(event.get("order_type") == "LIMIT" for event in events)


# The end of a run.


def test_stop_leaves_the_venue_flat(venue: VenueProcess, engine: StartEngine) -> None:
    node = wait_until_held(engine("Holds"))
    assert open_exposure(venue) == HELD
    requested_at = time.monotonic()
    node.send(Stop(reason="max_seconds"))
    node.wait("flattened")
    assert open_exposure(venue) == FLAT
    assert node.arrival("flattened") - requested_at < stretched(1.0)
    assert node.end() is None
    assert stop_reason(node) == "max_seconds"
    assert flattened(node).flat
    assert last_snapshot(node).account.open_orders == ()
    assert node.messages("ended")[0]["early"] is True
    assert node.messages("failure") == []


def test_on_stop_leave_changes_nothing(venue: VenueProcess, engine: StartEngine) -> None:
    node = wait_until_held(engine("Holds", on_stop="leave"))
    node.send(Stop(reason="max_seconds"))
    assert node.end() is None
    assert flattened(node) == Flattened(flat=False, rounds=0, seconds=0.0)
    assert open_exposure(venue) == HELD
    assert len(last_snapshot(node).account.open_orders or ()) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_as_a_command_does(venue: VenueProcess, engine: StartEngine, number: signal.Signals) -> None:
    node = wait_until_held(engine("Holds"))
    node.signal(number)
    assert node.end() is None
    assert stop_reason(node) == number.name
    assert flattened(node).flat
    assert open_exposure(venue) == FLAT


def test_the_end_of_control_ends_it(venue: VenueProcess, engine: StartEngine) -> None:
    node = wait_until_held(engine("Holds"))
    node.close_input()
    assert node.end(stretched(10)) is None
    assert stop_reason(node) == "control_lost"
    assert open_exposure(venue) == FLAT


def test_without_control_a_strategy_that_never_returns_does_not_keep_the_account_open(
    venue: VenueProcess, engine: StartEngine
) -> None:
    node = wait_until_held(engine("NeverReturns"))
    node.wait_event("scenario_action_triggered")
    node.close_input()
    failure = node.end(stretched(25))
    assert failure is not None
    assert "exit code 3" in failure.message
    assert open_exposure(venue) == FLAT


def test_a_strategy_that_raises_fails_the_run_and_the_account_is_flat(venue: VenueProcess, engine: StartEngine) -> None:
    node = engine("HoldsAndRaises")
    assert node.end() is None
    (failure,) = node.messages("failure")
    assert (failure["kind"], failure["message"]) == ("strategy", "on_bar raised ValueError: a strategy's own mistake")
    assert "Traceback" in failure["detail"]
    assert stop_reason(node) == "failure"
    assert len(venue.ledger_state().orders) > 4, "it has traded"
    assert flattened(node).flat
    assert open_exposure(venue) == FLAT


def test_a_strategy_that_cannot_start_still_flattens_the_exposure_of_the_engine_before(
    venue: VenueProcess, engine: StartEngine
) -> None:
    wait_until_held(engine("Holds")).kill()
    assert open_exposure(venue) == HELD
    node = engine("CannotStart", number=2)
    assert node.end() is None
    (failure,) = node.messages("failure")
    assert (failure["kind"], failure["message"]) == ("strategy", "on_start raised ValueError: cannot start")
    assert flattened(node).flat
    assert open_exposure(venue) == FLAT


def test_no_order_passes_the_closed_gate(venue: VenueProcess, engine: StartEngine) -> None:
    node = engine("Insists")
    node.wait_event("order_event", lambda event: event["type"] == "OrderAccepted")
    node.send(Stop(reason="max_seconds"))
    assert node.end() is None
    assert flattened(node).flat
    assert open_exposure(venue) == FLAT
    assert node.messages("result")[0]["gated"]["RUN_IS_ENDING"] > 0


def test_queued_orders_do_not_outlive_the_run(venue: VenueProcess, engine: StartEngine) -> None:
    """The adapter sends twenty a second, and the strategy creates a hundred."""
    node = engine("Insists")
    node.wait("heartbeat", lambda beat: len(beat["node"]["in_flight"]) > 100)
    requested_at = time.monotonic()
    node.send(Stop(reason="max_seconds"))
    assert node.end() is None
    assert time.monotonic() - requested_at < stretched(15)
    assert flattened(node).flat
    assert open_exposure(venue) == FLAT


def test_a_position_whose_closing_order_the_engine_denies_is_closed_over_rest(
    venue: VenueProcess, engine: StartEngine
) -> None:
    node = engine("Piles", max_notional="1000")
    denied = node.wait_event("order_event", lambda event: event["type"] == "OrderDenied")
    assert "NOTIONAL" in denied["reason"]
    assert open_exposure(venue)[0] == Decimal("0.060")
    node.send(Stop(reason="max_seconds"))
    assert node.end() is None
    assert flattened(node).flat
    assert open_exposure(venue) == FLAT
    assert last_snapshot(node).account.positions == ()


def test_a_node_that_its_strategy_stops_is_a_failure_and_the_account_is_flat(
    venue: VenueProcess, engine: StartEngine
) -> None:
    node = engine("StopsItself")
    assert node.end() is None
    (failure,) = node.messages("failure")
    assert failure["message"] == "the node stopped before the end of the run"
    assert flattened(node).flat
    assert open_exposure(venue) == FLAT


# Start and restart.


def test_a_second_engine_has_the_orders_and_the_position_of_the_first(venue: VenueProcess, engine: StartEngine) -> None:
    first = wait_until_held(engine("Holds"))
    first.send(TakeSnapshot(request_number=1))
    before = NodeSnapshot.model_validate_json(json.dumps(first.wait("snapshot")))
    first.kill()
    second = engine("SubscribesToNothing", number=2)
    beat = EngineHeartbeat.model_validate_json(json.dumps(second.wait("heartbeat")))
    assert beat.number == 1
    assert beat.node.account.open_orders == before.account.open_orders
    assert beat.node.venue_order_ids == before.venue_order_ids
    (mine,), (theirs,) = beat.node.account.positions or (), before.account.positions or ()
    assert (mine.side, mine.signed_quantity) == (theirs.side, theirs.signed_quantity)
    difference = Decimal(mine.average_entry_price or 0) - Decimal(theirs.average_entry_price or 0)
    assert abs(difference) <= Decimal("0.00001")
    second.send(Stop(reason="max_seconds"))
    assert second.end() is None
    assert flattened(second).rounds == 1
    assert open_exposure(venue) == FLAT
    canceled = {event["client_order_id"] for event in second.events("order_event") if event["type"] == "OrderCanceled"}
    assert canceled == set(before.venue_order_ids), "they belong to the strategy: it receives their events"


def test_a_strategy_keeps_its_own_claims_and_the_account_is_flat_all_the_same(
    venue: VenueProcess, engine: StartEngine, tmp_path: Path
) -> None:
    wait_until_held(engine("Holds")).kill()
    second = engine(user_strategy=user_strategy(tmp_path, "pass", claims="ETHUSDT-PERP.BINANCE"), number=2)
    beat = EngineHeartbeat.model_validate_json(json.dumps(second.wait("heartbeat")))
    assert len(beat.node.account.open_orders or ()) == 2, "the node has the orders that no strategy claims"
    second.send(Stop(reason="max_seconds"))
    assert second.end() is None
    assert flattened(second).flat
    assert open_exposure(venue) == FLAT
    assert flattened(second).rounds == 1, "by the engine"
    assert not [event for event in second.events("order_event") if "-001-001-" in event["client_order_id"]]


def test_an_external_position_is_closed_too(
    venue: VenueProcess, engine: StartEngine, venue_control: ControlClient
) -> None:
    node = wait_until_held(engine("Holds"))
    venue_control.request("start", fault="external-trade", terms={"side": "SELL", "quantity": "0.050"})
    node.send(Stop(reason="max_seconds"))
    assert node.end() is None
    assert flattened(node).flat
    assert open_exposure(venue) == FLAT


def test_a_strategy_receives_the_events_of_its_orders_alone_also_of_those_of_an_earlier_engine(
    venue: VenueProcess, engine: StartEngine, venue_control: ControlClient, tmp_path: Path
) -> None:
    rest = "self.cache.orders() or self.rest()"
    first = engine(user_strategy=user_strategy(tmp_path, rest), on_stop="leave")
    own = first.wait_event("order_event", lambda event: event["type"] == "OrderAccepted")["client_order_id"]
    first.kill()
    with VenueClient(venue.endpoints) as client:
        client.place("BUY", "0.010", "29000.0", newClientOrderId="by-hand").assert_ok()
        (tmp_path / "received").write_text("")
        second = engine(user_strategy=user_strategy(tmp_path, "pass"), number=2, earlier_order_ids=("mine-1",))
        second.wait("heartbeat", lambda beat: beat["bars"] >= 1)
        venue_control.request("start", fault="external-trade", terms={"side": "SELL", "quantity": "0.050"})
        for order in client.open_orders():
            client.cancel(order["orderId"]).assert_ok()
    wait_order_event(second, "OrderCanceled", own)
    wait_order_event(second, "OrderCanceled", "by-hand")
    wait_order_event(second, "OrderFilled", "venue_")
    second.send(Stop(reason="max_seconds"))
    assert second.end() is None
    received = {tuple(line.split()) for line in (tmp_path / "received").read_text().splitlines()}
    assert own == "mine-1"
    assert {name for _, name in received if "-002-001-" not in name} == {own}
    assert {("OrderCanceled", own), ("on_order_canceled", own)} <= received


def test_no_engine_of_a_run_repeats_an_order_id(venue: VenueProcess, engine: StartEngine) -> None:
    """Even when all of them start in the same second, which is a part of the ids."""
    nodes = [engine("Insists", number=number, on_stop="leave") for number in (1, 2)]
    for number, node in enumerate(nodes, 1):  # each also receives events of the other's orders

        def is_its_own(event: dict[str, Any], part: str = f"-00{number}-001-") -> bool:
            return part in event["client_order_id"]

        node.wait_event("order_event", is_its_own)
    for node in nodes:
        node.send(Stop(reason="max_seconds"))
    for node in nodes:
        assert node.end() is None
    ids = [{event["client_order_id"] for event in node.events("order_event")} for node in nodes]
    own = [{name for name in names if f"-00{number}-001-" in name} for number, names in enumerate(ids, 1)]
    seconds = [{name.split("-")[2] for name in names} for names in own]
    assert seconds[0] & seconds[1], "both must have sent orders in the same second"
    assert not own[0] & own[1]
    sent = [order["client_order_id"] for order in venue.ledger_state().orders.values()]
    assert len(sent) == len(set(sent))


def test_an_unreachable_venue_is_a_clear_failure(venue: VenueProcess, engine: StartEngine) -> None:
    endpoints = venue.endpoints
    venue.stop()
    node = engine("Holds", endpoints=endpoints)
    assert node.end(stretched(40)) is None
    (failure,) = node.messages("failure")
    assert (failure["kind"], failure["message"]) == ("engine", "the node could not connect within 20 s")
    assert not flattened(node).flat
    assert node.messages("ended")


def test_a_stop_works_while_the_node_connects(venue: VenueProcess, engine: StartEngine) -> None:
    endpoints = venue.endpoints
    venue.stop()
    node = engine("Holds", endpoints=endpoints)
    node.wait_event("scenario_registered")
    node.send(Stop(reason="max_seconds"))
    assert node.end(stretched(8)) is None
    assert stop_reason(node) == "max_seconds"
    assert not flattened(node).flat
    assert node.messages("result")


def test_an_endpoint_on_another_machine_is_refused(venue: VenueProcess, engine: StartEngine) -> None:
    elsewhere = venue.endpoints.model_copy(update={"ws_url": "ws://192.0.2.1:80/ws"})
    node = engine("Holds", endpoints=elsewhere)
    assert node.end() is None
    (failure,) = node.messages("failure")
    assert "not a loopback URL" in failure["message"]


def test_a_panic_is_printed(venue: VenueProcess, engine: StartEngine, venue_control: ControlClient) -> None:
    node = engine("Holds")
    node.wait("heartbeat", lambda beat: beat["bars"] >= 1)
    with active_fault(venue_control, "broken-ohlc"):
        failure = node.end()
    assert failure is not None
    assert "the engine panicked" in failure.message


def user_strategy(folder: Path, statement: str, claims: str | None = None) -> UserStrategyPlan:
    """A user strategy that executes a statement for each bar, and writes the order events that it receives to a file.

    claims: the instrument whose orders it claims.
    """
    source = f"""
from pathlib import Path

from nautilus_trader.model import BarType, ClientOrderId, InstrumentId, OrderSide, Price, Quantity, StrategyId
from nautilus_trader.trading import Strategy, StrategyConfig

class Claims(StrategyConfig):
    def __new__(cls):
        ids = [InstrumentId.from_str("{claims}")]
        return super().__new__(cls, strategy_id=StrategyId("MINE-007"), external_order_instrument_ids=ids)

class Mine(Strategy):
    def on_start(self):
        self.subscribe_bars(BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"))

    def on_bar(self, bar):
        {statement}

    def rest(self):
        instrument = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
        size, price = Quantity.from_str("0.010"), Price.from_str("30000.0")
        name = ClientOrderId("mine-1")
        self.submit_order(self.order_factory.limit(instrument, OrderSide.BUY, size, price, client_order_id=name))

    def on_order_event(self, event):
        self.note(type(event).__name__, event)

    def on_order_initialized(self, event):
        self.note("on_order_initialized", event)

    def on_order_filled(self, event):
        self.note("on_order_filled", event)

    def on_order_canceled(self, event):
        self.note("on_order_canceled", event)

    def note(self, name, event):
        with (Path(__file__).parent / "received").open("a") as file:
            file.write(f"{{name}} {{event.client_order_id}}\\n")
"""
    (folder / "mine_live.py").write_text(source)
    config_path = "mine_live:Claims" if claims else None
    return UserStrategyPlan(folder=str(folder), path="mine_live:Mine", config_path=config_path, config="{}")
