"""Every venue fault, through the control socket: it has its effect, ends in every way, and nothing remains."""

import json
import os
import random
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import count, islice, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from opslab.errors import Environment, LabError, Usage
from opslab.errors import Refused as Refusal
from opslab.model.messages.venue_messages import CONTROL_SOCKET
from opslab.runs.processes.venue_control_client import ControlClient
from opslab.store.venues.venue_files import TOKEN as TOKEN_FILE
from opslab.store.venues.venue_files import read_token
from opslab.venue.control.control_socket import MAX_CONTROL_CONNECTIONS, MAX_REQUEST_BYTES
from opslab.venue.faults.registry import FAULTS
from tests.drivers.control_client import (
    TOKEN,
    EventLog,
    FaultOwnerProcess,
    RawControlClient,
    active_fault,
    control_client,
)
from tests.drivers.tc import Tc, wait_until
from tests.drivers.venue_client import (
    LISTEN_KEY,
    ORDER,
    Closed,
    Frame,
    Refused,
    Socket,
    SteppedVenue,
    VenueClient,
    now_ms,
    order,
)

SPEED = 600.0
TICKS = 12
STACKS = 100
MAX_DELIVERY_MS = 3_000
"""Maximum delivery time of a message on a busy machine."""
TRADES, QUOTES, BARS, DEPTH = "btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@kline_1m", "btcusdt@depth@0ms"
TEXT, PONG = 1, 10
IMMEDIATE = [name for name, fault in FAULTS.items() if fault.is_immediate]
LASTING = [name for name, fault in FAULTS.items() if not fault.is_immediate]


@dataclass(frozen=True, slots=True)
class FaultScene:
    """A venue whose market runs, its control socket, and a client."""

    venue: SteppedVenue
    venue_control: ControlClient
    client: VenueClient
    log: EventLog
    before: dict[str, Any]
    """The transcript before any fault."""

    def wait_market(self) -> None:
        """Return when another minute has been closed."""
        minutes = self.venue_control.request("status")["minutes"]
        wait_until(lambda: self.venue_control.request("status")["minutes"] > minutes + 1, "the market to move")


@pytest.fixture(scope="module")
def venue(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedVenue]:
    folder = tmp_path_factory.mktemp("faults")
    with SteppedVenue(sample_home, folder, speed=SPEED, ticks=TICKS, start="now", pace="clock") as venue:
        yield venue
        log = EventLog(venue.ledger)
        assert log.of("bug") == []
        venue.stop()
        assert sorted(line["number"] for line in log.of("fault_started")) == sorted(
            line["number"] for line in log.of("fault_ended")
        )


@pytest.fixture(scope="module")
def before(venue: SteppedVenue) -> dict[str, Any]:
    return transcript(venue)


@pytest.fixture(scope="module")
def log(venue: SteppedVenue) -> EventLog:
    return EventLog(venue.ledger)


@pytest.fixture
def scene(venue: SteppedVenue, log: EventLog, before: dict[str, Any]) -> Iterator[FaultScene]:
    with control_client(venue.ledger) as venue_control, venue.client() as client:
        client.get("/fapi/v1/ping")  # opens its connection
        yield FaultScene(venue, venue_control, client, log, before)
        venue_control.request("stop_all")


# The effect of each fault while it is active.


def closes(scene: FaultScene) -> None:
    sockets = three_sockets(scene.client)
    scene.venue_control.request("start", fault="close", terms={"which": "user", "code": 4001})
    assert sockets["user"].wait_closed() == 4001
    assert all(answers_ping(sockets[kind]) for kind in ("market", "trading"))
    scene.venue_control.request("start", fault="close")
    assert [sockets[kind].wait_closed() for kind in ("market", "trading")] == [1001, 1001]


def resets(scene: FaultScene) -> None:
    sockets = three_sockets(scene.client)
    scene.venue_control.request("start", fault="reset", terms={"which": "trading"})
    with pytest.raises(ConnectionResetError):
        read_to_the_end(sockets["trading"])
    assert all(answers_ping(sockets[kind]) for kind in ("market", "user"))
    scene.venue_control.request("start", fault="reset")
    for kind in ("market", "user"):
        with pytest.raises(ConnectionResetError):
            read_to_the_end(sockets[kind])


def refuses(scene: FaultScene) -> None:
    sockets = three_sockets(scene.client)
    with active_fault(scene.venue_control, "refuse", which="user"):
        with pytest.raises(Refused) as error:
            scene.client.user_stream()
        assert (error.value.status, error.value.body["code"]) == (503, -1008)
        scene.client.stream(TRADES).read_event("aggTrade")
        assert scene.client.trading().call("ping")["status"] == 200
    with (
        active_fault(scene.venue_control, "refuse"),
        active_fault(scene.venue_control, "refuse", seconds=0.05) as shorter,
    ):
        scene.log.fault_end(shorter)
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                scene.client.stream(TRADES)
        assert all(answers_ping(opened) for opened in sockets.values())
        scene.client.get("/fapi/v1/ping")  # over the open connection


def is_silent(scene: FaultScene) -> None:
    sockets = three_sockets(scene.client)
    market = sockets["market"]
    with active_fault(scene.venue_control, "silence"):
        read_until_pong(market)
        scene.wait_market()
        market.ping(b"second ping")
        assert market.read_frame() == Frame(PONG, b"second ping")
    assert market.read_event("aggTrade")
    with active_fault(scene.venue_control, "silence", stream=TRADES):
        read_until_pong(market)
        counts = Counter(event["e"] for event in islice(iter(market.next, None), 100))
        assert counts["aggTrade"] == 0
        assert min(counts["bookTicker"], counts["kline"]) > 0
    with active_fault(scene.venue_control, "silence", pongs=False, which="market"):
        read_until_silent(market)
        market.ping(b"no answer")
        scene.wait_market()
        assert not readable(market)
        assert answers_ping(sockets["user"])
    assert market.read_event("aggTrade")


def is_late(scene: FaultScene) -> None:
    late = scene.client.stream(TRADES, QUOTES)
    late.read_event("aggTrade")
    with (
        active_fault(scene.venue_control, "delay", ms=1_500),
        active_fault(scene.venue_control, "delay", ms=700, which="market"),
    ):
        start_ms = now_ms()
        events = [event for event in timed(late, 200) if event["E"] > start_ms]
        assert all(event["delay_ms"] >= 2_200 for event in events)
        assert len(events) > 50
    assert_trades_in_order(late)


def jitters(scene: FaultScene) -> None:
    socket = scene.client.stream(TRADES)
    trade = socket.read_event("aggTrade")["a"]
    with active_fault(scene.venue_control, "jitter", ms=2_000):
        events = timed(socket, 200)
        assert [event["a"] for event in events] == list(range(trade + 1, trade + 201))
        late = [event["delay_ms"] for event in events]
        assert 1_000 < max(late) < 2_000 + MAX_DELIVERY_MS
        assert len(set(late)) > 10


def duplicates(scene: FaultScene) -> None:
    socket = scene.client.stream(TRADES)
    socket.read_event("aggTrade")
    with active_fault(scene.venue_control, "duplicate"):
        read_until_pong(socket)
        numbers = [socket.next()["a"] for _ in range(20)]
        assert numbers == sorted([*range(numbers[0], numbers[0] + 10)] * 2)


def reorders(scene: FaultScene) -> None:
    socket = scene.client.stream(TRADES)
    trade = socket.read_event("aggTrade")["a"]
    with active_fault(scene.venue_control, "reorder"):
        numbers = [trade]
        while numbers[-1] >= trade:
            trade = numbers[-1]
            numbers.append(socket.read_event("aggTrade")["a"])
        assert numbers[-2] == numbers[-1] + 1
        after = [socket.read_event("aggTrade")["a"] for _ in range(10)]
        first = numbers[-2] + 1
        assert after == [number for pair in range(first, first + 10, 2) for number in (pair + 1, pair)]


def drops(scene: FaultScene) -> None:
    socket = scene.client.stream(TRADES)
    first = socket.read_event("aggTrade")["a"]
    with active_fault(scene.venue_control, "drop", stream=TRADES, count=7):
        numbers = [first, *(socket.next()["a"] for _ in range(60))]
    assert sorted(after - before for before, after in pairwise(numbers))[-2:] == [1, 8]


def breaks_the_chain(scene: FaultScene) -> None:
    sockets = [scene.client.stream(DEPTH), scene.client.stream("btcusdt@depth@100ms")]
    chain = [[socket.read_event("depthUpdate")] for socket in sockets]
    with active_fault(scene.venue_control, "depth-gap", count=3):
        for socket, pushes in zip(sockets, chain, strict=True):
            pushes += [socket.next() for _ in range(20)]
            assert [before["u"] == after["pu"] for before, after in pairwise(pushes)].count(False) == 1


def is_stale(scene: FaultScene) -> None:
    socket = scene.client.stream(DEPTH)

    def ahead() -> int:
        """Number of update ids by which the requested book is ahead of its stream; negative: behind."""
        pushed = socket.read_event("depthUpdate")["u"]
        return int(scene.client.get("/fapi/v1/depth", symbol="BTCUSDT", limit=5)["lastUpdateId"] - pushed)

    assert ahead() >= 0
    with active_fault(scene.venue_control, "stale-snapshot", behind=10_000_000):
        assert ahead() < -5_000_000


def garbles(scene: FaultScene) -> None:
    sockets = three_sockets(scene.client)
    with active_fault(scene.venue_control, "garbage"):
        read_until_pong(sockets["market"])
        assert {sockets["market"].read_frame() for _ in range(20)} == {Frame(TEXT, b'{"e":"bookTicker",')}
    with active_fault(scene.venue_control, "garbage", which="user", text="<html>"):
        scene.client.place("BUY", "0.010").assert_ok()
        assert sockets["user"].read_frame() == Frame(TEXT, b"<html>")
        assert json.loads(scene.client.stream(TRADES).read_frame().data)["e"] == "aggTrade"


def changes_types(scene: FaultScene) -> None:
    socket = scene.client.stream(TRADES)
    plain = socket.read_event("aggTrade")
    with active_fault(scene.venue_control, "wrong-types"):
        read_until_pong(socket)
        retyped = socket.next()
    assert retyped.keys() == plain.keys()
    assert {name: type(retyped[name]) for name in "eapqm"} == {"e": str, "a": str, "p": float, "q": float, "m": int}


def breaks_candles(scene: FaultScene) -> None:
    for combined in (False, True):
        socket = scene.client.combined(BARS) if combined else scene.client.stream(BARS)
        with active_fault(scene.venue_control, "broken-ohlc"):
            klines = (message.get("data", message)["k"] for message in iter(socket.next, None))
            closed = list(islice((kline for kline in klines if kline["x"]), 12))
        assert [Decimal(kline["h"]) < Decimal(kline["l"]) for kline in closed].count(True) == 1
        assert Decimal(closed[-1]["h"]) >= Decimal(closed[-1]["l"])
        socket.drop()


def empties_trades(scene: FaultScene) -> None:
    for name in (TRADES, "btcusdt@trade"):
        socket = scene.client.stream(name)
        with active_fault(scene.venue_control, "zero-quantity", count=2):
            quantities = [socket.next()["q"] for _ in range(30)]
        assert quantities.count("0") == 2
        assert min(Decimal(text) for text in quantities if text != "0") > 0
        socket.drop()


def answers_with_a_status(scene: FaultScene) -> None:
    client = scene.client
    trading = client.trading()
    for status, code in {429: -1003, 418: -1003, 500: -1000, 502: -1000, 503: -1000, 504: -1000}.items():
        with active_fault(scene.venue_control, "http", status=status, path="/fapi/v1/time", retry_after=7):
            answer = client.request("GET", "/fapi/v1/time")
            assert (answer.error, answer.headers["retry-after"]) == ((status, code), "7")
            assert client.request("GET", "/fapi/v1/ping").status == 200
            answer_over_socket = trading.call("time")
            assert (answer_over_socket["status"], answer_over_socket["error"]["code"]) == (status, code)
            assert (data := answer_over_socket["error"]["data"])["retryAfter"] - data["serverTime"] == 7_000
    with active_fault(scene.venue_control, "http", status=503, method="POST", path=ORDER, count=2):
        assert client.request("GET", "/fapi/v1/time").status == 200
        assert [client.place("BUY", "0.010").status for _ in range(3)] == [503, 503, 200]
    with active_fault(scene.venue_control, "http", status=503):
        answer = client.request("GET", "/fapi/v1/ping")
        assert (answer.status, "retry-after" in answer.headers) == (503, False)


def hangs(scene: FaultScene) -> None:
    with scene.venue.client() as second_client:
        with active_fault(scene.venue_control, "hang", path="/fapi/v1/order"):
            connection = send_only(
                second_client, "POST", ORDER, **order("BUY", "0.010", "30000.0", newClientOrderId="hangs")
            )
            trading = scene.client.trading()
            trading.send_request("order.place", **order("BUY", "0.010", "30000.0", newClientOrderId="hangs-too"))
            scene.wait_market()
            assert scene.client.open_orders() == []
            assert not readable(connection)
            assert not readable(trading)
        assert status_of_answer(second_client) == 200
        assert trading.next()["status"] == 200
        names = {order["clientOrderId"] for order in scene.client.open_orders()}
        assert names == {"hangs", "hangs-too"}


def is_skewed(scene: FaultScene) -> None:
    client, socket = scene.client, scene.client.stream(TRADES)
    for ms in (60_000, -60_000):
        with (
            active_fault(scene.venue_control, "clock-skew", ms=ms + 1_000),
            active_fault(scene.venue_control, "clock-skew", ms=-1_000),
        ):
            assert abs(client.get("/fapi/v1/time")["serverTime"] - now_ms() - ms) < MAX_DELIVERY_MS
            read_until_pong(socket)
            assert abs(socket.next()["E"] - now_ms() - ms) < MAX_DELIVERY_MS
            early = client.place("BUY", "0.010", "30000.0")
            assert early.error == (400, -1021)
            client.place("BUY", "0.010", "30000.0", timestamp=now_ms() + ms).assert_ok()


def rejects(scene: FaultScene) -> None:
    client = scene.client
    resting = client.place("BUY", "0.010", "30000.0").answer["orderId"]
    trading = client.trading()
    for code, status in {-2010: 400, -2019: 400, -2027: 400, -4108: 400, -1008: 503}.items():
        with active_fault(scene.venue_control, "reject-orders", code=code):
            assert client.place("BUY", "0.010").error == (status, code)
            answer_over_socket = trading.call("order.place", **order("BUY", "0.010"))
            assert (answer_over_socket["status"], answer_over_socket["error"]["code"]) == (status, code)
            client.modify(resting, "BUY", "0.010", f"{30000 + code % 97}.0").assert_ok()
    with active_fault(scene.venue_control, "reject-orders"):
        client.cancel(resting).assert_ok()
    assert client.position()["positionAmt"] == "0.000"


def swallows(scene: FaultScene) -> None:
    client, user = scene.client, scene.client.user_stream()
    trading = client.trading()
    with scene.venue.client() as second_client:
        with active_fault(scene.venue_control, "swallow-ack", method="POST"):
            connection = send_only(
                second_client, "POST", ORDER, **order("BUY", "0.010", "30000.0", newClientOrderId="unanswered")
            )
            user.read_event("ORDER_TRADE_UPDATE", c="unanswered", x="NEW")
            trading.send_request("order.place", **order("BUY", "0.010", "30000.0", newClientOrderId="unanswered-too"))
            user.read_event("ORDER_TRADE_UPDATE", c="unanswered-too", x="NEW")
            scene.wait_market()
            assert not readable(connection)
            assert not readable(trading)
            resting = {row["clientOrderId"]: row["orderId"] for row in client.open_orders()}
            assert resting.keys() == {"unanswered", "unanswered-too"}
            client.cancel(resting["unanswered"]).assert_ok()
        assert status_of_answer(second_client) is None
        assert trading.call("order.cancel", symbol="BTCUSDT", orderId=resting["unanswered-too"])["status"] == 200
    assert client.open_orders() == []


def delays_fills(scene: FaultScene) -> None:
    client, user, market_sockets = scene.client, scene.client.user_stream(), sockets_with_listen_key(scene.client)
    with active_fault(scene.venue_control, "late-fill", ms=1_200):
        taken = client.place("BUY", "0.010", newOrderRespType="RESULT").answer
        assert taken["status"] == "FILLED"
        later = client.place("BUY", "0.010", "30000.0").answer["orderId"]
        events = user.read_until(lambda event: event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["x"] == "TRADE")
        updates = [(event["o"]["i"], event["o"]["x"]) for event in events if event["e"] == "ORDER_TRADE_UPDATE"]
        assert updates == [(taken["orderId"], "NEW"), (later, "NEW"), (taken["orderId"], "TRADE")]
        assert now_ms() - events[-1]["E"] >= 1_200
        for opened in market_sockets:
            assert [(order["i"], order["x"]) for order in orders_until(opened, taken["orderId"], "TRADE")] == updates
    with active_fault(scene.venue_control, "late-fill", ms=600_000):
        taken = client.place("SELL", "0.010", newOrderRespType="RESULT").answer
    user.read_event("ORDER_TRADE_UPDATE", i=taken["orderId"], x="TRADE")


def duplicates_fills(scene: FaultScene) -> None:
    client, user, market_sockets = scene.client, scene.client.user_stream(), sockets_with_listen_key(scene.client)
    with active_fault(scene.venue_control, "duplicate-fill"):
        order_id = client.place("BUY", "0.010").answer["orderId"]
        last = client.place("BUY", "0.010", "30000.0", newClientOrderId="last").answer["orderId"]
        for opened in market_sockets:
            fill_counts = Counter(order["t"] for order in orders_until(opened, last, "NEW") if order["x"] == "TRADE")
            assert set(fill_counts.values()) == {2}
        events = user.read_until(lambda event: event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["c"] == "last")
    counts = Counter(json.dumps(event) for event in events)
    count_by_execution = {(json.loads(text).get("o") or {}).get("x"): number for text, number in counts.items()}
    assert count_by_execution == {"NEW": 1, "TRADE": 2, None: 1}
    fills = client.signed_request("GET", "/fapi/v1/userTrades", symbol="BTCUSDT", orderId=order_id).answer
    assert {json.loads(text)["o"]["t"] for text, number in counts.items() if number == 2} == {
        fill["id"] for fill in fills
    }
    assert client.position()["positionAmt"] == "0.010"


def trades_externally(scene: FaultScene) -> None:
    client, user = scene.client, scene.client.user_stream()
    scene.venue_control.request("start", fault="external-trade", terms={"side": "SELL", "quantity": "0.025"})
    events = user.read_until(lambda event: event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["X"] == "FILLED")
    trade, account = events[-1]["o"], [event for event in events if event["e"] == "ACCOUNT_UPDATE"]
    assert (trade["S"], trade["q"], trade["o"]) == ("SELL", "0.025", "MARKET")
    assert account[-1]["a"]["P"][0]["pa"] == "-0.025"
    assert client.position()["positionAmt"] == "-0.025"
    with pytest.raises(Usage, match="the venue rejects the trade: -2019"):
        scene.venue_control.request("start", fault="external-trade", terms={"quantity": "90.000"})


def closes_by_force(scene: FaultScene) -> None:
    client, user = scene.client, scene.client.user_stream()
    with pytest.raises(Usage, match="the venue cannot close the position"):
        scene.venue_control.request("start", fault="forced-close", terms={})
    for kind, reason in {"liquidation": "5", "adl": None, "settlement": "7"}.items():
        resting = client.place("BUY", "0.010", "30000.0").answer["orderId"]
        client.place("BUY", "0.010").assert_ok()
        scene.venue_control.request("start", fault="forced-close", terms={"kind": kind})
        events = user.read_until(lambda event: event["e"] == "ORDER_TRADE_UPDATE" and "autoclose" in event["o"]["c"])
        while (forced := events[-1]["o"])["X"] != "FILLED":
            events += user.read_until(lambda event: event["e"] == "ORDER_TRADE_UPDATE")
        assert (forced["x"], forced["o"], forced["S"], forced["z"]) == ("CALCULATED", "LIQUIDATION", "SELL", "0.010")
        expired = [event["o"]["er"] for event in events if event.get("o", {}).get("X") == "EXPIRED"]
        assert expired == ([reason] if reason else [])
        assert client.position()["positionAmt"] == "0.000"
        if not reason:
            client.cancel(resting).assert_ok()


def calls_for_margin(scene: FaultScene) -> None:
    client, user = scene.client, scene.client.user_stream()
    with pytest.raises(Usage, match="the venue cannot call for margin: the account has no position"):
        scene.venue_control.request("start", fault="margin-call")
    client.place("BUY", "0.010").assert_ok()
    scene.venue_control.request("start", fault="margin-call")
    call = user.read_event("MARGIN_CALL")
    (position,) = call.pop("p")
    assert call.keys() - {"delay_ms"} == {"e", "E", "cw"}
    assert {key: position[key] for key in ("s", "ps", "pa", "mt", "iw")} == {
        "s": "BTCUSDT",
        "ps": "BOTH",
        "pa": "0.010",
        "mt": "CROSSED",
        "iw": "0",
    }
    assert Decimal(position["mm"]) == Decimal(position["mp"]) * Decimal("0.010") * Decimal("0.004")
    logged = scene.log.of("margin_call")[-1]
    assert (logged["position"], logged["wallet_balance"]) == ("0.010", call["cw"])
    assert (logged["mark_price"], logged["maintenance_margin"]) == (position["mp"], position["mm"])
    client.place("SELL", "0.010").assert_ok()


def halts(scene: FaultScene) -> None:
    client, socket = scene.client, scene.client.stream(TRADES)
    resting = client.place("BUY", "0.010", "30000.0").answer["orderId"]
    for status in ("HALT", "BREAK", "SETTLING", "CLOSE"):
        with active_fault(scene.venue_control, "halt", status=status):
            assert client.get("/fapi/v1/exchangeInfo")["symbols"][0]["status"] == status
            assert client.place("BUY", "0.010").error[1] == -4108
            assert socket.read_event("aggTrade")
    with active_fault(scene.venue_control, "halt"):
        client.cancel(resting).assert_ok()


def refuses_to_flatten(scene: FaultScene) -> None:
    scene.client.place("BUY", "0.010").assert_ok()
    scene.client.place("BUY", "0.010", "30000.0").assert_ok()
    with active_fault(scene.venue_control, "refuse-flatten"):
        for hold in (True, False):
            with pytest.raises(LabError) as refusal:
                scene.venue_control.request("flatten", reason="a test", hold=hold)
            assert type(refusal.value) is Refusal
        statement = scene.venue_control.request("statement")
        assert (statement["can_flatten"], len(statement["account"]["open_orders"])) == (False, 1)
        scene.client.place("BUY", "0.010").assert_ok()  # no hold
    assert scene.venue_control.request("statement")["can_flatten"] is True
    flattened = scene.venue_control.request("flatten", reason="a test")
    assert (flattened["canceled"], Decimal(flattened["closed"])) == (1, Decimal("0.020"))


EFFECTS: dict[str, Callable[[FaultScene], None]] = {
    "close": closes,
    "reset": resets,
    "refuse": refuses,
    "silence": is_silent,
    "delay": is_late,
    "jitter": jitters,
    "duplicate": duplicates,
    "reorder": reorders,
    "drop": drops,
    "depth-gap": breaks_the_chain,
    "stale-snapshot": is_stale,
    "garbage": garbles,
    "wrong-types": changes_types,
    "broken-ohlc": breaks_candles,
    "zero-quantity": empties_trades,
    "http": answers_with_a_status,
    "hang": hangs,
    "clock-skew": is_skewed,
    "reject-orders": rejects,
    "swallow-ack": swallows,
    "late-fill": delays_fills,
    "duplicate-fill": duplicates_fills,
    "external-trade": trades_externally,
    "margin-call": calls_for_margin,
    "forced-close": closes_by_force,
    "halt": halts,
    "refuse-flatten": refuses_to_flatten,
}


def test_every_fault_has_a_tested_effect() -> None:
    assert EFFECTS.keys() == FAULTS.keys()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_effect_while_it_is_active_and_none_afterwards(scene: FaultScene, name: str) -> None:
    scene.client.flatten()
    EFFECTS[name](scene)
    assert scene.venue_control.request("held") == []
    assert transcript(scene.venue) == scene.before


# Reading sockets.


def sockets_with_listen_key(client: VenueClient) -> list[Socket]:
    """Market sockets subscribed to the listen key by message: one without envelopes, one with."""
    key = client.request("POST", LISTEN_KEY).answer["listenKey"]
    sockets = [client.stream(TRADES), client.combined(TRADES)]
    for opened in sockets:
        opened.subscribe(key)
    return sockets


def orders_until(socket: Socket, order_id: int, kind: str) -> list[dict[str, Any]]:
    """The order updates of a socket, up to this execution type of this order."""
    orders: list[dict[str, Any]] = []
    while not orders or (orders[-1]["i"], orders[-1]["x"]) != (order_id, kind):
        message = socket.next()
        event = message.get("data", message)
        if event["e"] == "ORDER_TRADE_UPDATE":
            orders.append(event["o"])
    return orders


def three_sockets(client: VenueClient) -> dict[str, Socket]:
    """One socket of each kind, each in use."""
    market, user, trading = client.stream(TRADES, QUOTES, BARS), client.user_stream(), client.trading()
    market.read_event("aggTrade")
    assert trading.call("ping")["status"] == 200
    return {"market": market, "user": user, "trading": trading}


def read_until_pong(socket: Socket) -> None:
    """Read everything that was sent before now."""
    mark = os.urandom(8)
    socket.ping(mark)
    while socket.read_frame() != Frame(PONG, mark):
        pass


def answers_ping(socket: Socket) -> bool:
    read_until_pong(socket)
    return True


def read_until_silent(socket: Socket) -> None:
    """Read until nothing arrives for a while."""
    while readable(socket):
        socket.read_frame()


def readable(source: Socket | socket.socket, seconds: float = 0.3) -> bool:
    """Whether data arrives within `seconds`."""
    raw = source._socket if isinstance(source, Socket) else source
    return bool(isinstance(source, Socket) and source._received) or bool(select.select([raw], [], [], seconds)[0])


def read_to_the_end(socket: Socket) -> None:
    """Read raw data to the end. Raises ConnectionResetError."""
    while socket._socket.recv(1 << 16):
        pass


def timed(socket: Socket, number: int) -> list[dict[str, Any]]:
    """The next `number` messages, each with its delay."""
    return [{**(event := socket.next()), "delay_ms": now_ms() - event["E"]} for _ in range(number)]


def assert_trades_in_order(socket: Socket) -> None:
    """Assert that the next trades are consecutive."""
    numbers = [socket.read_event("aggTrade")["a"] for _ in range(20)]
    assert numbers == list(range(numbers[0], numbers[0] + 20))


def send_only(client: VenueClient, method: str, path: str, **params: Any) -> socket.socket:
    """Send a signed request without reading the answer; its connection."""
    text = urlencode({"timestamp": now_ms(), **params})
    client._connection.request(
        method, f"{path}?{text}&signature={client.signature(text)}", headers={"X-MBX-APIKEY": client.endpoints.api_key}
    )
    assert client._connection.sock
    return client._connection.sock


def status_of_answer(client: VenueClient) -> int | None:
    """The status of the answer; None when the connection was closed instead."""
    try:
        answer = client._connection.getresponse()
        answer.read()
    except OSError:
        client._connection.close()
        return None
    return answer.status


# The transcript of a venue.


def shape(value: Any) -> Any:
    """Names and types of a message."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def transcript(venue: SteppedVenue) -> dict[str, Any]:
    """The shapes of a client's exchange with the venue; the values are checked here."""
    with venue.client() as client:
        client.flatten()
        return {
            "requests": _requests(client),
            "orders": _orders(client),
            "streams": _streams(client),
            "refused": client.request("GET", "/fapi/v1/nowhere").error,
        }


def _requests(client: VenueClient) -> list[Any]:
    request_ms = now_ms()
    assert abs(client.get("/fapi/v1/time")["serverTime"] - request_ms) < MAX_DELIVERY_MS
    info = client.get("/fapi/v1/exchangeInfo")["symbols"][0]
    assert info["status"] == "TRADING"
    depth = client.get("/fapi/v1/depth", symbol="BTCUSDT", limit=5)
    return [shape(info), shape(depth), shape(client.account()["assets"][0])]


def _orders(client: VenueClient) -> list[Any]:
    """An order that rests and is canceled, one that is filled, one that closes the position."""
    user, trading = client.user_stream(), client.trading()
    resting = client.place("BUY", "0.010", "30000.0").answer
    canceled = client.cancel(resting["orderId"]).answer
    answers = [resting, canceled]
    for side in ("BUY", "SELL"):
        answer = trading.call("order.place", **order(side, "0.010"))
        assert answer["status"] == 200, answer
        answers.append(answer["result"])
    last = answers[-1]["orderId"]
    messages = user.read_until(lambda event: "o" in event and (event["o"]["i"], event["o"]["X"]) == (last, "FILLED"))
    events = [event for event in messages if event["e"] == "ORDER_TRADE_UPDATE"]
    read_until_pong(user)
    assert all(now_ms() - event["E"] < MAX_DELIVERY_MS for event in events)
    fills = [event["o"]["t"] for event in events if event["o"]["x"] == "TRADE"]
    assert len(set(fills)) == len(fills)
    steps = dict.fromkeys((event["o"]["i"] - resting["orderId"], event["o"]["x"]) for event in events)
    assert last == resting["orderId"] + 2
    assert client.position()["positionAmt"] == "0.000"
    return [[shape(answer) for answer in answers], list(steps), {event["o"]["x"]: shape(event) for event in events}]


def _streams(client: VenueClient) -> dict[str, Any]:
    socket = client.stream(TRADES, QUOTES, BARS, DEPTH)
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == sorted((TRADES, QUOTES, BARS, DEPTH))
    events: list[Any] = []
    missing = Counter({"aggTrade": 15, "bookTicker": 15, "closed": 1, "depthUpdate": 3})
    while missing.total():
        event = socket.next()
        assert now_ms() - event["E"] < MAX_DELIVERY_MS
        events.append(event)
        missing -= Counter(["closed" if event["e"] == "kline" and event["k"]["x"] else event["e"]])
    by_kind: dict[str, list[Any]] = {}
    for event in events:
        by_kind.setdefault(event["e"], []).append(event)
    trades = [event["a"] for event in by_kind["aggTrade"]]
    assert trades == list(range(trades[0], trades[0] + len(trades)))
    assert all(Decimal(event["q"]) > 0 for event in by_kind["aggTrade"])
    assert all(before["u"] == after["pu"] for before, after in pairwise(by_kind["depthUpdate"]))
    assert all(Decimal(event["k"]["l"]) <= Decimal(event["k"]["h"]) for event in by_kind["kline"])
    read_until_pong(socket)
    shapes = {kind: shape(kind_events[-1]) for kind, kind_events in sorted(by_kind.items())}
    shapes["depthUpdate"] = {**shapes["depthUpdate"], "a": None, "b": None}
    return shapes


# The end of a fault.


def by_stopping(scene: FaultScene, name: str) -> int:
    number = int(scene.venue_control.request("start", fault=name)["number"])
    cause_events(scene)
    assert scene.venue_control.request("stop", number=number)["fault"] == name
    return number


def by_its_duration(scene: FaultScene, name: str) -> int:
    number = int(scene.venue_control.request("start", fault=name, seconds=0.1)["number"])
    cause_events(scene)
    return number


def with_its_connection(scene: FaultScene, name: str) -> int:
    with control_client(scene.venue.ledger) as venue_control:
        number = int(venue_control.request("start", fault=name, **{"while": "connected"})["number"])
        assert [active["number"] for active in scene.venue_control.request("held")] == [number]
        cause_events(scene)
    return number


def with_its_process(scene: FaultScene, name: str) -> int:
    with FaultOwnerProcess(scene.venue.ledger, name) as owner:
        number = int(owner.answer["ok"]["number"])
        cause_events(scene)
        assert [active["number"] for active in scene.venue_control.request("held")] == [number]
        owner.kill()
    return number


ENDS = {
    "stopped": by_stopping,
    "expired": by_its_duration,
    "client_disconnected": with_its_connection,
    "client killed": with_its_process,
}


def cause_events(scene: FaultScene) -> None:
    """Cause events that a fault can affect: an order whose answer is not read, and a minute of the market."""
    send_only(scene.client, "POST", ORDER, **order("BUY", "0.010"))
    scene.wait_market()


@pytest.mark.parametrize("reason", ENDS)
@pytest.mark.parametrize("name", LASTING)
def test_however_a_fault_ends_the_venue_behaves_as_before(scene: FaultScene, name: str, reason: str) -> None:
    expected = scene.before
    with scene.venue.client() as client:
        trades_socket = client.stream(TRADES)
        trades_socket.read_event("aggTrade")
        number = ENDS[reason](scene, name)
        assert scene.log.fault_end(number)["reason"] == ("client_disconnected" if "client" in reason else reason)
        assert scene.venue_control.request("held") == []
        read_until_pong(trades_socket)
        assert_trades_in_order(trades_socket)
    assert transcript(scene.venue) == expected


@pytest.mark.parametrize("name", IMMEDIATE)
def test_an_immediate_fault_ends_at_once_whoever_started_it(scene: FaultScene, name: str) -> None:
    if name in ("forced-close", "margin-call"):  # they need a position
        scene.client.place("BUY", "0.010").assert_ok()
    with FaultOwnerProcess(scene.venue.ledger, name) as owner:
        active = owner.answer["ok"]
    assert active["remaining_seconds"] is None
    assert scene.log.fault_end(active["number"])["reason"] == "immediate"
    assert scene.venue_control.request("held") == []
    if name == "margin-call":
        scene.client.place("SELL", "0.010").assert_ok()
    assert transcript(scene.venue) == scene.before


# Faults combined.


def test_nothing_remains_of_a_hundred_stacks_of_faults(scene: FaultScene) -> None:
    expected = scene.before
    with ExitStack() as busy_clients:
        for activity in (reads_market, reads_account, trades):
            busy_clients.enter_context(BusyClient(scene.venue, activity))
        for seed in range(STACKS):
            _stack(scene, random.Random(seed))
            assert scene.venue_control.request("held") == []
    assert scene.log.of("bug") == []
    assert transcript(scene.venue) == expected


def _stack(scene: FaultScene, generator: random.Random) -> None:
    with control_client(scene.venue.ledger) as owner:
        started: list[int] = []
        for _ in range(generator.randint(2, 6)):
            name = generator.choice(list(FAULTS))
            options: dict[str, Any] = {"while": "connected"} if generator.random() < 0.3 else {"seconds": 30.0}
            with suppress(Usage):  # a trade while the symbol is halted
                started.append(owner.request("start", fault=name, **options)["number"])
            pause(generator)
        generator.shuffle(started)
        for number in started[: generator.randint(0, len(started))]:
            with suppress(LabError):  # already ended
                owner.request("stop", number=number)
            pause(generator)
    scene.venue_control.request("stop_all")
    for number in started:
        scene.log.fault_end(number)


def pause(generator: random.Random) -> None:
    """Let the market move a little between two faults."""
    threading.Event().wait(generator.choice((0.0, 0.01, 0.03)))


class BusyClient:
    """A client that continues, whatever the faults do to it, while the block lasts."""

    def __init__(self, venue: SteppedVenue, activity: Callable[[VenueClient], None]) -> None:
        self._venue = venue
        self._habit = activity
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(300)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.wait(0.002):
            with suppress(Closed, Refused, OSError, ValueError, AssertionError), self._venue.client() as client:
                client._connection.timeout = 0.2
                while not self._stop.is_set():
                    self._habit(client)


def reads_market(client: VenueClient) -> None:
    socket = client.stream(TRADES, QUOTES, BARS, DEPTH)
    socket._socket.settimeout(0.2)
    for _ in range(500):
        socket.read_frame()


def reads_account(client: VenueClient) -> None:
    socket = client.user_stream()
    socket._socket.settimeout(0.2)
    for _ in range(20):
        socket.read_frame()


def trades(client: VenueClient) -> None:
    client.place("BUY", "0.010")
    client.place("SELL", "0.010")
    client.signed_request("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")


def test_effects_of_several_faults_add_up(scene: FaultScene) -> None:
    socket = scene.client.stream(TRADES, QUOTES)
    socket.read_event("aggTrade")
    with (
        active_fault(scene.venue_control, "delay", ms=1_200),
        active_fault(scene.venue_control, "duplicate", stream=TRADES),
        active_fault(scene.venue_control, "silence", stream=QUOTES),
    ):
        start_ms = now_ms()
        events = [event for event in timed(socket, 150) if event["E"] > start_ms]
        assert {event["e"] for event in events} == {"aggTrade"}
        assert all(event["delay_ms"] >= 1_200 for event in events)
        assert set(Counter(event["a"] for event in events[:-1]).values()) <= {1, 2}
        numbers = [event["a"] for event in events]
        assert numbers == sorted(numbers)
        assert Counter(numbers).most_common(1)[0][1] == 2
    socket = scene.client.stream(BARS)
    with active_fault(scene.venue_control, "wrong-types"), active_fault(scene.venue_control, "broken-ohlc"):
        broken = socket.read_until(lambda event: event["k"]["h"] < event["k"]["l"])[-1]["k"]
        assert (type(broken["h"]), broken["x"]) == (float, 1)
    with active_fault(scene.venue_control, "garbage", text="null"), active_fault(scene.venue_control, "wrong-types"):
        read_until_pong(socket)
        assert socket.read_frame() == Frame(TEXT, b"null")


# Selection of messages.


def test_the_seed_decides_the_selection(sample_home: Path, tmp_path: Path) -> None:
    def selected(seed: int) -> list[int]:
        """Numbers of the first trades that were replaced, on a new venue; equal for two clients."""
        folder = tmp_path / str(next(starts))
        with (
            SteppedVenue(sample_home, folder, ticks=20) as venue,
            control_client(venue.ledger) as venue_control,
            venue.client() as client,
            venue.client() as second_client,
        ):
            venue_control.request(
                "start", fault="garbage", terms={"seed": seed, "share": 0.5, "stream": TRADES, "text": "0"}
            )
            sockets = [client.stream(TRADES), second_client.stream(TRADES, QUOTES)]
            sockets[0].request("LIST_SUBSCRIPTIONS")
            sockets[1].request("LIST_SUBSCRIPTIONS")
            client.stream(BARS)
            selections = []
            for socket in sockets:
                messages = (socket.next() for _ in count())
                trades = (event == 0 for event in messages if event == 0 or event["e"] == "aggTrade")
                selections.append([number for number, replaced in enumerate(islice(trades, 20)) if replaced])
            assert selections[0] == selections[1]
            return selections[0]

    starts = count()
    selection = selected(1)
    assert 3 <= len(selection) <= 17
    assert selected(1) == selection
    assert selected(2) != selection


# The event log.


def test_the_event_log_has_the_start_and_the_end_of_every_fault(scene: FaultScene) -> None:
    line_count = len(scene.log.lines())
    given: dict[str, dict[str, Any]] = {
        "delay": {"ms": 7},
        "http": {"status": 429, "retry_after": 3},
        "halt": {"status": "BREAK"},
    }
    start_seconds = time.time()
    numbers = {
        name: scene.venue_control.request("start", fault=name, terms=given.get(name, {}), seconds=60)["number"]
        for name in FAULTS
    }
    active_faults = scene.venue_control.request("held")
    assert [active["fault"] for active in active_faults] == LASTING
    assert all(59 < active["remaining_seconds"] <= 60 for active in active_faults)
    for name in reversed(LASTING):
        scene.venue_control.request("stop", number=numbers[name])
    lines = [line for line in scene.log.lines()[line_count:] if line["event"].startswith("fault_")]
    for name, number in numbers.items():
        first, last = [line for line in lines if line["number"] == number]
        stamps = ["event", "fault", "monotonic_s", "number", "terms", "time"]
        assert sorted(first.keys() - {"dropped"}) == stamps
        assert sorted(last.keys() - {"dropped"}) == sorted({*stamps, "reason"} - {"terms"})
        assert (first["event"], last["event"]) == ("fault_started", "fault_ended")
        assert (first["fault"], last["fault"]) == (name, name)
        assert first["terms"] == FAULTS[name].terms(**given.get(name, {})).model_dump()
        assert last["reason"] == ("immediate" if name in IMMEDIATE else "stopped")
        assert first["monotonic_s"] <= last["monotonic_s"]
    assert [line["monotonic_s"] for line in lines] == sorted(line["monotonic_s"] for line in lines)
    assert sorted(numbers.values()) == list(numbers.values())
    times = [datetime.fromisoformat(line["time"]).timestamp() for line in lines]
    assert times == sorted(times)
    assert start_seconds - 1 < times[0] <= times[-1] < time.time() + 1


# The control socket.


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"fault": "clsoe"}, "unknown fault 'clsoe'; did you mean close"),
        ({"fault": None}, "unknown fault"),
        ({"fault": "x" * 60_000}, "unknown fault"),
        ({"fault": "delay", "terms": {"ms": 0}}, "fault delay: ms:"),
        ({"fault": "delay", "terms": {"ms": 10**30}}, "fault delay: ms:"),
        ({"fault": "delay", "terms": {"more": 1}}, "fault delay has no term 'more'"),
        ({"fault": "delay", "terms": []}, "terms must be an object"),
        ({"fault": "delay", "terms": None}, "terms must be an object"),
        ({"fault": "delay", "seconds": "1"}, "seconds a number"),
        ({"fault": "delay", "seconds": True}, "seconds a number"),
        ({"fault": "delay", "seconds": 0}, "a fault lasts more than 0"),
        ({"fault": "delay", "seconds": 3601}, "a fault lasts more than 0"),
        ({"fault": "delay", "seconds": float("nan")}, "a fault lasts more than 0"),
        ({"fault": "delay", "seconds": float("inf")}, "a fault lasts more than 0"),
        ({"do": "stop", "number": 10**9}, "fault 1000000000 is not active"),
        ({"do": "stop"}, "number must be that of an active fault"),
        ({"do": "stop", "number": "1"}, "number must be that of an active fault"),
        ({"do": "restart"}, "unknown command"),
        ({"do": None}, "unknown command"),
        ({"do": ["held"]}, "unknown command"),
        ({"do": "held", "token": ""}, "wrong token"),
        ({"do": "held", "token": TOKEN + "x"}, "wrong token"),
        ({"do": "held", "token": TOKEN[:-1]}, "wrong token"),
        ({"do": "held", "token": None}, "wrong token"),
        ({"do": "held", "token": [TOKEN]}, "wrong token"),
        ({"do": "held", "token": "\u00e4" * 10}, "wrong token"),
    ],
)
def test_an_invalid_request_is_an_error_and_the_connection_stays_open(
    scene: FaultScene, request_: dict[str, Any], error: str
) -> None:
    with RawControlClient(scene.venue.ledger) as venue_control:
        answer = venue_control.request(**{"do": "start", **request_})
        assert sorted(answer) == ["error", "exit_code", "hint"]
        assert error in answer["error"]
        assert answer["exit_code"] == (5 if "token" in error or "not active" in error else 2)
        assert venue_control.request("held") == {"ok": []}


def test_without_the_token_every_request_is_refused(scene: FaultScene) -> None:
    with RawControlClient(scene.venue.ledger) as venue_control:
        for request in ({}, {"do": "list"}, {"do": "nonsense"}, {"do": "start", "fault": "nonsense"}):
            venue_control.send(json.dumps(request).encode() + b"\n")
            assert venue_control.answer()["error"] == "wrong token"
    with (
        pytest.raises(Environment, match="wrong token"),
        ControlClient(scene.venue.ledger, "wrong") as stranger,
    ):
        stranger.request("held")


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"{", b"null", b"[]", b'"held"', b"\xff\xfe", b"\x00" * 100, b"[" * 60_000, b'{"a":' * 10_000),
        *(b"GET /fapi/v1/time HTTP/1.1\r", b'{"token":"\\ud800","do":"held"}'),
    ],
)
def test_a_line_that_is_no_request_gets_an_error(scene: FaultScene, line: bytes) -> None:
    with RawControlClient(scene.venue.ledger) as venue_control:
        venue_control.send(line + b"\n")
        assert venue_control.answer()["error"] in ("a request is a JSON object", "wrong token")
        assert venue_control.request("held") == {"ok": []}


def test_an_overlong_line_closes_its_connection_only(scene: FaultScene) -> None:
    for data in (b"x" * (1 << 20), b'{"a":"' + b"x" * (1 << 20) + b'"}\n', b"x" * (MAX_REQUEST_BYTES + 1)):
        with RawControlClient(scene.venue.ledger) as venue_control:
            venue_control.send(data)
            assert venue_control.answer() is None
    with RawControlClient(scene.venue.ledger) as venue_control:
        venue_control.send(b'{"token":"contract","do":"he')
        venue_control.half_close()
        assert (venue_control.answer() or {"error": None})["error"] in (None, "a request is a JSON object")
    with RawControlClient(scene.venue.ledger) as venue_control:
        request = json.dumps({"token": TOKEN, "do": "held"}).encode() + b"\n"
        for at in range(len(request)):
            venue_control.send(request[at : at + 1])
        assert venue_control.answer() == {"ok": []}
        venue_control.send(request * 100)
        assert [venue_control.answer() for _ in range(100)] == [{"ok": []}] * 100
    assert transcript(scene.venue) == scene.before


def test_connections_beyond_the_limit_are_closed_and_the_others_stay(scene: FaultScene) -> None:
    with ExitStack() as stack:
        accepted = [_open_connection(stack, scene) for _ in range(MAX_CONTROL_CONNECTIONS - 1)]
        number = accepted[0].request("start", fault="drop", **{"while": "connected"})["ok"]["number"]
        assert all("ok" in venue_control.request() for venue_control in accepted)
        for _ in range(50):
            rejected = stack.enter_context(RawControlClient(scene.venue.ledger))
            assert rejected.answer() is None
        assert all(
            [active["number"] for active in venue_control.request()["ok"]] == [number] for venue_control in accepted
        )
    scene.log.fault_end(number)
    wait_until(lambda: scene.venue_control.request("held") == [], "free connections")


def _open_connection(stack: ExitStack, scene: FaultScene) -> RawControlClient:
    """A connection that is answered, once the venue has noticed that earlier ones are closed."""
    connections: list[RawControlClient] = []

    def is_answered() -> bool:
        venue_control = stack.enter_context(RawControlClient(scene.venue.ledger))
        connections.append(venue_control)
        return "ok" in (venue_control.request() or {})

    wait_until(is_answered, "a free connection")
    return connections[-1]


def test_the_control_socket_cannot_be_reached_through_the_exchanges_port(scene: FaultScene) -> None:
    request = {"token": TOKEN, "do": "start", "fault": "refuse"}
    client = scene.client
    for path in (
        "/control.sock",
        "/control",
        "/door",
        "/fault",
        "/fapi/v1/fault",
        f"/{TOKEN_FILE}",
        "/../control.sock",
    ):
        for method in ("GET", "POST"):
            answer = client.send(method, path, body=json.dumps(request) if method == "POST" else None)
            assert answer.error == (404, -5000)
    for opened in (client.stream(), client.trading(), client.user_stream()):
        opened.send(request)
        read_until_pong(opened)
    with socket.create_connection(("127.0.0.1", scene.venue.port)) as raw:
        raw.sendall(json.dumps(request).encode() + b"\n\r\n\r\n")
        raw.settimeout(10)
        assert raw.recv(1 << 16).startswith(b"HTTP/1.")
    assert scene.venue_control.request("held") == []


def test_only_the_owner_has_access_and_the_token_is_visible_nowhere_else(tc: Tc) -> None:
    serving = tc.start("venue", "serve", "--dataset", "btcusdt-sample", "--name", "closed", "--json")
    try:
        assert serving.stdout
        assert json.loads(serving.stdout.readline())["rest_url"]
        folder = tc.home / "runtime" / "venues" / "closed"
        modes = {
            path.name: path.stat().st_mode & 0o777 for path in (folder, folder / CONTROL_SOCKET, folder / TOKEN_FILE)
        }
        assert modes == {"closed": 0o700, CONTROL_SOCKET: 0o600, TOKEN_FILE: 0o600}
        token = read_token(folder)
        assert len(token) == 64
        for process in (serving.pid, *_children(serving.pid)):
            for name in ("cmdline", "environ"):
                assert token not in Path(f"/proc/{process}/{name}").read_text(errors="replace")
        assert all(token not in path.read_text() for path in (folder / "events.jsonl", folder / "venue.json"))
        with ControlClient(folder, token) as venue_control:
            assert venue_control.request("held") == []
    finally:
        serving.terminate()
        serving.communicate(timeout=300)
    assert serving.returncode == 0
    assert not (folder / CONTROL_SOCKET).exists()
    with pytest.raises(Environment, match="venue closed is not served"):
        ControlClient(folder, token)


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_restarted_venue_has_no_faults(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path, speed=SPEED, ticks=TICKS, start="now", pace="clock") as venue:
        expected = transcript(venue)
        with control_client(venue.ledger) as venue_control:
            for name in LASTING:
                venue_control.request("start", fault=name)
            venue.kill()
            with pytest.raises(Environment):
                venue_control.request("held")
        with pytest.raises(Environment, match="is not served"):
            control_client(venue.ledger)
        venue.start()
        with control_client(venue.ledger) as venue_control:
            assert venue_control.request("held") == []
            assert venue_control.request("start", fault="halt")["number"] == 1
            venue_control.request("stop", number=1)
        assert transcript(venue) == expected
        venue.stop()


def test_a_stopping_venue_ends_its_faults_first(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path, speed=SPEED, ticks=TICKS, start="now", pace="clock") as venue:
        with control_client(venue.ledger) as venue_control, venue.client() as client:
            client.get("/fapi/v1/ping")
            for name in LASTING:
                venue_control.request("start", fault=name)
            send_only(client, "GET", "/fapi/v1/account")
            venue.stop()
        ended = EventLog(venue.ledger).of("fault_ended")
        assert [line["fault"] for line in ended] == LASTING[::-1]
        assert {line["reason"] for line in ended} == {"venue_closing"}
