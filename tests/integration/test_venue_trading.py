"""The venue's trading socket and its user-data stream over real sockets."""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.tc import wait_until
from tests.drivers.venue_client import (
    LISTEN_KEY,
    Closed,
    Refused,
    Socket,
    SteppedVenue,
    TradingSocket,
    VenueClient,
    now_ms,
    order,
)

CANDLES = "btcusdt@kline_1m"
BTC = {"symbol": "BTCUSDT"}
PLACED = order("BUY", "0.010", "41000.0")
FLOOD = 30_000
MAX_GROWTH_KB = 96 << 10
"""Limit of the memory growth by a flood: one full queue, with Python's overhead."""
LATENCY_MS = 150

# Fields of order and account events that the engine's adapters require.
ORDER_FIELDS = {
    "s", "c", "S", "o", "f", "q", "p", "ap", "sp", "x", "X", "i", "l", "z", "L", "T", "t", "m", "R", "wt", "ot", "ps",
    "rp",
}  # fmt: skip
BALANCE_FIELDS = {"a", "wb", "cw"}
POSITION_FIELDS = {"s", "pa", "ep", "cr", "up", "mt", "iw", "ps"}


@pytest.fixture(scope="module")
def venue(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedVenue]:
    """Its market is still."""
    with SteppedVenue(sample_home, tmp_path_factory.mktemp("venue")) as venue:
        yield venue


@pytest.fixture
def client(venue: SteppedVenue) -> Iterator[VenueClient]:
    with venue.client() as client:
        client.flatten()
        yield client


@pytest.fixture
def socket(client: VenueClient) -> TradingSocket:
    return client.trading()


@pytest.fixture
def user(client: VenueClient) -> Socket:
    return client.user_stream()


@pytest.fixture
def new_venue(sample_home: Path, tmp_path: Path) -> Iterator[SteppedVenue]:
    """A venue for one test, which controls its market."""
    with SteppedVenue(sample_home, tmp_path) as venue:
        yield venue


# Requests over a socket.


def test_an_order_is_placed_queried_amended_and_canceled(client: VenueClient, socket: TradingSocket) -> None:
    placed = socket.call("order.place", **PLACED, newClientOrderId="x-aHRE4BCj-T0/a:b.c_d")
    assert sorted(placed) == ["id", "rateLimits", "result", "status"]
    assert (placed["id"], placed["status"]) == ("req-1", 200)
    order_id = placed["result"]["orderId"]
    queried = socket.call("order.status", **BTC, orderId=order_id)["result"]
    assert queried == client.query(order_id)
    assert {name: queried[name] for name in placed["result"]} == placed["result"]
    change = {**BTC, "orderId": order_id, "side": "BUY", "quantity": "0.020", "price": "40000.0"}
    amended = socket.call("order.modify", **change)["result"]
    assert (amended["origQty"], amended["price"], amended["status"]) == ("0.020", "40000.00", "NEW")
    canceled = socket.call("order.cancel", **BTC, orderId=order_id, origClientOrderId="x-aHRE4BCj-T0/a:b.c_d")["result"]
    assert (canceled["status"], canceled["orderId"]) == ("CANCELED", order_id)
    assert client.open_orders() == []


def test_parameters_can_be_json_numbers_and_booleans(client: VenueClient, socket: TradingSocket) -> None:
    client.place("BUY", "0.010").assert_ok()
    placed = socket.call("order.place", **order("SELL", "0.010"), reduceOnly=True, newOrderRespType="RESULT")["result"]
    assert (placed["reduceOnly"], placed["status"]) == (True, "FILLED")
    numeric = socket.call("order.place", **{**PLACED, "quantity": 0.01, "price": 41000}, recvWindow=5000)["result"]
    assert (numeric["origQty"], numeric["price"]) == ("0.010", "41000.00")


METHODS_AND_ENDPOINTS = [
    ("ping", "/fapi/v1/ping", {}, False),
    ("depth", "/fapi/v1/depth", {**BTC, "limit": 5}, False),
    ("ticker.price", "/fapi/v1/ticker/price", BTC, False),
    ("ticker.book", "/fapi/v1/ticker/bookTicker", BTC, False),
    ("account.balance", "/fapi/v2/balance", {}, True),
    ("v2/account.balance", "/fapi/v3/balance", {}, True),
    ("account.position", "/fapi/v2/positionRisk", BTC, True),
    ("v2/account.position", "/fapi/v3/positionRisk", BTC, True),
    ("account.status", "/fapi/v2/account", {}, True),
    ("v2/account.status", "/fapi/v3/account", {}, True),
]


@pytest.mark.parametrize(
    ("method", "path", "params", "signed"), METHODS_AND_ENDPOINTS, ids=lambda value: str(value)[:24]
)
def test_a_method_gives_the_answer_of_its_endpoint(
    client: VenueClient, socket: TradingSocket, method: str, path: str, params: dict[str, Any], signed: bool
) -> None:
    client.place("BUY", "0.010").assert_ok()
    request = client.signed_request if signed else client.request
    volatile = {"time": 0, "E": 0, "lastUpdateId": 0}
    from_socket, from_rest = (
        answer | {name: 0 for name in volatile if name in answer} if isinstance(answer, dict) else answer
        for answer in (socket.call(method, **params)["result"], request("GET", path, **params).answer)
    )
    assert from_socket == from_rest


def test_the_time_needs_no_key(socket: TradingSocket) -> None:
    socket.send({"id": 1, "method": "time"})
    assert abs(socket.next()["result"]["serverTime"] - now_ms()) < 5_000


def test_a_listen_key_needs_the_api_key_only(client: VenueClient, socket: TradingSocket) -> None:
    key = client.request("POST", LISTEN_KEY).answer["listenKey"]
    params = {"apiKey": client.endpoints.api_key}
    for number, method in enumerate(("start", "ping", "stop")):
        socket.send({"id": number, "method": f"userDataStream.{method}", "params": params})
        assert socket.next()["result"] == ({} if method == "stop" else {"listenKey": key})
    socket.send({"id": 9, "method": "userDataStream.ping", "params": params})
    assert socket.next()["error"]["code"] == -1125
    socket.send({"id": 9, "method": "userDataStream.start", "params": {}})
    answer = socket.next()
    assert (answer["status"], answer["error"]["code"]) == (401, -2014)


@pytest.mark.parametrize("request_id", ["req-1", "", 0, 7, None])
def test_an_answer_has_the_id_of_its_request(socket: TradingSocket, request_id: Any) -> None:
    socket.send({"id": request_id, "method": "ping"})
    assert socket.next()["id"] == request_id
    socket.send({"id": request_id, "method": "order.place", "params": {}})
    answer = socket.next()
    assert (answer["id"], answer["status"]) == (request_id, 401)
    socket.send({"id": request_id, "method": "nothing"})
    answer = socket.next()
    assert (answer["id"], answer["status"]) == (request_id, 400)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("nonsense", -1135),
        ("[]", -1135),
        ("1", -1135),
        ("null", -1135),
        ('{"id":NaN,"method":"ping"}', -1135),
        ('{"id":"\\ud800","method":"ping"}', -1135),
        ('{"id":1e999,"method":"ping"}', -1135),
        ('{"id":1.5,"method":"ping"}', -1135),
        ('{"id":true,"method":"ping"}', -1135),
        ('{"id":{},"method":"ping"}', -1135),
        (f'{{"id":{"9" * 5000},"method":"ping"}}', -1135),
        ("[" * 3000, -1135),
        ("{}", -1000),
        ('{"method":"session.logon"}', -1000),
        ('{"method":["order.place"]}', -1000),
        ('{"method":"order.place","params":[]}', -1102),
    ],
    ids=lambda value: str(value)[:24],
)
def test_malformed_messages_are_refused(socket: TradingSocket, message: str, code: int) -> None:
    socket.send(message)
    answer = socket.next()
    assert (answer["status"], answer["error"]["code"], answer["id"]) == (400, code, None)
    assert socket.call("ping")["status"] == 200


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("order.place", {**PLACED, "price": "41000.05"}, -4014),
        ("order.place", {**PLACED, "type": "STOP_MARKET"}, -4120),
        ("order.place", {**PLACED, "quantity": ["1"]}, -1100),
        ("order.place", {**PLACED, "quantity": None}, -1100),
        ("order.place", {**PLACED, "price": "42100.0", "timeInForce": "GTX"}, -5022),
        ("order.place", {**PLACED, "price": "42000.1", "quantity": "20", "timeInForce": "FOK"}, -5021),
        ("order.place", {**PLACED, "quantity": "30"}, -2019),
        ("order.cancel", {**BTC, "orderId": 10**12}, -2011),
        ("order.status", {**BTC, "orderId": 10**12}, -2013),
        ("order.modify", {**PLACED, "orderId": 10**12}, -1104),
        ("order.cancel", BTC, -1102),
        ("depth", {**BTC, "limit": 5.5}, -1102),
    ],
)
def test_invalid_requests_are_refused(
    client: VenueClient, socket: TradingSocket, method: str, params: dict[str, Any], code: int
) -> None:
    answer = socket.call(method, **params)
    assert (answer["status"], answer["error"]["code"]) == (400, code)
    assert "result" not in answer
    assert client.open_orders() == []


def test_a_request_must_be_signed_with_the_key_and_in_time(client: VenueClient, socket: TradingSocket) -> None:
    valid_params = socket.signed(**PLACED)
    for change, status, code in (
        ({"signature": "0" * 64}, 400, -1022),
        ({"signature": 5}, 400, -1022),
        ({"signature": "é"}, 400, -1022),
        ({"price": "40000.0"}, 400, -1022),
        ({"apiKey": "another"}, 401, -2015),
        ({"apiKey": ""}, 401, -2014),
    ):
        socket.send({"id": "x", "method": "order.place", "params": valid_params | change})
        answer = socket.next()
        assert (answer["status"], answer["error"]["code"]) == (status, code), change
    late = socket.signed(**PLACED, timestamp=now_ms() - 60_000)
    socket.send({"id": "x", "method": "order.place", "params": late})
    assert socket.next()["error"]["code"] == -1021
    unsigned = {name: value for name, value in valid_params.items() if name != "signature"}
    socket.send({"id": "x", "method": "order.place", "params": unsigned})
    assert socket.next()["error"]["code"] == -1102
    assert client.open_orders() == []


def test_concurrent_requests_are_answered_in_order(client: VenueClient, socket: TradingSocket) -> None:
    request_ids = [socket.send_request("order.place", **order("BUY", "0.003", f"{40000 + n}.0")) for n in range(100)]
    answers = [socket.next() for _ in request_ids]
    assert [answer["id"] for answer in answers] == request_ids
    numbers = [answer["result"]["orderId"] for answer in answers]
    assert numbers == list(range(numbers[0], numbers[0] + 100))
    request_ids = [socket.send_request("order.cancel", **BTC, orderId=number) for number in numbers]
    assert [socket.next()["result"]["status"] for _ in request_ids] == ["CANCELED"] * 100
    assert client.open_orders() == []


def test_every_answer_has_the_limits_and_their_usage(socket: TradingSocket) -> None:
    before, after = socket.call("order.place", **PLACED)["rateLimits"], socket.call("ping")["rateLimits"]
    kinds = [(limit["rateLimitType"], limit["interval"], limit["intervalNum"]) for limit in after]
    assert kinds == [("REQUEST_WEIGHT", "MINUTE", 1), ("ORDERS", "SECOND", 10), ("ORDERS", "MINUTE", 1)]
    assert all({"limit", "count"} <= limit.keys() for limit in before)
    assert "rateLimits" not in socket.call("ping", returnRateLimits=False)


def test_a_client_that_floods_the_socket_and_never_reads_is_disconnected(new_venue: SteppedVenue) -> None:
    with new_venue.client() as client:
        socket, second_socket = client.trading(), client.trading()
        before_kb = new_venue.memory_kb()
        request = json.dumps({"id": "f" * 100, "method": "account.status", "params": socket.signed()})
        with pytest.raises(Closed):
            _send_until_closed(socket, request)
        wait_until(
            lambda: any("reason" in message.get("log", {}) for message in new_venue.log),
            "the flooding client to be disconnected",
        )
        assert new_venue.memory_kb("VmHWM") - before_kb < MAX_GROWTH_KB
        assert second_socket.call("order.place", **PLACED)["status"] == 200


def _send_until_closed(socket: Socket, message: str) -> None:
    for _ in range(FLOOD):
        socket.send(message)
    raise AssertionError("the connection stayed open")


def test_orders_have_the_latency_of_the_plan_and_queries_do_not(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path, latency_ms=LATENCY_MS) as venue, venue.client() as client:
        socket = client.trading()

        def duration_ms(request: Callable[[], Any]) -> float:
            start_seconds = time.monotonic()
            request()
            return (time.monotonic() - start_seconds) * 1000

        order_id = client.place("BUY", "0.010", "41000.0").answer["orderId"]
        assert duration_ms(lambda: client.modify(order_id, "BUY", "0.010", "40000.0")) >= LATENCY_MS
        assert duration_ms(lambda: client.cancel(order_id)) >= LATENCY_MS
        assert duration_ms(lambda: socket.call("order.place", **PLACED)) >= LATENCY_MS
        assert min(duration_ms(lambda: client.open_orders()) for _ in range(5)) < LATENCY_MS
        start_seconds = time.monotonic()
        request_ids = [socket.send_request("order.place", **order("BUY", "0.003", f"{40000 + n}.0")) for n in range(20)]
        answers = [socket.next() for _ in request_ids]
        assert time.monotonic() - start_seconds < LATENCY_MS / 1000 * len(
            request_ids
        )  # all are in flight at the same time
        assert [answer["id"] for answer in answers] == request_ids
        numbers = [answer["result"]["orderId"] for answer in answers]
        assert numbers == sorted(numbers)


def test_too_many_requests_in_flight_end_the_connection(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path, latency_ms=60_000) as venue, venue.client() as client:
        socket = client.trading()
        request = json.dumps({"id": "x", "method": "order.place", "params": socket.signed(**PLACED)})
        with pytest.raises(Closed):
            _send_until_closed(socket, request)
        assert client.get("/fapi/v1/ping") == {}
        assert client.open_orders() == []


# The user-data stream.


def read_events(user: Socket, *kinds: str) -> list[dict[str, Any]]:
    """The next events; asserts their kinds, which for an order are its execution types."""
    events = [user.next() for _ in kinds]
    assert [event["o"]["x"] if "o" in event else event["e"] for event in events] == list(kinds)
    for event in events:
        assert abs(event["E"] - now_ms()) < 10_000
        if event["e"] == "ORDER_TRADE_UPDATE":
            assert event["o"].keys() >= ORDER_FIELDS
        elif event["e"] == "ACCOUNT_UPDATE":
            assert all(row.keys() >= BALANCE_FIELDS for row in event["a"]["B"])
            assert all(row.keys() >= POSITION_FIELDS for row in event["a"]["P"])
    return events


def test_the_life_of_a_resting_order_is_sent(client: VenueClient, user: Socket) -> None:
    order_id = client.place("BUY", "0.010", "41000.0", newClientOrderId="x-aHRE4BCj-Tabc").answer["orderId"]
    client.modify(order_id, "BUY", "0.020", "40000.0").assert_ok()
    client.cancel(order_id).assert_ok()
    new, amended, canceled = (event["o"] for event in read_events(user, "NEW", "AMENDMENT", "CANCELED"))
    assert {event["i"] for event in (new, amended, canceled)} == {order_id}
    assert {event["c"] for event in (new, amended, canceled)} == {"x-aHRE4BCj-Tabc"}
    assert [event["X"] for event in (new, amended, canceled)] == ["NEW", "NEW", "CANCELED"]
    assert (new["p"], new["q"], amended["p"], amended["q"]) == ("41000.00", "0.010", "40000.00", "0.020")
    assert (new["t"], new["l"], new["z"]) == (0, "0.000", "0.000")


def test_a_trade_is_sent_with_the_account_update(client: VenueClient, user: Socket) -> None:
    start = Decimal(client.account()["totalWalletBalance"])
    placed = client.place("BUY", "0.010", newOrderRespType="RESULT").answer
    _, account, trade = read_events(user, "NEW", "ACCOUNT_UPDATE", "TRADE")
    filled = trade["o"]
    assert (filled["X"], filled["l"], filled["z"], filled["m"]) == ("FILLED", "0.010", "0.010", False)
    assert (filled["L"], filled["ap"]) == (f"{Decimal(placed['avgPrice']):.2f}", placed["avgPrice"])
    assert filled["N"] == "USDT"
    [balance], [position] = account["a"]["B"], account["a"]["P"]
    assert Decimal(balance["wb"]) == Decimal(balance["cw"]) == start - Decimal(filled["n"])
    assert balance["wb"] == client.account()["totalWalletBalance"]
    assert (position["pa"], position["ep"]) == ("0.010", client.position()["entryPrice"])
    assert account["T"] == trade["T"]
    [row] = client.signed_request("GET", "/fapi/v1/userTrades", **BTC, orderId=placed["orderId"]).answer
    assert (row["id"], row["commission"], row["price"]) == (filled["t"], filled["n"], filled["L"])


def test_an_order_over_several_levels_is_one_trade_per_level(client: VenueClient, user: Socket) -> None:
    levels = client.get("/fapi/v1/depth", **BTC, limit=5)["asks"]
    quantity = str(Decimal(levels[0][1]) + Decimal("0.001"))
    placed = client.place("BUY", quantity, newOrderRespType="RESULT").answer
    *_, first, _, last = read_events(user, "NEW", "ACCOUNT_UPDATE", "TRADE", "ACCOUNT_UPDATE", "TRADE")
    assert (first["o"]["L"], first["o"]["X"]) == (levels[0][0], "PARTIALLY_FILLED")
    assert (last["o"]["L"], last["o"]["X"], last["o"]["z"]) == (levels[1][0], "FILLED", quantity)
    assert Decimal(last["o"]["ap"]) == Decimal(placed["avgPrice"])


def test_expired_orders_are_sent(client: VenueClient, user: Socket) -> None:
    price, size = client.get("/fapi/v1/depth", **BTC, limit=5)["asks"][0]
    client.place("BUY", str(Decimal(size) + Decimal("0.010")), price, timeInForce="IOC").assert_ok()
    *_, expired = read_events(user, "NEW", "ACCOUNT_UPDATE", "TRADE", "EXPIRED")
    assert (expired["o"]["X"], expired["o"]["z"]) == ("EXPIRED", size)
    order_id = client.place("SELL", "0.005", "43000.0", reduceOnly="true").answer["orderId"]
    client.place("SELL", size).assert_ok()  # the position is closed: its reduce-only order expires
    *_, expired = user.read_until(lambda event: event.get("o", {}).get("x") == "EXPIRED")
    assert expired["o"]["i"] == order_id


def test_a_refused_order_is_not_sent(client: VenueClient, user: Socket) -> None:
    ask, _ = client.get("/fapi/v1/depth", **BTC, limit=5)["asks"][0]
    assert client.place("BUY", "0.010", ask, timeInForce="GTX").error == (400, -5022)
    assert client.place("BUY", "30", "41000.0").error == (400, -2019)
    order_id = client.place("BUY", "0.010", "41000.0").answer["orderId"]
    [new] = read_events(user, "NEW")
    assert new["o"]["i"] == order_id


def test_a_change_of_leverage_is_sent(client: VenueClient, user: Socket) -> None:
    for leverage in (7, 10):
        client.signed_request("POST", "/fapi/v1/leverage", **BTC, leverage=leverage).assert_ok()
        [config] = read_events(user, "ACCOUNT_CONFIG_UPDATE")
        assert config["ac"] == {"s": "BTCUSDT", "l": leverage}


def test_every_user_stream_gets_the_events_of_every_client(client: VenueClient, socket: TradingSocket) -> None:
    key = client.request("POST", LISTEN_KEY).answer["listenKey"]
    paths = (f"/ws?listenKey={key}", f"/ws/{key}", f"/private/ws?listenKey={key}", f"/stream?streams={key}")
    users = [client.socket(path) for path in paths]
    market_stream = client.stream()
    first = client.place("BUY", "0.010", "41000.0").answer["orderId"]
    second = socket.call("order.place", **PLACED)["result"]["orderId"]
    client.signed_request("DELETE", "/fapi/v1/allOpenOrders", **BTC).assert_ok()
    for user in users:
        events = read_events(user, "NEW", "NEW", "CANCELED", "CANCELED")
        assert [event["o"]["i"] for event in events] == [first, second, first, second]
    assert market_stream.request("LIST_SUBSCRIPTIONS") == {"id": 1, "result": []}


def test_a_revoked_listen_key_is_reported_and_invalid(client: VenueClient, user: Socket) -> None:
    key = client.request("POST", LISTEN_KEY).answer["listenKey"]
    client.request("DELETE", LISTEN_KEY).assert_ok()
    expired = user.next()
    assert (expired["e"], expired["listenKey"]) == ("listenKeyExpired", key)
    with pytest.raises(Refused) as refused:
        client.socket(f"/ws?listenKey={key}")
    assert refused.value.body["code"] == -1125
    client.place("BUY", "0.010", "41000.0").assert_ok()
    second_user = client.user_stream()
    client.flatten()
    read_events(second_user, "CANCELED")
    user.ping(b"still there")
    assert user.read_frame().data == b"still there"  # no event came before it


def test_a_listen_key_is_valid_after_a_restart_with_the_same_account(new_venue: SteppedVenue) -> None:
    with new_venue.client() as client:
        key = client.request("POST", LISTEN_KEY).answer["listenKey"]
    new_venue.stop()
    new_venue.start()
    with new_venue.client() as client:
        user = client.socket(f"/ws?listenKey={key}")
        client.place("BUY", "0.010", "41000.0").assert_ok()
        read_events(user, "NEW")


# Orders whose price the market reaches.


def play(venue: SteppedVenue, candles: Socket, minutes: int = 1) -> None:
    venue.play(minutes)
    for _ in range(minutes):
        candles.read_event("kline", x=True)


def test_an_order_is_filled_as_maker_at_its_price_when_the_market_trades_through_it(new_venue: SteppedVenue) -> None:
    first = next(new_venue.candles())
    price = f"{Decimal(first.low // 10 * 10 + 100).scaleb(-2):.2f}"  # a dollar above the low
    with new_venue.client() as client:
        user, trades = client.user_stream(), client.stream("btcusdt@aggTrade")
        order_id = client.place("BUY", "2.000", price).answer["orderId"]
        read_events(user, "NEW")
        candles = client.stream(CANDLES)
        candles.read_event("kline", x=True)
        events = user.read_until(lambda event: event.get("o", {}).get("X") == "FILLED")
        fills = [event["o"] for event in events if "o" in event]
        assert {(fill["x"], fill["i"], fill["L"], fill["m"]) for fill in fills} == {("TRADE", order_id, price, True)}
        assert sum(Decimal(fill["l"]) for fill in fills) == 2
        fees = sum(Decimal(fill["n"]) for fill in fills)
        assert fees == 2 * Decimal(price) * Decimal("0.0002")
        assert Decimal(client.account()["totalWalletBalance"]) == 100_000 - fees
        assert client.position()["positionAmt"] == "2.000"
        assert any(Decimal(trade["p"]) < Decimal(price) for trade in [trades.next() for _ in range(30)])


def test_an_order_at_the_low_is_filled_by_at_most_the_volume_traded_there(new_venue: SteppedVenue) -> None:
    first = next(new_venue.candles())
    price = f"{Decimal(first.low).scaleb(-2):.2f}"
    with new_venue.client() as client:
        trades = client.stream("btcusdt@aggTrade")
        order_id = client.place("BUY", "20.000", price).answer["orderId"]
        client.stream(CANDLES).read_event("kline", x=True)
        at_low = sum(Decimal(trade["q"]) for trade in [trades.next() for _ in range(30)] if trade["p"] == price)
        row = client.query(order_id)
        assert (row["status"], Decimal(row["executedQty"])) == ("PARTIALLY_FILLED", at_low)
        assert Decimal(client.position()["positionAmt"]) == at_low


def test_a_resting_reduce_only_order_ends_with_the_position(new_venue: SteppedVenue) -> None:
    with new_venue.client() as client:
        user = client.user_stream()
        client.place("BUY", "0.050").assert_ok()
        ask = Decimal(client.get("/fapi/v1/depth", **BTC, limit=5)["asks"][0][0])
        for step in (1, 2):
            client.place("SELL", "0.040", f"{ask + step:.2f}", reduceOnly="true").assert_ok()
        candles = client.stream(CANDLES)
        candles.read_event("kline", x=True)
        play(new_venue, candles, 20)
        events = [
            event["o"] for event in user.read_until(lambda e: e.get("o", {}).get("x") == "EXPIRED") if "o" in event
        ]
        sold = [event for event in events if event["x"] == "TRADE" and event["S"] == "SELL"]
        assert sum(Decimal(event["l"]) for event in sold) == Decimal("0.050")
        assert client.position()["positionAmt"] == "0.000"
        assert client.open_orders() == []
        account, realized = client.account(), sum(Decimal(event["rp"]) for event in sold)
        fees = sum(Decimal(event["n"]) for event in events if event["x"] == "TRADE")
        assert Decimal(account["totalWalletBalance"]) == 100_000 + realized - fees
        assert realized > 0


def test_a_fill_is_stored_before_its_trade_is_published(new_venue: SteppedVenue) -> None:
    """The fill of a resting order is in the ledger, and in answers to queries, when its trade is sent."""
    first = next(new_venue.candles())
    price = f"{Decimal(first.low).scaleb(-2):.2f}"
    with new_venue.client() as client:
        order_id = client.place("BUY", "0.010", price).answer["orderId"]
        trades = client.stream("btcusdt@aggTrade")
        client.stream(CANDLES)
        trades.read_until(lambda trade: trade["p"] == price)
        assert client.query(order_id)["status"] == "FILLED"
        assert new_venue.audit().trades == 1
