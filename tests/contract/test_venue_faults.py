"""Every fault of the venue, through its control door: has its effect, ends whoever began it, and leaves nothing."""

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
from opslab.model.messages.venue_messages import CONTROL_SOCKET
from opslab.runs.processes.venue_control_client import ControlClient
from opslab.store.venues.venue_files import TOKEN as TOKEN_FILE
from opslab.store.venues.venue_files import read_token
from opslab.venue.control.control_socket import MAX_CONTROL_CONNECTIONS, MAX_REQUEST_BYTES
from opslab.venue.faults.registry import FAULTS
from tests.drivers.control_client import TOKEN, EventLog, FaultOwnerProcess, RawControlClient, active_fault
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
LATE_MS = 3_000
"""What a message takes at most on a busy machine."""
TRADES, QUOTES, BARS, DEPTH = "btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@kline_1m", "btcusdt@depth@0ms"
TEXT, PONG = 1, 10
AT_ONCE = [name for name, fault in FAULTS.items() if fault.is_immediate]
LASTING = [name for name, fault in FAULTS.items() if not fault.is_immediate]


@dataclass(frozen=True, slots=True)
class Stand:
    """A venue whose market runs, its door, and a client of it."""

    venue: SteppedVenue
    venue_control: ControlClient
    client: VenueClient
    log: EventLog
    before: dict[str, Any]
    """What was said before there was any fault."""

    def market_moves(self) -> None:
        """Comes back when a minute has been closed that was not before."""
        before = self.venue_control.request("status")["minutes"]
        wait_until(lambda: self.venue_control.request("status")["minutes"] > before + 1, "the market to move on")


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
def stand(venue: SteppedVenue, log: EventLog, before: dict[str, Any]) -> Iterator[Stand]:
    with ControlClient(venue.ledger, TOKEN) as venue_control, venue.client() as client:
        client.get("/fapi/v1/ping")  # its connection is open from here on
        yield Stand(venue, venue_control, client, log, before)
        venue_control.request("stop_all")


# The effect of each while it is held.


def closes(stand: Stand) -> None:
    sockets = three_sockets(stand.client)
    stand.venue_control.request("start", fault="close", terms={"which": "user", "code": 4001})
    assert sockets["user"].wait_closed() == 4001
    assert all(answers_ping(sockets[kind]) for kind in ("market", "trading"))
    stand.venue_control.request("start", fault="close")
    assert [sockets[kind].wait_closed() for kind in ("market", "trading")] == [1001, 1001]


def resets(stand: Stand) -> None:
    sockets = three_sockets(stand.client)
    stand.venue_control.request("start", fault="reset", terms={"which": "trading"})
    with pytest.raises(ConnectionResetError):
        read_to_the_end(sockets["trading"])
    assert all(answers_ping(sockets[kind]) for kind in ("market", "user"))
    stand.venue_control.request("start", fault="reset")
    for kind in ("market", "user"):
        with pytest.raises(ConnectionResetError):
            read_to_the_end(sockets[kind])


def refuses(stand: Stand) -> None:
    sockets = three_sockets(stand.client)
    with active_fault(stand.venue_control, "refuse", which="user"):
        with pytest.raises(Refused) as refused:
            stand.client.user_stream()
        assert (refused.value.status, refused.value.body["code"]) == (503, -1008)
        stand.client.stream(TRADES).read_event("aggTrade")
        assert stand.client.trading().call("ping")["status"] == 200
    with active_fault(stand.venue_control, "refuse"), active_fault(stand.venue_control, "refuse", seconds=0.05) as shorter:
        stand.log.fault_end(shorter)
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                stand.client.stream(TRADES)
        assert all(answers_ping(opened) for opened in sockets.values())
        stand.client.get("/fapi/v1/ping")  # over the connection that is open


def is_silent(stand: Stand) -> None:
    sockets = three_sockets(stand.client)
    market = sockets["market"]
    with active_fault(stand.venue_control, "silence"):
        until_pong(market)
        stand.market_moves()
        market.ping(b"once more")
        assert market.read_frame() == Frame(PONG, b"once more")
    assert market.read_event("aggTrade")
    with active_fault(stand.venue_control, "silence", stream=TRADES):
        until_pong(market)
        found = Counter(event["e"] for event in islice(iter(market.next, None), 100))
        assert found["aggTrade"] == 0
        assert min(found["bookTicker"], found["kline"]) > 0
    with active_fault(stand.venue_control, "silence", pongs=False, which="market"):
        time_of_silence(market)
        market.ping(b"unheard")
        stand.market_moves()
        assert not readable(market)
        assert answers_ping(sockets["user"])
    assert market.read_event("aggTrade")


def is_late(stand: Stand) -> None:
    late = stand.client.stream(TRADES, QUOTES)
    late.read_event("aggTrade")
    with active_fault(stand.venue_control, "delay", ms=1_500), active_fault(stand.venue_control, "delay", ms=700, which="market"):
        begun = now_ms()
        found = [event for event in timed(late, 200) if event["E"] > begun]
        assert all(event["late_ms"] >= 2_200 for event in found)
        assert len(found) > 50
    in_order(late)


def jitters(stand: Stand) -> None:
    socket = stand.client.stream(TRADES)
    trade = socket.read_event("aggTrade")["a"]
    with active_fault(stand.venue_control, "jitter", ms=2_000):
        found = timed(socket, 200)
        assert [event["a"] for event in found] == list(range(trade + 1, trade + 201))
        late = [event["late_ms"] for event in found]
        assert 1_000 < max(late) < 2_000 + LATE_MS
        assert len(set(late)) > 10


def duplicates(stand: Stand) -> None:
    socket = stand.client.stream(TRADES)
    socket.read_event("aggTrade")
    with active_fault(stand.venue_control, "duplicate"):
        until_pong(socket)
        numbers = [socket.next()["a"] for _ in range(20)]
        assert numbers == sorted([*range(numbers[0], numbers[0] + 10)] * 2)


def reorders(stand: Stand) -> None:
    socket = stand.client.stream(TRADES)
    trade = socket.read_event("aggTrade")["a"]
    with active_fault(stand.venue_control, "reorder"):
        numbers = [trade]
        while numbers[-1] >= trade:
            trade = numbers[-1]
            numbers.append(socket.read_event("aggTrade")["a"])
        assert numbers[-2] == numbers[-1] + 1
        after = [socket.read_event("aggTrade")["a"] for _ in range(10)]
        first = numbers[-2] + 1
        assert after == [number for pair in range(first, first + 10, 2) for number in (pair + 1, pair)]


def drops(stand: Stand) -> None:
    socket = stand.client.stream(TRADES)
    first = socket.read_event("aggTrade")["a"]
    with active_fault(stand.venue_control, "drop", stream=TRADES, count=7):
        numbers = [first, *(socket.next()["a"] for _ in range(60))]
    assert sorted(after - before for before, after in pairwise(numbers))[-2:] == [1, 8]


def breaks_the_chain(stand: Stand) -> None:
    sockets = [stand.client.stream(DEPTH), stand.client.stream("btcusdt@depth@100ms")]
    chain = [[socket.read_event("depthUpdate")] for socket in sockets]
    with active_fault(stand.venue_control, "depth-gap", count=3):
        for socket, found in zip(sockets, chain, strict=True):
            found += [socket.next() for _ in range(20)]
            assert [before["u"] == after["pu"] for before, after in pairwise(found)].count(False) == 1


def is_stale(stand: Stand) -> None:
    socket = stand.client.stream(DEPTH)

    def ahead() -> int:
        """By how much the book that is asked for is ahead of its stream; negative: behind."""
        pushed = socket.read_event("depthUpdate")["u"]
        return int(stand.client.get("/fapi/v1/depth", symbol="BTCUSDT", limit=5)["lastUpdateId"] - pushed)

    assert ahead() >= 0
    with active_fault(stand.venue_control, "stale-snapshot", behind=10_000_000):
        assert ahead() < -5_000_000


def garbles(stand: Stand) -> None:
    sockets = three_sockets(stand.client)
    with active_fault(stand.venue_control, "garbage"):
        until_pong(sockets["market"])
        assert {sockets["market"].read_frame() for _ in range(20)} == {Frame(TEXT, b'{"e":"bookTicker",')}
    with active_fault(stand.venue_control, "garbage", which="user", text="<html>"):
        stand.client.place("BUY", "0.010").assert_ok()
        assert sockets["user"].read_frame() == Frame(TEXT, b"<html>")
        assert json.loads(stand.client.stream(TRADES).read_frame().data)["e"] == "aggTrade"


def turns_types(stand: Stand) -> None:
    socket = stand.client.stream(TRADES)
    plain = socket.read_event("aggTrade")
    with active_fault(stand.venue_control, "wrong-types"):
        until_pong(socket)
        turned = socket.next()
    assert turned.keys() == plain.keys()
    assert {name: type(turned[name]) for name in "eapqm"} == {"e": str, "a": str, "p": float, "q": float, "m": int}


def breaks_candles(stand: Stand) -> None:
    for combined in (False, True):
        socket = stand.client.combined(BARS) if combined else stand.client.stream(BARS)
        with active_fault(stand.venue_control, "broken-ohlc"):
            klines = (message.get("data", message)["k"] for message in iter(socket.next, None))
            closed = list(islice((kline for kline in klines if kline["x"]), 12))
        assert [Decimal(kline["h"]) < Decimal(kline["l"]) for kline in closed].count(True) == 1
        assert Decimal(closed[-1]["h"]) >= Decimal(closed[-1]["l"])
        socket.drop()


def empties_trades(stand: Stand) -> None:
    for name in (TRADES, "btcusdt@trade"):
        socket = stand.client.stream(name)
        with active_fault(stand.venue_control, "zero-quantity", count=2):
            quantities = [socket.next()["q"] for _ in range(30)]
        assert quantities.count("0") == 2
        assert min(Decimal(text) for text in quantities if text != "0") > 0
        socket.drop()


def answers_with_a_status(stand: Stand) -> None:
    client = stand.client
    trading = client.trading()
    for status, code in {429: -1003, 418: -1003, 500: -1000, 502: -1000, 503: -1000, 504: -1000}.items():
        with active_fault(stand.venue_control, "http", status=status, path="/fapi/v1/time", retry_after=7):
            answer = client.request("GET", "/fapi/v1/time")
            assert (answer.error, answer.headers["retry-after"]) == ((status, code), "7")
            assert client.request("GET", "/fapi/v1/ping").status == 200
            told = trading.call("time")
            assert (told["status"], told["error"]["code"]) == (status, code)
            assert told["error"]["data"]["retryAfter"] - told["error"]["data"]["serverTime"] == 7_000
    with active_fault(stand.venue_control, "http", status=503, method="POST", path=ORDER, count=2):
        assert client.request("GET", "/fapi/v1/time").status == 200
        assert [client.place("BUY", "0.010").status for _ in range(3)] == [503, 503, 200]
    with active_fault(stand.venue_control, "http", status=503):
        answer = client.request("GET", "/fapi/v1/ping")
        assert (answer.status, "retry-after" in answer.headers) == (503, False)


def hangs(stand: Stand) -> None:
    with stand.venue.client() as other:
        with active_fault(stand.venue_control, "hang", path="/fapi/v1/order"):
            asked = ask_only(other, "POST", ORDER, **order("BUY", "0.010", "30000.0", newClientOrderId="hangs"))
            trading = stand.client.trading()
            trading.send_request("order.place", **order("BUY", "0.010", "30000.0", newClientOrderId="hangs-too"))
            stand.market_moves()
            assert stand.client.open_orders() == []
            assert not readable(asked)
            assert not readable(trading)
        assert answer_of(other) == 200
        assert trading.next()["status"] == 200
        found = {order["clientOrderId"] for order in stand.client.open_orders()}
        assert found == {"hangs", "hangs-too"}


def is_skewed(stand: Stand) -> None:
    client, socket = stand.client, stand.client.stream(TRADES)
    for ms in (60_000, -60_000):
        with active_fault(stand.venue_control, "clock-skew", ms=ms + 1_000), active_fault(stand.venue_control, "clock-skew", ms=-1_000):
            assert abs(client.get("/fapi/v1/time")["serverTime"] - now_ms() - ms) < LATE_MS
            until_pong(socket)
            assert abs(socket.next()["E"] - now_ms() - ms) < LATE_MS
            early = client.place("BUY", "0.010", "30000.0")
            assert early.error == (400, -1021)
            client.place("BUY", "0.010", "30000.0", timestamp=now_ms() + ms).assert_ok()


def rejects(stand: Stand) -> None:
    client = stand.client
    resting = client.place("BUY", "0.010", "30000.0").answer["orderId"]
    trading = client.trading()
    for code, status in {-2010: 400, -2019: 400, -2027: 400, -4108: 400, -1008: 503}.items():
        with active_fault(stand.venue_control, "reject-orders", code=code):
            assert client.place("BUY", "0.010").error == (status, code)
            told = trading.call("order.place", **order("BUY", "0.010"))
            assert (told["status"], told["error"]["code"]) == (status, code)
            client.modify(resting, "BUY", "0.010", f"{30000 + code % 97}.0").assert_ok()
    with active_fault(stand.venue_control, "reject-orders"):
        client.cancel(resting).assert_ok()
    assert client.position()["positionAmt"] == "0.000"


def swallows(stand: Stand) -> None:
    client, user = stand.client, stand.client.user_stream()
    trading = client.trading()
    with stand.venue.client() as other:
        with active_fault(stand.venue_control, "swallow-ack", method="POST"):
            asked = ask_only(other, "POST", ORDER, **order("BUY", "0.010", "30000.0", newClientOrderId="unanswered"))
            user.read_event("ORDER_TRADE_UPDATE", c="unanswered", x="NEW")
            trading.send_request("order.place", **order("BUY", "0.010", "30000.0", newClientOrderId="unanswered-too"))
            user.read_event("ORDER_TRADE_UPDATE", c="unanswered-too", x="NEW")
            stand.market_moves()
            assert not readable(asked)
            assert not readable(trading)
            resting = {found["clientOrderId"]: found["orderId"] for found in client.open_orders()}
            assert resting.keys() == {"unanswered", "unanswered-too"}
            client.cancel(resting["unanswered"]).assert_ok()
        assert answer_of(other) is None
        assert trading.call("order.cancel", symbol="BTCUSDT", orderId=resting["unanswered-too"])["status"] == 200
    assert client.open_orders() == []


def tells_late(stand: Stand) -> None:
    client, user, chosen = stand.client, stand.client.user_stream(), keys_chosen(stand.client)
    with active_fault(stand.venue_control, "late-fill", ms=1_200):
        taken = client.place("BUY", "0.010", newOrderRespType="RESULT").answer
        assert taken["status"] == "FILLED"
        later = client.place("BUY", "0.010", "30000.0").answer["orderId"]
        events = user.read_until(lambda event: event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["x"] == "TRADE")
        told = [(event["o"]["i"], event["o"]["x"]) for event in events if event["e"] == "ORDER_TRADE_UPDATE"]
        assert told == [(taken["orderId"], "NEW"), (later, "NEW"), (taken["orderId"], "TRADE")]
        assert now_ms() - events[-1]["E"] >= 1_200
        for opened in chosen:
            assert [(order["i"], order["x"]) for order in orders_until(opened, taken["orderId"], "TRADE")] == told
    with active_fault(stand.venue_control, "late-fill", ms=600_000):
        taken = client.place("SELL", "0.010", newOrderRespType="RESULT").answer
    user.read_event("ORDER_TRADE_UPDATE", i=taken["orderId"], x="TRADE")


def tells_twice(stand: Stand) -> None:
    client, user, chosen = stand.client, stand.client.user_stream(), keys_chosen(stand.client)
    with active_fault(stand.venue_control, "duplicate-fill"):
        number = client.place("BUY", "0.010").answer["orderId"]
        last = client.place("BUY", "0.010", "30000.0", newClientOrderId="last").answer["orderId"]
        for opened in chosen:
            of_fills = Counter(order["t"] for order in orders_until(opened, last, "NEW") if order["x"] == "TRADE")
            assert set(of_fills.values()) == {2}
        events = user.read_until(lambda event: event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["c"] == "last")
    told = Counter(json.dumps(event) for event in events)
    times_of = {(json.loads(text).get("o") or {}).get("x"): times for text, times in told.items()}
    assert times_of == {"NEW": 1, "TRADE": 2, None: 1}
    fills = client.signed_request("GET", "/fapi/v1/userTrades", symbol="BTCUSDT", orderId=number).answer
    assert {json.loads(text)["o"]["t"] for text, times in told.items() if times == 2} == {fill["id"] for fill in fills}
    assert client.position()["positionAmt"] == "0.010"


def trades_elsewhere(stand: Stand) -> None:
    client, user = stand.client, stand.client.user_stream()
    stand.venue_control.request("start", fault="external-trade", terms={"side": "SELL", "quantity": "0.025"})
    events = user.read_until(lambda event: event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["X"] == "FILLED")
    told, account = events[-1]["o"], [event for event in events if event["e"] == "ACCOUNT_UPDATE"]
    assert (told["S"], told["q"], told["o"]) == ("SELL", "0.025", "MARKET")
    assert account[-1]["a"]["P"][0]["pa"] == "-0.025"
    assert client.position()["positionAmt"] == "-0.025"
    with pytest.raises(Usage, match="the venue rejects the trade: -2019"):
        stand.venue_control.request("start", fault="external-trade", terms={"quantity": "90.000"})


def halts(stand: Stand) -> None:
    client, socket = stand.client, stand.client.stream(TRADES)
    resting = client.place("BUY", "0.010", "30000.0").answer["orderId"]
    for status in ("HALT", "BREAK", "SETTLING", "CLOSE"):
        with active_fault(stand.venue_control, "halt", status=status):
            assert client.get("/fapi/v1/exchangeInfo")["symbols"][0]["status"] == status
            assert client.place("BUY", "0.010").error[1] == -4108
            assert socket.read_event("aggTrade")
    with active_fault(stand.venue_control, "halt"):
        client.cancel(resting).assert_ok()


EFFECTS: dict[str, Callable[[Stand], None]] = {
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
    "wrong-types": turns_types,
    "broken-ohlc": breaks_candles,
    "zero-quantity": empties_trades,
    "http": answers_with_a_status,
    "hang": hangs,
    "clock-skew": is_skewed,
    "reject-orders": rejects,
    "swallow-ack": swallows,
    "late-fill": tells_late,
    "duplicate-fill": tells_twice,
    "external-trade": trades_elsewhere,
    "halt": halts,
}


def test_every_fault_is_expected_to_do_something() -> None:
    assert EFFECTS.keys() == FAULTS.keys()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_effect_while_it_is_held_and_none_afterwards(stand: Stand, name: str) -> None:
    stand.client.flatten()
    EFFECTS[name](stand)
    assert stand.venue_control.request("held") == []
    assert transcript(stand.venue) == stand.before


# Reading.


def keys_chosen(client: VenueClient) -> list[Socket]:
    """Market sockets that have chosen the listen key by message: events as they are, and in envelopes."""
    key = client.request("POST", LISTEN_KEY).answer["listenKey"]
    sockets = [client.stream(TRADES), client.combined(TRADES)]
    for opened in sockets:
        opened.subscribe(key)
    return sockets


def orders_until(socket: Socket, order_id: int, kind: str) -> list[dict[str, Any]]:
    """What a socket is told of orders, up to what happened to this one."""
    found: list[dict[str, Any]] = []
    while not found or (found[-1]["i"], found[-1]["x"]) != (order_id, kind):
        message = socket.next()
        event = message.get("data", message)
        if event["e"] == "ORDER_TRADE_UPDATE":
            found.append(event["o"])
    return found


def three_sockets(client: VenueClient) -> dict[str, Socket]:
    """One of each kind, each in use."""
    market, user, trading = client.stream(TRADES, QUOTES, BARS), client.user_stream(), client.trading()
    market.read_event("aggTrade")
    assert trading.call("ping")["status"] == 200
    return {"market": market, "user": user, "trading": trading}


def until_pong(socket: Socket) -> None:
    """Read what was sent before now."""
    mark = os.urandom(8)
    socket.ping(mark)
    while socket.read_frame() != Frame(PONG, mark):
        pass


def answers_ping(socket: Socket) -> bool:
    until_pong(socket)
    return True


def time_of_silence(socket: Socket) -> None:
    """Read until nothing has come for a while."""
    while readable(socket):
        socket.read_frame()


def readable(of: Socket | socket.socket, seconds: float = 0.3) -> bool:
    """Whether something comes within so long."""
    raw = of._socket if isinstance(of, Socket) else of
    return bool(isinstance(of, Socket) and of._received) or bool(select.select([raw], [], [], seconds)[0])


def read_to_the_end(socket: Socket) -> None:
    """As the kernel gives it. Raises ConnectionResetError."""
    while socket._socket.recv(1 << 16):
        pass


def timed(socket: Socket, number: int) -> list[dict[str, Any]]:
    """So many messages, with how late each was."""
    return [{**(event := socket.next()), "late_ms": now_ms() - event["E"]} for _ in range(number)]


def in_order(socket: Socket) -> None:
    """The trades that come next are those that follow each other."""
    numbers = [socket.read_event("aggTrade")["a"] for _ in range(20)]
    assert numbers == list(range(numbers[0], numbers[0] + 20))


def ask_only(client: VenueClient, method: str, path: str, **params: Any) -> socket.socket:
    """Send a signed request, and do not read the answer; where it will come."""
    text = urlencode({"timestamp": now_ms(), **params})
    client._connection.request(
        method, f"{path}?{text}&signature={client.signature(text)}", headers={"X-MBX-APIKEY": client.endpoints.api_key}
    )
    assert client._connection.sock
    return client._connection.sock


def answer_of(client: VenueClient) -> int | None:
    """The status of what was asked; None when the connection was cut instead."""
    try:
        answer = client._connection.getresponse()
        answer.read()
    except OSError:
        client._connection.close()
        return None
    return answer.status


# As it was before.


def shape(value: Any) -> Any:
    """Names and types of a message."""
    if isinstance(value, dict):
        return {name: shape(found) for name, found in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def transcript(venue: SteppedVenue) -> dict[str, Any]:
    """What a client and the venue say to each other, without the figures; those are looked at here."""
    with venue.client() as client:
        client.flatten()
        return {
            "requests": _requests(client),
            "orders": _orders(client),
            "streams": _streams(client),
            "refused": client.request("GET", "/fapi/v1/nowhere").error,
        }


def _requests(client: VenueClient) -> list[Any]:
    asked_ms = now_ms()
    assert abs(client.get("/fapi/v1/time")["serverTime"] - asked_ms) < LATE_MS
    info = client.get("/fapi/v1/exchangeInfo")["symbols"][0]
    assert info["status"] == "TRADING"
    depth = client.get("/fapi/v1/depth", symbol="BTCUSDT", limit=5)
    return [shape(info), shape(depth), shape(client.account()["assets"][0])]


def _orders(client: VenueClient) -> list[Any]:
    """An order that rests and is canceled, one that takes, one back."""
    user, trading = client.user_stream(), client.trading()
    resting = client.place("BUY", "0.010", "30000.0").answer
    canceled = client.cancel(resting["orderId"]).answer
    answers = [resting, canceled]
    for side in ("BUY", "SELL"):
        answer = trading.call("order.place", **order(side, "0.010"))
        assert answer["status"] == 200, answer
        answers.append(answer["result"])
    last = answers[-1]["orderId"]
    found = user.read_until(lambda event: "o" in event and (event["o"]["i"], event["o"]["X"]) == (last, "FILLED"))
    events = [event for event in found if event["e"] == "ORDER_TRADE_UPDATE"]
    until_pong(user)
    assert all(now_ms() - event["E"] < LATE_MS for event in events)
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
    wanted = Counter({"aggTrade": 15, "bookTicker": 15, "closed": 1, "depthUpdate": 3})
    while wanted.total():
        event = socket.next()
        assert now_ms() - event["E"] < LATE_MS
        events.append(event)
        wanted -= Counter(["closed" if event["e"] == "kline" and event["k"]["x"] else event["e"]])
    by_kind: dict[str, list[Any]] = {}
    for event in events:
        by_kind.setdefault(event["e"], []).append(event)
    trades = [event["a"] for event in by_kind["aggTrade"]]
    assert trades == list(range(trades[0], trades[0] + len(trades)))
    assert all(Decimal(event["q"]) > 0 for event in by_kind["aggTrade"])
    assert all(before["u"] == after["pu"] for before, after in pairwise(by_kind["depthUpdate"]))
    assert all(Decimal(event["k"]["l"]) <= Decimal(event["k"]["h"]) for event in by_kind["kline"])
    until_pong(socket)
    told = {kind: shape(found[-1]) for kind, found in sorted(by_kind.items())}
    told["depthUpdate"] = {**told["depthUpdate"], "a": None, "b": None}
    return told


# However it ends.


def by_stopping(stand: Stand, name: str) -> int:
    number = int(stand.venue_control.request("start", fault=name)["number"])
    disturb(stand)
    assert stand.venue_control.request("stop", number=number)["fault"] == name
    return number


def by_its_time(stand: Stand, name: str) -> int:
    number = int(stand.venue_control.request("start", fault=name, seconds=0.1)["number"])
    disturb(stand)
    return number


def with_the_connection(stand: Stand, name: str) -> int:
    with ControlClient(stand.venue.ledger, TOKEN) as venue_control:
        number = int(venue_control.request("start", fault=name, **{"while": "connected"})["number"])
        assert [held["number"] for held in stand.venue_control.request("held")] == [number]
        disturb(stand)
    return number


def with_the_process(stand: Stand, name: str) -> int:
    with FaultOwnerProcess(stand.venue.ledger, name) as asker:
        number = int(asker.answer["ok"]["number"])
        disturb(stand)
        assert [held["number"] for held in stand.venue_control.request("held")] == [number]
        asker.kill()
    return number


WAYS = {
    "stopped": by_stopping,
    "expired": by_its_time,
    "client_disconnected": with_the_connection,
    "client killed": with_the_process,
}


def disturb(stand: Stand) -> None:
    """Let things happen that a fault can take hold of: an order whose answer nobody reads, and a little market."""
    ask_only(stand.client, "POST", ORDER, **order("BUY", "0.010"))
    stand.market_moves()


@pytest.mark.parametrize("why", WAYS)
@pytest.mark.parametrize("name", LASTING)
def test_however_a_fault_ends_the_venue_is_as_before(stand: Stand, name: str, why: str) -> None:
    expected = stand.before
    with stand.venue.client() as client:
        witness = client.stream(TRADES)
        witness.read_event("aggTrade")
        number = WAYS[why](stand, name)
        assert stand.log.fault_end(number)["reason"] == ("client_disconnected" if "client" in why else why)
        assert stand.venue_control.request("held") == []
        until_pong(witness)
        in_order(witness)
    assert transcript(stand.venue) == expected


@pytest.mark.parametrize("name", AT_ONCE)
def test_what_is_over_at_once_is_over_whoever_asked(stand: Stand, name: str) -> None:
    with FaultOwnerProcess(stand.venue.ledger, name) as asker:
        told = asker.answer["ok"]
    assert told["remaining_seconds"] is None
    assert stand.log.fault_end(told["number"])["reason"] == "immediate"
    assert stand.venue_control.request("held") == []
    assert transcript(stand.venue) == stand.before


# Together.


def test_a_hundred_stacks_of_faults_leave_nothing_behind(stand: Stand) -> None:
    expected = stand.before
    with ExitStack() as restless:
        for habit in (watches, watches_its_account, trades):
            restless.enter_context(Restless(stand.venue, habit))
        for seed in range(STACKS):
            _stack(stand, random.Random(seed))
            assert stand.venue_control.request("held") == []
    assert stand.log.of("bug") == []
    assert transcript(stand.venue) == expected


def _stack(stand: Stand, dice: random.Random) -> None:
    with ControlClient(stand.venue.ledger, TOKEN) as owner:
        mine: list[int] = []
        for _ in range(dice.randint(2, 6)):
            name = dice.choice(list(FAULTS))
            more: dict[str, Any] = {"while": "connected"} if dice.random() < 0.3 else {"seconds": 30.0}
            with suppress(Usage):  # a trade while the symbol is halted
                mine.append(owner.request("start", fault=name, **more)["number"])
            pause(dice)
        dice.shuffle(mine)
        for number in mine[: dice.randint(0, len(mine))]:
            with suppress(LabError):  # over at once
                owner.request("stop", number=number)
            pause(dice)
    stand.venue_control.request("stop_all")
    for number in mine:
        stand.log.fault_end(number)


def pause(dice: random.Random) -> None:
    """So that the market goes on a little between two faults."""
    threading.Event().wait(dice.choice((0.0, 0.01, 0.03)))


class Restless:
    """A client that goes on, whatever the venue does to it, while the block lasts."""

    def __init__(self, venue: SteppedVenue, habit: Callable[[VenueClient], None]) -> None:
        self._venue = venue
        self._habit = habit
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(300)
        assert not self._thread.is_alive()

    def _live(self) -> None:
        while not self._over.wait(0.002):
            with suppress(Closed, Refused, OSError, ValueError, AssertionError), self._venue.client() as client:
                client._connection.timeout = 0.2
                while not self._over.is_set():
                    self._habit(client)


def watches(client: VenueClient) -> None:
    socket = client.stream(TRADES, QUOTES, BARS, DEPTH)
    socket._socket.settimeout(0.2)
    for _ in range(500):
        socket.read_frame()


def watches_its_account(client: VenueClient) -> None:
    socket = client.user_stream()
    socket._socket.settimeout(0.2)
    for _ in range(20):
        socket.read_frame()


def trades(client: VenueClient) -> None:
    client.place("BUY", "0.010")
    client.place("SELL", "0.010")
    client.signed_request("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")


def test_effects_add_up(stand: Stand) -> None:
    socket = stand.client.stream(TRADES, QUOTES)
    socket.read_event("aggTrade")
    with (
        active_fault(stand.venue_control, "delay", ms=1_200),
        active_fault(stand.venue_control, "duplicate", stream=TRADES),
        active_fault(stand.venue_control, "silence", stream=QUOTES),
    ):
        begun = now_ms()
        found = [event for event in timed(socket, 150) if event["E"] > begun]
        assert {event["e"] for event in found} == {"aggTrade"}
        assert all(event["late_ms"] >= 1_200 for event in found)
        assert set(Counter(event["a"] for event in found[:-1]).values()) <= {1, 2}
        numbers = [event["a"] for event in found]
        assert numbers == sorted(numbers)
        assert Counter(numbers).most_common(1)[0][1] == 2
    socket = stand.client.stream(BARS)
    with active_fault(stand.venue_control, "wrong-types"), active_fault(stand.venue_control, "broken-ohlc"):
        broken = socket.read_until(lambda event: event["k"]["h"] < event["k"]["l"])[-1]["k"]
        assert (type(broken["h"]), broken["x"]) == (float, 1)
    with active_fault(stand.venue_control, "garbage", text="null"), active_fault(stand.venue_control, "wrong-types"):
        until_pong(socket)
        assert socket.read_frame() == Frame(TEXT, b"null")


# What is chosen.


def test_the_seed_chooses(sample_home: Path, tmp_path: Path) -> None:
    def chosen(seed: int) -> list[int]:
        """Which of the first trades were garbled, of a venue that begins anew; for each of two clients."""
        folder = tmp_path / str(next(lives))
        with (
            SteppedVenue(sample_home, folder, ticks=20) as venue,
            ControlClient(venue.ledger, TOKEN) as venue_control,
            venue.client() as client,
            venue.client() as other,
        ):
            venue_control.request("start", fault="garbage", terms={"seed": seed, "share": 0.5, "stream": TRADES, "text": "0"})
            sockets = [client.stream(TRADES), other.stream(TRADES, QUOTES)]
            sockets[0].request("LIST_SUBSCRIPTIONS")
            sockets[1].request("LIST_SUBSCRIPTIONS")
            client.stream(BARS)
            found = []
            for socket in sockets:
                told = (socket.next() for _ in count())
                trades = (event == 0 for event in told if event == 0 or event["e"] == "aggTrade")
                found.append([number for number, garbled in enumerate(islice(trades, 20)) if garbled])
            assert found[0] == found[1]
            return found[0]

    lives = count()
    one = chosen(1)
    assert 3 <= len(one) <= 17
    assert chosen(1) == one
    assert chosen(2) != one


# Stamps.


def test_the_event_log_has_the_begin_and_the_end_of_every_fault(stand: Stand) -> None:
    before = len(stand.log.lines())
    given: dict[str, dict[str, Any]] = {
        "delay": {"ms": 7},
        "http": {"status": 429, "retry_after": 3},
        "halt": {"status": "BREAK"},
    }
    begun = time.time()
    numbers = {
        name: stand.venue_control.request("start", fault=name, terms=given.get(name, {}), seconds=60)["number"] for name in FAULTS
    }
    held = stand.venue_control.request("held")
    assert [one["fault"] for one in held] == LASTING
    assert all(59 < one["remaining_seconds"] <= 60 for one in held)
    for name in reversed(LASTING):
        stand.venue_control.request("stop", number=numbers[name])
    lines = [line for line in stand.log.lines()[before:] if line["event"].startswith("fault ")]
    for name, number in numbers.items():
        first, last = [line for line in lines if line["number"] == number]
        stamps = ["event", "fault", "monotonic_s", "number", "terms", "time"]
        assert sorted(first.keys() - {"dropped"}) == stamps
        assert sorted(last.keys() - {"dropped"}) == sorted({*stamps, "reason"} - {"terms"})
        assert (first["event"], last["event"]) == ("fault_started", "fault_ended")
        assert (first["fault"], last["fault"]) == (name, name)
        assert first["terms"] == FAULTS[name].terms(**given.get(name, {})).model_dump()
        assert last["reason"] == ("immediate" if name in AT_ONCE else "stopped")
        assert first["monotonic_s"] <= last["monotonic_s"]
    assert [line["monotonic_s"] for line in lines] == sorted(line["monotonic_s"] for line in lines)
    assert sorted(numbers.values()) == list(numbers.values())
    times = [datetime.fromisoformat(line["time"]).timestamp() for line in lines]
    assert times == sorted(times)
    assert begun - 1 < times[0] <= times[-1] < time.time() + 1


# The door.


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"fault": "clsoe"}, "fault 'clsoe' is not known; did you mean close"),
        ({"fault": None}, "unknown fault"),
        ({"fault": "x" * 60_000}, "unknown fault"),
        ({"fault": "delay", "terms": {"ms": 0}}, "fault delay: ms:"),
        ({"fault": "delay", "terms": {"ms": 10**30}}, "fault delay: ms:"),
        ({"fault": "delay", "terms": {"more": 1}}, "fault delay has no term 'more'"),
        ({"fault": "delay", "terms": []}, "terms are an object"),
        ({"fault": "delay", "terms": None}, "terms are an object"),
        ({"fault": "delay", "seconds": "1"}, "seconds a number"),
        ({"fault": "delay", "seconds": True}, "seconds a number"),
        ({"fault": "delay", "seconds": 0}, "a fault lasts above 0"),
        ({"fault": "delay", "seconds": 3601}, "a fault lasts above 0"),
        ({"fault": "delay", "seconds": float("nan")}, "a fault lasts above 0"),
        ({"fault": "delay", "seconds": float("inf")}, "a fault lasts above 0"),
        ({"do": "stop", "number": 10**9}, "fault 1000000000 is not active"),
        ({"do": "stop"}, "number is that of a fault"),
        ({"do": "stop", "number": "1"}, "number is that of a fault"),
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
def test_the_door_says_what_is_wrong_and_stays_open(stand: Stand, request_: dict[str, Any], error: str) -> None:
    with RawControlClient(stand.venue.ledger) as venue_control:
        answer = venue_control.request(**{"do": "start", **request_})
        assert sorted(answer) == ["error", "exit_code", "hint"]
        assert error in answer["error"]
        assert answer["exit_code"] == (5 if "token" in error or "not held" in error else 2)
        assert venue_control.request("held") == {"ok": []}


def test_without_a_token_nothing_is_said(stand: Stand) -> None:
    with RawControlClient(stand.venue.ledger) as venue_control:
        for request in ({}, {"do": "list"}, {"do": "nonsense"}, {"do": "start", "fault": "nonsense"}):
            venue_control.send(json.dumps(request).encode() + b"\n")
            assert venue_control.answer()["error"] == "wrong token"
    with (
        pytest.raises(Environment, match="wrong token"),
        ControlClient(stand.venue.ledger, "wrong") as stranger,
    ):
        stranger.request("held")


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"{", b"null", b"[]", b'"held"', b"\xff\xfe", b"\x00" * 100, b"[" * 60_000, b'{"a":' * 10_000),
        *(b"GET /fapi/v1/time HTTP/1.1\r", b'{"token":"\\ud800","do":"held"}'),
    ],
)
def test_a_line_that_is_no_request_is_answered(stand: Stand, line: bytes) -> None:
    with RawControlClient(stand.venue.ledger) as venue_control:
        venue_control.send(line + b"\n")
        assert venue_control.answer()["error"] in ("a request is a JSON object", "wrong token")
        assert venue_control.request("held") == {"ok": []}


def test_a_line_without_an_end_closes_the_connection_and_nothing_else(stand: Stand) -> None:
    for data in (b"x" * (1 << 20), b'{"a":"' + b"x" * (1 << 20) + b'"}\n', b"x" * (MAX_REQUEST_BYTES + 1)):
        with RawControlClient(stand.venue.ledger) as venue_control:
            venue_control.send(data)
            assert venue_control.answer() is None
    with RawControlClient(stand.venue.ledger) as venue_control:
        venue_control.send(b'{"token":"contract","do":"he')
        venue_control.half_close()
        assert (venue_control.answer() or {"error": None})["error"] in (None, "a request is a JSON object")
    with RawControlClient(stand.venue.ledger) as venue_control:
        request = json.dumps({"token": TOKEN, "do": "held"}).encode() + b"\n"
        for at in range(len(request)):
            venue_control.send(request[at : at + 1])
        assert venue_control.answer() == {"ok": []}
        venue_control.send(request * 100)
        assert [venue_control.answer() for _ in range(100)] == [{"ok": []}] * 100
    assert transcript(stand.venue) == stand.before


def test_too_many_at_the_door_are_turned_away_and_those_who_are_in_stay(stand: Stand) -> None:
    with ExitStack() as stack:
        inside = [_let_in(stack, stand) for _ in range(MAX_CONTROL_CONNECTIONS - 1)]
        number = inside[0].request("start", fault="drop", **{"while": "connected"})["ok"]["number"]
        assert all("ok" in venue_control.request() for venue_control in inside)
        for _ in range(50):
            outside = stack.enter_context(RawControlClient(stand.venue.ledger))
            assert outside.answer() is None
        assert all([held["number"] for held in venue_control.request()["ok"]] == [number] for venue_control in inside)
    stand.log.fault_end(number)
    wait_until(lambda: stand.venue_control.request("held") == [], "the door to have room again")


def _let_in(stack: ExitStack, stand: Stand) -> RawControlClient:
    """A connection that is answered, as soon as those of before have been seen to be gone."""
    found: list[RawControlClient] = []

    def comes_in() -> bool:
        venue_control = stack.enter_context(RawControlClient(stand.venue.ledger))
        found.append(venue_control)
        return "ok" in (venue_control.request() or {})

    wait_until(comes_in, "room at the door")
    return found[-1]


def test_the_door_cannot_be_reached_by_the_exchanges_port(stand: Stand) -> None:
    asked = {"token": TOKEN, "do": "start", "fault": "refuse"}
    client = stand.client
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
            answer = client.send(method, path, body=json.dumps(asked) if method == "POST" else None)
            assert answer.error == (404, -5000)
    for opened in (client.stream(), client.trading(), client.user_stream()):
        opened.send(asked)
        until_pong(opened)
    with socket.create_connection(("127.0.0.1", stand.venue.port)) as raw:
        raw.sendall(json.dumps(asked).encode() + b"\n\r\n\r\n")
        raw.settimeout(10)
        assert raw.recv(1 << 16).startswith(b"HTTP/1.")
    assert stand.venue_control.request("held") == []


def test_nobody_else_may_enter_and_the_token_is_nowhere_to_be_read(tc: Tc) -> None:
    serving = tc.start("venue", "serve", "--dataset", "btcusdt-sample", "--name", "closed", "--json")
    try:
        assert serving.stdout
        assert json.loads(serving.stdout.readline())["rest_url"]
        folder = tc.home / "runtime" / "venues" / "closed"
        modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, folder / CONTROL_SOCKET, folder / TOKEN_FILE)}
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


def test_a_venue_that_was_killed_comes_back_without_its_faults(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path, speed=SPEED, ticks=TICKS, start="now", pace="clock") as venue:
        expected = transcript(venue)
        with ControlClient(venue.ledger, TOKEN) as venue_control:
            for name in LASTING:
                venue_control.request("start", fault=name)
            venue.kill()
            with pytest.raises(Environment):
                venue_control.request("held")
        with pytest.raises(Environment, match="is not served"):
            ControlClient(venue.ledger, TOKEN)
        venue.start()
        with ControlClient(venue.ledger, TOKEN) as venue_control:
            assert venue_control.request("held") == []
            assert venue_control.request("start", fault="halt")["number"] == 1
            venue_control.request("stop", number=1)
        assert transcript(venue) == expected
        venue.stop()


def test_a_venue_that_is_stopped_ends_its_faults_first(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path, speed=SPEED, ticks=TICKS, start="now", pace="clock") as venue:
        with ControlClient(venue.ledger, TOKEN) as venue_control, venue.client() as client:
            client.get("/fapi/v1/ping")
            for name in LASTING:
                venue_control.request("start", fault=name)
            ask_only(client, "GET", "/fapi/v1/account")
            venue.stop()
        ended = EventLog(venue.ledger).of("fault_ended")
        assert [line["fault"] for line in ended] == LASTING[::-1]
        assert {line["reason"] for line in ended} == {"venue_closing"}
