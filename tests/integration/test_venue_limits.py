"""The venue's limits over real sockets: what is used is told; who goes beyond is held off, and barred in the end."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opslab.model.messages.venue_messages import VenueLimits
from tests.drivers.venue_client import ORDER, VenueChild, VenueClient, now_ms, order

LIMITS = VenueLimits(weight_per_minute=60, orders_per_10_seconds=5, orders_per_minute=7)
WINDOW_MS = 10_000
NEEDED_MS = 5_000
"""A test must be over before a window of the wall clock is."""
BTC = {"symbol": "BTCUSDT"}
USED = "x-mbx-used-weight-1m"
ORDERS_10S, ORDERS_1M = "x-mbx-order-count-10s", "x-mbx-order-count-1m"


@pytest.fixture
def venue(sample_home: Path, tmp_path: Path) -> Iterator[VenueChild]:
    with VenueChild(sample_home, tmp_path, limits=LIMITS) as venue:
        left_ms = WINDOW_MS - now_ms() % WINDOW_MS
        if left_ms < NEEDED_MS:
            time.sleep(left_ms / 1000)  # the venue counts by the wall clock: let its next window begin
        yield venue


@pytest.fixture
def client(venue: VenueChild) -> Iterator[VenueClient]:
    with venue.client() as client:
        yield client


def use_up(client: VenueClient) -> None:
    """All the weight there is."""
    used = int(client.ask("GET", "/fapi/v1/ping").headers[USED])
    while used < LIMITS.weight_per_minute:
        used = int(client.ask("GET", "/fapi/v1/ping").headers[USED])


def test_the_weight_that_was_used_is_told_with_every_answer(client: VenueClient) -> None:
    used = 0
    for method, path, params, weight in (
        ("GET", "/fapi/v1/ping", {}, 1),
        ("GET", "/fapi/v1/depth", {**BTC, "limit": "5"}, 2),
        ("GET", "/fapi/v1/depth", {**BTC, "limit": "500"}, 10),
        ("GET", "/fapi/v1/klines", {**BTC, "interval": "1m", "limit": "99"}, 1),
        ("GET", "/fapi/v1/klines", {**BTC, "interval": "1m"}, 5),
        ("GET", "/fapi/v1/ticker/bookTicker", {}, 5),
        ("GET", "/fapi/v1/ticker/bookTicker", BTC, 2),
        ("GET", "/fapi/v1/depth", {**BTC, "limit": "7"}, 1),  # refused, and counted
        ("GET", "/fapi/v1/nothing", {}, 1),
        ("GET", "/fapi/v2/account", {}, 5),  # unsigned
    ):
        used += weight
        assert client.ask(method, path, **params).headers[USED] == str(used), path


def test_who_goes_beyond_is_held_off_until_the_minute_is_over_and_barred_when_that_is_ignored(
    venue: VenueChild, client: VenueClient
) -> None:
    client.place("BUY", "0.010", "41000.0").assert_ok()
    use_up(client)
    client.place("BUY", "0.010", "40000.0").assert_ok()  # an order weighs nothing
    over = client.ask("GET", "/fapi/v1/ping")
    assert over.refused == (429, -1003)
    remaining_seconds = 60 - now_ms() // 1000 % 60
    assert remaining_seconds - 2 <= int(over.headers["retry-after"]) <= remaining_seconds + 2
    assert int(over.headers[USED]) <= LIMITS.weight_per_minute
    statuses = [client.ask("GET", "/fapi/v1/ping").status for _ in range(25)]
    assert statuses == [429] * 19 + [418] * 6
    barred = client.sign("GET", "/fapi/v1/openOrders", **BTC)
    assert barred.refused == (418, -1003)
    assert 110 <= int(barred.headers["retry-after"]) <= 120
    assert client.place("BUY", "0.010", "41000.0").refused == (418, -1003)
    with VenueClient(venue.endpoints, "127.0.0.2") as other:  # limits are by address
        assert len(other.open_orders()) == 2


def test_streams_go_on_while_requests_are_held_off(client: VenueClient) -> None:
    trades = client.stream("btcusdt@aggTrade")
    use_up(client)
    client.stream("btcusdt@kline_1m")
    assert trades.next()["a"] == 1


def test_the_trading_socket_shares_the_weight_and_tells_when_to_come_back(client: VenueClient) -> None:
    socket = client.trading()
    client.ask("GET", "/fapi/v1/depth", **BTC, limit="1000").assert_ok()
    [weight, *_] = socket.call("ping")["rateLimits"]
    assert (weight["limit"], weight["count"]) == (LIMITS.weight_per_minute, 21)
    use_up(client)
    answer = socket.call("ticker.price", **BTC)
    assert (answer["status"], answer["error"]["code"]) == (429, -1003)
    told = answer["error"]["data"]
    assert abs(told["serverTime"] - now_ms()) < 5_000
    assert 0 < told["retryAfter"] - told["serverTime"] <= 60_000


def test_orders_are_counted_and_cancels_are_not(client: VenueClient) -> None:
    counts = []
    for number in range(5):
        placed = client.place("BUY", "0.010", f"{41000 - number}.0")
        counts.append((placed.headers[ORDERS_10S], placed.headers[ORDERS_1M]))
        assert ORDERS_10S not in client.cancel(placed.found["orderId"]).headers
    assert counts == [(str(number), str(number)) for number in range(1, 6)]
    over = client.place("BUY", "0.010", "41000.0")
    assert over.refused == (429, -1015)
    assert 1 <= int(over.headers["retry-after"]) <= 10
    assert over.headers[ORDERS_10S] == "5"
    socket = client.trading()
    answer = socket.call("order.place", **order("BUY", "0.010", "41000.0"))
    assert (answer["status"], answer["error"]["code"]) == (429, -1015)
    assert [limit["count"] for limit in answer["rateLimits"]][1:] == [5, 5]
    assert client.open_orders() == []


def test_an_order_that_is_refused_is_counted_and_one_that_is_not_signed_is_not(client: VenueClient) -> None:
    refused = client.place("BUY", "0.010", "41000.05")
    assert (refused.refused, refused.headers[ORDERS_10S]) == ((400, -4014), "1")
    assert ORDERS_10S not in client.ask("POST", ORDER, **order("BUY", "0.010", "41000.0")).headers
    number = client.place("BUY", "0.010", "41000.0").found["orderId"]
    assert client.modify(number, "BUY", "0.010", "40000.0").headers[ORDERS_10S] == "3"


def test_the_limits_of_this_venue_are_in_exchange_info(client: VenueClient) -> None:
    limits = client.get("/fapi/v1/exchangeInfo")["rateLimits"]
    told = {(limit["rateLimitType"], limit["interval"], limit["intervalNum"]): limit["limit"] for limit in limits}
    assert told == {("REQUEST_WEIGHT", "MINUTE", 1): 60, ("ORDERS", "SECOND", 10): 5, ("ORDERS", "MINUTE", 1): 7}
