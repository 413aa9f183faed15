"""Rate limits over real sockets: usage is reported; beyond the limits a client gets 429, and 418 if it ignores that."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opslab.model.messages.venue_messages import VenueLimits
from tests.drivers.venue_client import ORDER, SteppedVenue, VenueClient, now_ms, order

LIMITS = VenueLimits(weight_per_minute=60, orders_per_10_seconds=5, orders_per_minute=7)
WINDOW_MS = 10_000
NEEDED_MS = 5_000
"""A test must end before the current window of the wall clock."""
BTC = {"symbol": "BTCUSDT"}
USED = "x-mbx-used-weight-1m"
ORDERS_10S, ORDERS_1M = "x-mbx-order-count-10s", "x-mbx-order-count-1m"


@pytest.fixture
def venue(sample_home: Path, tmp_path: Path) -> Iterator[SteppedVenue]:
    with SteppedVenue(sample_home, tmp_path, limits=LIMITS) as venue:
        remaining_ms = WINDOW_MS - now_ms() % WINDOW_MS
        if remaining_ms < NEEDED_MS:
            time.sleep(remaining_ms / 1000)  # the venue counts by the wall clock: wait for its next window
        yield venue


@pytest.fixture
def client(venue: SteppedVenue) -> Iterator[VenueClient]:
    with venue.client() as client:
        yield client


def use_up(client: VenueClient) -> None:
    """Use all the weight of the limit."""
    used = int(client.request("GET", "/fapi/v1/ping").headers[USED])
    while used < LIMITS.weight_per_minute:
        used = int(client.request("GET", "/fapi/v1/ping").headers[USED])


def test_every_answer_has_the_used_weight(client: VenueClient) -> None:
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
        assert client.request(method, path, **params).headers[USED] == str(used), path


def test_beyond_the_limit_requests_get_429_for_the_rest_of_the_minute_and_418_if_they_continue(
    venue: SteppedVenue, client: VenueClient
) -> None:
    client.place("BUY", "0.010", "41000.0").assert_ok()
    use_up(client)
    client.place("BUY", "0.010", "40000.0").assert_ok()  # an order weighs nothing
    error = client.request("GET", "/fapi/v1/ping")
    assert error.error == (429, -1003)
    remaining_seconds = 60 - now_ms() // 1000 % 60
    assert remaining_seconds - 2 <= int(error.headers["retry-after"]) <= remaining_seconds + 2
    assert int(error.headers[USED]) <= LIMITS.weight_per_minute
    statuses = [client.request("GET", "/fapi/v1/ping").status for _ in range(25)]
    assert statuses == [429] * 19 + [418] * 6
    banned = client.signed_request("GET", "/fapi/v1/openOrders", **BTC)
    assert banned.error == (418, -1003)
    assert 110 <= int(banned.headers["retry-after"]) <= 120
    assert client.place("BUY", "0.010", "41000.0").error == (418, -1003)
    with VenueClient(venue.endpoints, "127.0.0.2") as second_client:  # limits are by address
        assert len(second_client.open_orders()) == 2


def test_streams_continue_while_requests_are_limited(client: VenueClient) -> None:
    trades = client.stream("btcusdt@aggTrade")
    use_up(client)
    client.stream("btcusdt@kline_1m")
    assert trades.next()["a"] == 1


def test_the_trading_socket_shares_the_weight_and_reports_retry_after(client: VenueClient) -> None:
    socket = client.trading()
    client.request("GET", "/fapi/v1/depth", **BTC, limit="1000").assert_ok()
    [weight, *_] = socket.call("ping")["rateLimits"]
    assert (weight["limit"], weight["count"]) == (LIMITS.weight_per_minute, 21)
    use_up(client)
    answer = socket.call("ticker.price", **BTC)
    assert (answer["status"], answer["error"]["code"]) == (429, -1003)
    data = answer["error"]["data"]
    assert abs(data["serverTime"] - now_ms()) < 5_000
    assert 0 < data["retryAfter"] - data["serverTime"] <= 60_000


def test_orders_are_counted_and_cancels_are_not(client: VenueClient) -> None:
    counts = []
    for number in range(5):
        placed = client.place("BUY", "0.010", f"{41000 - number}.0")
        counts.append((placed.headers[ORDERS_10S], placed.headers[ORDERS_1M]))
        assert ORDERS_10S not in client.cancel(placed.answer["orderId"]).headers
    assert counts == [(str(number), str(number)) for number in range(1, 6)]
    error = client.place("BUY", "0.010", "41000.0")
    assert error.error == (429, -1015)
    assert 1 <= int(error.headers["retry-after"]) <= 10
    assert error.headers[ORDERS_10S] == "5"
    socket = client.trading()
    answer = socket.call("order.place", **order("BUY", "0.010", "41000.0"))
    assert (answer["status"], answer["error"]["code"]) == (429, -1015)
    assert [limit["count"] for limit in answer["rateLimits"]][1:] == [5, 5]
    assert client.open_orders() == []


def test_a_refused_order_is_counted_and_an_unsigned_one_is_not(client: VenueClient) -> None:
    refused = client.place("BUY", "0.010", "41000.05")
    assert (refused.error, refused.headers[ORDERS_10S]) == ((400, -4014), "1")
    assert ORDERS_10S not in client.request("POST", ORDER, **order("BUY", "0.010", "41000.0")).headers
    order_id = client.place("BUY", "0.010", "41000.0").answer["orderId"]
    assert client.modify(order_id, "BUY", "0.010", "40000.0").headers[ORDERS_10S] == "3"


def test_exchange_info_has_the_limits_of_the_venue(client: VenueClient) -> None:
    limits = client.get("/fapi/v1/exchangeInfo")["rateLimits"]
    shown = {(limit["rateLimitType"], limit["interval"], limit["intervalNum"]): limit["limit"] for limit in limits}
    assert shown == {("REQUEST_WEIGHT", "MINUTE", 1): 60, ("ORDERS", "SECOND", 10): 5, ("ORDERS", "MINUTE", 1): 7}
