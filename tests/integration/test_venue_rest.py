"""Every REST endpoint of the venue, over HTTP: shape of the answer, effect, and errors with their codes."""

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import pytest

from opslab.model.market.candle import MINUTE_MS, Candle
from tests.drivers.venue_client import LISTEN_KEY, ORDER, Reply, SteppedVenue, VenueClient, now_ms, order
from tests.drivers.venue_process import SYMBOL
from tests.oracles.captured_payloads import assert_alike, captured
from tests.oracles.payload_shapes import (
    PRICE,
    PRODUCT,
    RATE,
    REST_AGG_TRADE,
    REST_BOOK_TICKER,
    REST_DEPTH,
    REST_KLINE,
    REST_PREMIUM_INDEX,
    REST_PRICE,
    REST_PRICE_KLINE,
    REST_TICKER,
    REST_TRADE,
    SIZE,
    has_shape,
)

PLAYED = 6
"""Minutes replayed before the tests."""
TICKS = 30
BTC = {"symbol": "BTCUSDT"}
AMOUNT = r"-?\d+\.\d{8}"
SIGNED_SIZE = r"-?\d+\.\d{3}"
WHOLE = r"\d+"

ANSWERED = {
    "orderId": int, "symbol": "BTCUSDT", "status": r"[A-Z_]+", "clientOrderId": r".{1,36}", "price": PRICE,
    "avgPrice": PRODUCT, "origQty": SIZE, "executedQty": SIZE, "cumQty": SIZE, "cumQuote": PRODUCT,
    "timeInForce": "GTC|IOC|FOK|GTX", "type": "LIMIT|MARKET", "reduceOnly": bool, "closePosition": bool,
    "side": "BUY|SELL", "positionSide": "BOTH", "stopPrice": PRICE, "workingType": "CONTRACT_PRICE",
    "priceProtect": bool, "origType": "LIMIT|MARKET", "priceMatch": "NONE", "selfTradePreventionMode": "NONE",
    "goodTillDate": int, "updateTime": int,
}  # fmt: skip
QUERIED = {**ANSWERED, "time": int}
USER_TRADE = {
    "symbol": "BTCUSDT", "id": int, "orderId": int, "side": "BUY|SELL", "price": PRICE, "qty": SIZE,
    "realizedPnl": AMOUNT, "marginAsset": "USDT", "quoteQty": PRODUCT, "commission": AMOUNT,
    "commissionAsset": "USDT", "time": int, "positionSide": "BOTH", "buyer": bool, "maker": bool,
}  # fmt: skip
TOTALS = {
    "totalInitialMargin": AMOUNT, "totalMaintMargin": AMOUNT, "totalWalletBalance": AMOUNT,
    "totalUnrealizedProfit": AMOUNT, "totalMarginBalance": AMOUNT, "totalPositionInitialMargin": AMOUNT,
    "totalOpenOrderInitialMargin": AMOUNT, "totalCrossWalletBalance": AMOUNT, "totalCrossUnPnl": AMOUNT,
    "availableBalance": AMOUNT, "maxWithdrawAmount": AMOUNT,
}  # fmt: skip
ASSET = {
    "asset": "USDT", "walletBalance": AMOUNT, "unrealizedProfit": AMOUNT, "marginBalance": AMOUNT,
    "maintMargin": AMOUNT, "initialMargin": AMOUNT, "positionInitialMargin": AMOUNT, "openOrderInitialMargin": AMOUNT,
    "crossWalletBalance": AMOUNT, "crossUnPnl": AMOUNT, "availableBalance": AMOUNT, "maxWithdrawAmount": AMOUNT,
    "updateTime": int,
}  # fmt: skip
CONFIG = {
    "feeTier": int, "canTrade": bool, "canDeposit": bool, "canWithdraw": bool, "updateTime": int,
    "multiAssetsMargin": bool, "tradeGroupId": int,
}  # fmt: skip
BALANCE = {
    "accountAlias": str, "asset": "USDT", "balance": AMOUNT, "crossWalletBalance": AMOUNT, "crossUnPnl": AMOUNT,
    "availableBalance": AMOUNT, "maxWithdrawAmount": AMOUNT, "marginAvailable": bool, "updateTime": int,
}  # fmt: skip
# Fields of both versions of positionRisk; the adapters read `leverage` as text, and from version 2 only.
RISK = {
    "symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": SIGNED_SIZE, "entryPrice": PRODUCT,
    "breakEvenPrice": str, "markPrice": RATE, "unRealizedProfit": AMOUNT, "liquidationPrice": str, "notional": AMOUNT,
    "isolatedWallet": str, "updateTime": int,
}  # fmt: skip
RISK_V2 = {
    **RISK, "leverage": WHOLE, "maxNotionalValue": WHOLE, "marginType": "cross", "isolatedMargin": str,
    "isAutoAddMargin": "false",
}  # fmt: skip
RISK_V3 = {
    **RISK, "isolatedMargin": str, "marginAsset": "USDT", "initialMargin": AMOUNT, "maintMargin": AMOUNT,
    "positionInitialMargin": AMOUNT, "openOrderInitialMargin": AMOUNT, "adl": int, "bidNotional": str,
    "askNotional": str,
}  # fmt: skip


@pytest.fixture(scope="module")
def venue(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedVenue]:
    """A market that is still after its first minutes."""
    with SteppedVenue(sample_home, tmp_path_factory.mktemp("venue"), ticks=TICKS, max_bars=PLAYED) as venue:
        with venue.client() as client:
            candles = client.stream("btcusdt@kline_1m")
            venue.play(PLAYED)
            for _ in range(PLAYED):
                candles.read_event("kline", x=True)
        yield venue


@pytest.fixture
def client(venue: SteppedVenue) -> Iterator[VenueClient]:
    """With a flat account."""
    with venue.client() as client:
        client.flatten()
        yield client


@pytest.fixture(scope="module")
def candles(venue: SteppedVenue) -> list[Candle]:
    return [candle for candle, _ in zip(venue.candles(), range(PLAYED), strict=False)]


def text_of(cents: int) -> str:
    return f"{Decimal(cents).scaleb(-2):.2f}"


def size_of(thousandths: int) -> str:
    return f"{Decimal(thousandths).scaleb(-3):.3f}"


# The market.


def test_ping(client: VenueClient) -> None:
    assert client.get("/fapi/v1/ping") == {}


def test_time_is_the_wall_clock(client: VenueClient) -> None:
    before = now_ms()
    assert before <= client.get("/fapi/v1/time")["serverTime"] <= now_ms()


def test_exchange_info_lists_the_symbol_and_its_order_types(client: VenueClient) -> None:
    info = client.get("/fapi/v1/exchangeInfo")
    assert info["timezone"] == "UTC"
    assert abs(info["serverTime"] - now_ms()) < 5_000
    assert {limit["rateLimitType"] for limit in info["rateLimits"]} == {"REQUEST_WEIGHT", "ORDERS"}
    [symbol] = info["symbols"]
    assert symbol["symbol"] == "BTCUSDT"
    assert symbol["orderTypes"] == ["LIMIT", "MARKET"]
    assert symbol["timeInForce"] == ["GTC", "IOC", "FOK", "GTX"]


@pytest.mark.parametrize("limit", [5, 10, 20, 50, 100, 500, 1000])
def test_depth_has_sorted_levels(client: VenueClient, limit: int) -> None:
    depth = client.get("/fapi/v1/depth", **BTC, limit=limit)
    assert has_shape(depth, REST_DEPTH)
    bids, asks = ([Decimal(price) for price, _ in depth[side]] for side in ("bids", "asks"))
    assert len(bids) == len(asks) == min(limit, 200)
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]


def test_symbols_are_accepted_in_lower_case(client: VenueClient) -> None:
    assert client.get("/fapi/v1/ticker/price", symbol="btcusdt")["symbol"] == "BTCUSDT"
    assert client.place("BUY", "0.010", "41000.0", symbol="btcusdt").answer["symbol"] == "BTCUSDT"


def test_the_quote_is_the_top_of_the_depth(client: VenueClient) -> None:
    depth = client.get("/fapi/v1/depth", **BTC, limit=5)
    ticker = client.get("/fapi/v1/ticker/bookTicker", **BTC)
    assert has_shape(ticker, REST_BOOK_TICKER)
    assert [ticker["bidPrice"], ticker["bidQty"]] == depth["bids"][0]
    assert [ticker["askPrice"], ticker["askQty"]] == depth["asks"][0]


def test_liquidity_taken_by_an_order_is_removed_from_the_depth_and_the_quote(client: VenueClient) -> None:
    (price, size), *_ = client.get("/fapi/v1/depth", **BTC, limit=5)["asks"]
    client.place("BUY", size).assert_ok()
    depth = client.get("/fapi/v1/depth", **BTC, limit=5)
    assert price not in [price for price, _ in depth["asks"]]
    assert client.get("/fapi/v1/ticker/bookTicker", **BTC)["askPrice"] == depth["asks"][0][0]


def test_trades_are_the_newest_in_ascending_order(client: VenueClient) -> None:
    trades = client.get("/fapi/v1/trades", **BTC, limit=7)
    assert has_shape(trades, [REST_TRADE])
    assert [trade["id"] for trade in trades] == list(range(PLAYED * TICKS - 6, PLAYED * TICKS + 1))
    for trade in trades:
        assert abs(Decimal(trade["price"]) * Decimal(trade["qty"]) - Decimal(trade["quoteQty"])) <= Decimal("0.01")
    assert client.get("/fapi/v1/ticker/price", **BTC)["price"] == trades[-1]["price"]


def test_historical_trades_start_at_an_id_and_need_the_key(client: VenueClient) -> None:
    trades = client.get("/fapi/v1/historicalTrades", **BTC, fromId=5, limit=3)
    assert [trade["id"] for trade in trades] == [5, 6, 7]
    keyless = client.send("GET", "/fapi/v1/historicalTrades", "symbol=BTCUSDT", headers={})
    assert keyless.error == (401, -2014)


def test_the_trades_of_a_minute_make_its_candle(client: VenueClient, candles: list[Candle]) -> None:
    for number, candle in enumerate(candles):
        trades = client.get("/fapi/v1/aggTrades", **BTC, fromId=number * TICKS + 1, limit=TICKS)
        assert has_shape(trades, [REST_AGG_TRADE])
        prices = [Decimal(trade["p"]) for trade in trades]
        summary = [prices[0], max(prices), min(prices), prices[-1], sum(Decimal(trade["q"]) for trade in trades)]
        assert summary == [
            *(Decimal(text_of(cents)) for cents in (candle.open, candle.high, candle.low, candle.close)),
            Decimal(size_of(candle.volume)),
        ]
        assert all(trade["f"] == trade["l"] == trade["a"] for trade in trades)


def test_trades_can_be_selected_by_time(client: VenueClient) -> None:
    trades = client.get("/fapi/v1/aggTrades", **BTC, limit=1000)
    middle = trades[len(trades) // 2]["T"]
    earlier = client.get("/fapi/v1/aggTrades", **BTC, endTime=middle - 1, limit=1000)
    later = client.get("/fapi/v1/aggTrades", **BTC, startTime=middle, limit=1000)
    assert earlier + later == trades
    assert client.get("/fapi/v1/aggTrades", **BTC, startTime=middle, limit=2) == later[:2]


def test_klines_are_the_candles_of_the_dataset(client: VenueClient, candles: list[Candle]) -> None:
    rows = client.get("/fapi/v1/klines", **BTC, interval="1m")
    assert has_shape(rows, [REST_KLINE])
    assert [[*row[:7], row[8]] for row in rows] == [
        [
            candle.open_ms,
            *(text_of(cents) for cents in (candle.open, candle.high, candle.low, candle.close)),
            size_of(candle.volume),
            candle.open_ms + MINUTE_MS - 1,
            TICKS,
        ]
        for candle in candles
    ]


def test_klines_are_selected_by_time_and_limit(client: VenueClient) -> None:
    opens = [row[0] for row in client.get("/fapi/v1/klines", **BTC, interval="1m")]

    def selected(**params: int) -> list[int]:
        return [row[0] for row in client.get("/fapi/v1/klines", **BTC, interval="1m", **params)]

    assert selected(limit=2) == opens[-2:]
    assert selected(startTime=opens[1], limit=2) == opens[1:3]
    assert selected(startTime=opens[1], endTime=opens[3]) == opens[1:4]
    assert selected(endTime=opens[2], limit=2) == opens[1:3]


def test_longer_klines_aggregate_minutes(client: VenueClient) -> None:
    minutes = client.get("/fapi/v1/klines", **BTC, interval="1m")
    for row, part in zip(client.get("/fapi/v1/klines", **BTC, interval="3m"), (minutes[:3], minutes[3:6]), strict=True):
        assert (row[0], row[1], row[4], row[6]) == (part[0][0], part[0][1], part[-1][4], part[-1][6])
        assert Decimal(row[2]) == max(Decimal(minute[2]) for minute in part)
        assert Decimal(row[3]) == min(Decimal(minute[3]) for minute in part)
        for column in (5, 7, 9, 10):
            assert Decimal(row[column]) == sum(Decimal(minute[column]) for minute in part)
        assert row[8] == sum(minute[8] for minute in part)


@pytest.mark.parametrize("interval", ["5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"])
def test_an_open_longer_kline_closes_at_the_current_price(client: VenueClient, interval: str) -> None:
    *_, last = client.get("/fapi/v1/klines", **BTC, interval=interval)
    assert has_shape(last, REST_KLINE)
    assert last[4] == client.get("/fapi/v1/ticker/price", **BTC)["price"]


def test_klines_of_the_contract_are_those_of_its_symbol(client: VenueClient) -> None:
    params = {"pair": "BTCUSDT", "contractType": "PERPETUAL", "interval": "1m"}
    assert client.get("/fapi/v1/continuousKlines", **params) == client.get("/fapi/v1/klines", **BTC, interval="1m")


@pytest.mark.parametrize(
    ("path", "symbol_param"), [("markPriceKlines", BTC), ("indexPriceKlines", {"pair": "BTCUSDT"})]
)
def test_mark_and_index_price_klines_have_only_the_prices_of_the_candles(
    client: VenueClient, path: str, symbol_param: dict[str, str]
) -> None:
    rows = client.get(f"/fapi/v1/{path}", **symbol_param, interval="3m", limit=2)
    assert has_shape(rows, [REST_PRICE_KLINE])
    candles = client.get("/fapi/v1/klines", **BTC, interval="3m", limit=2)
    assert [(row[0], row[6], *map(Decimal, row[1:5])) for row in rows] == [
        (row[0], row[6], *map(Decimal, row[1:5])) for row in candles
    ]


def test_the_24h_ticker_covers_the_replayed_candles(client: VenueClient, candles: list[Candle]) -> None:
    ticker = client.get("/fapi/v1/ticker/24hr", **BTC)
    assert has_shape(ticker, REST_TICKER)
    assert ticker["openPrice"] == text_of(candles[0].open)
    assert ticker["lastPrice"] == text_of(candles[-1].close)
    assert ticker["highPrice"] == text_of(max(candle.high for candle in candles))
    assert ticker["lowPrice"] == text_of(min(candle.low for candle in candles))
    assert ticker["volume"] == size_of(sum(candle.volume for candle in candles))
    assert (ticker["count"], ticker["firstId"], ticker["lastId"]) == (PLAYED * TICKS, 1, PLAYED * TICKS)
    assert abs(ticker["closeTime"] - now_ms()) < 5_000


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/fapi/v1/ticker/24hr", REST_TICKER),
        ("/fapi/v1/ticker/price", REST_PRICE),
        ("/fapi/v2/ticker/price", REST_PRICE),
        ("/fapi/v1/ticker/bookTicker", REST_BOOK_TICKER),
        ("/fapi/v1/premiumIndex", REST_PREMIUM_INDEX),
    ],
)
def test_without_a_symbol_the_answer_is_a_list(client: VenueClient, path: str, shape: Any) -> None:
    single = client.get(path, **BTC)
    [listed] = client.get(path)
    assert has_shape(single, shape)
    assert has_shape(listed, shape)
    assert single["symbol"] == listed["symbol"]


def test_the_mark_price_is_the_last_price(client: VenueClient) -> None:
    index = client.get("/fapi/v1/premiumIndex", **BTC)
    assert Decimal(index["markPrice"]) == Decimal(client.get("/fapi/v1/ticker/price", **BTC)["price"])
    assert index["nextFundingTime"] > now_ms()


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("depth", {}, -1102),
        ("depth", {"symbol": "ETHUSDT"}, -1121),
        ("depth", {**BTC, "limit": "7"}, -4021),
        ("depth", {**BTC, "limit": "x"}, -1102),
        ("trades", {**BTC, "limit": "1001"}, -1130),
        ("trades", {**BTC, "limit": "0"}, -1130),
        ("aggTrades", {**BTC, "fromId": "-1"}, -1102),
        ("klines", BTC, -1102),
        ("klines", {**BTC, "interval": "1s"}, -1120),
        ("klines", {**BTC, "interval": "1m", "limit": "1501"}, -1130),
        ("klines", {**BTC, "interval": "1m", "startTime": "2", "endTime": "1"}, -1023),
        ("continuousKlines", {"contractType": "PERPETUAL", "interval": "1m"}, -1102),
        ("continuousKlines", {"pair": "BTCUSDT", "interval": "1m"}, -1102),
        ("continuousKlines", {"pair": "BTCUSDT", "contractType": "CURRENT_QUARTER", "interval": "1m"}, -1130),
        ("markPriceKlines", {"interval": "1m"}, -1102),
        ("markPriceKlines", BTC, -1102),
        ("indexPriceKlines", {"pair": "ETHUSDT", "interval": "1m"}, -4144),
        ("ticker/price", {"symbol": "ETHUSDT"}, -1121),
        ("ticker/bookTicker", {"symbol": ""}, -1105),
        ("premiumIndex", {"symbol": "BTC%USDT"}, -1121),
    ],
)
def test_invalid_market_data_requests_are_refused(
    client: VenueClient, path: str, params: dict[str, str], code: int
) -> None:
    assert client.request("GET", f"/fapi/v1/{path}", **params).error == (400, code)


# Shapes compared with payloads captured from Binance.


def test_exchange_info_matches_the_captured_one(client: VenueClient) -> None:
    answer, expected = client.get("/fapi/v1/exchangeInfo"), captured("exchange_info")
    del expected["symbols"][0]["permissionSets"]  # account permissions: of no use to a client
    expected_filters, filters = (
        {f["filterType"]: f for f in info["symbols"][0].pop("filters")} for info in (expected, answer)
    )
    for name, expected_filter in expected_filters.items():
        if name != "POSITION_RISK_CONTROL":  # of single symbols, for some days only
            assert_alike(filters[name], expected_filter, name)
    assert_alike(answer, expected)


def test_depth_matches_the_captured_one(client: VenueClient) -> None:
    assert_alike(client.get("/fapi/v1/depth", **BTC, limit=5), captured("depth_snapshot"))


def test_aggregate_trades_match_the_captured_ones(client: VenueClient) -> None:
    expected = {name: value for name, value in captured("agg_trade").items() if name not in ("e", "E", "s", "st")}
    assert_alike(client.get("/fapi/v1/aggTrades", **BTC, limit=1), [expected])


# Orders.


def test_a_limit_order_rests(client: VenueClient) -> None:
    answer = client.place("BUY", "0.010", "41000.0", newClientOrderId="x-aHRE4BCj-T1.a:b/c_d").answer
    assert has_shape(answer, ANSWERED)
    assert (answer["status"], answer["clientOrderId"]) == ("NEW", "x-aHRE4BCj-T1.a:b/c_d")
    assert (answer["price"], answer["origQty"], answer["executedQty"]) == ("41000.00", "0.010", "0.000")
    [row] = client.open_orders()
    assert has_shape(row, QUERIED)
    assert row == client.query(answer["orderId"])


def test_an_order_is_acknowledged_as_new_unless_the_result_is_requested(client: VenueClient) -> None:
    ack = client.place("BUY", "0.010").answer
    result = client.place("SELL", "0.010", newOrderRespType="RESULT").answer
    assert has_shape(ack, ANSWERED)
    assert has_shape(result, ANSWERED)
    assert (ack["status"], ack["executedQty"], ack["avgPrice"]) == ("NEW", "0.000", "0.00000")
    assert (result["status"], result["executedQty"]) == ("FILLED", "0.010")
    assert Decimal(result["cumQuote"]) == Decimal(result["avgPrice"]) * Decimal("0.010")
    assert client.query(ack["orderId"])["status"] == "FILLED"


def test_a_market_order_takes_the_displayed_levels_at_their_prices(client: VenueClient) -> None:
    levels = client.get("/fapi/v1/depth", **BTC, limit=5)["asks"]
    quantity = Decimal(levels[0][1]) + Decimal(levels[1][1]) + Decimal("0.001")
    placed = client.place("BUY", str(quantity), newOrderRespType="RESULT").answer
    trades = client.signed_request("GET", "/fapi/v1/userTrades", **BTC, orderId=placed["orderId"]).answer
    assert has_shape(trades, [USER_TRADE])
    assert [[trade["price"], trade["qty"]] for trade in trades] == [*levels[:2], [levels[2][0], "0.001"]]
    assert not any(trade["maker"] for trade in trades)
    notional = sum(Decimal(trade["price"]) * Decimal(trade["qty"]) for trade in trades)
    assert Decimal(placed["cumQuote"]) == notional
    assert sum(Decimal(trade["commission"]) for trade in trades) == notional * Decimal("0.0005")


@pytest.mark.parametrize("time_in_force", ["IOC", "FOK"])
def test_an_ioc_or_fok_order_is_filled_at_once(client: VenueClient, time_in_force: str) -> None:
    price, size = client.get("/fapi/v1/depth", **BTC, limit=5)["asks"][0]
    placed = client.place("BUY", size, price, timeInForce=time_in_force, newOrderRespType="RESULT").answer
    assert (placed["status"], placed["executedQty"], placed["timeInForce"]) == ("FILLED", size, time_in_force)


def test_the_unfilled_rest_of_an_ioc_order_expires(client: VenueClient) -> None:
    price, size = client.get("/fapi/v1/depth", **BTC, limit=5)["asks"][0]
    quantity = str(Decimal(size) + Decimal("0.005"))
    placed = client.place("BUY", quantity, price, timeInForce="IOC", newOrderRespType="RESULT").answer
    assert (placed["status"], placed["executedQty"], placed["origQty"]) == ("EXPIRED", size, quantity)
    assert client.open_orders() == []


def test_a_reduce_only_order_fills_at_most_the_position(client: VenueClient) -> None:
    client.place("BUY", "0.010").assert_ok()
    placed = client.place("SELL", "0.500", reduceOnly="true", newOrderRespType="RESULT").answer
    assert (placed["status"], placed["executedQty"]) == ("EXPIRED", "0.010")
    assert client.position()["positionAmt"] == "0.000"


def test_an_order_is_modified(client: VenueClient) -> None:
    order_id = client.place("BUY", "0.010", "41000.0").answer["orderId"]
    answer = client.modify(order_id, "BUY", "0.012", "40900.0").answer
    assert has_shape(answer, ANSWERED)
    assert (answer["orderId"], answer["price"], answer["origQty"]) == (order_id, "40900.00", "0.012")
    assert client.query(order_id)["price"] == "40900.00"


def test_an_order_is_modified_by_its_client_id_and_the_order_id_takes_precedence(client: VenueClient) -> None:
    first = client.place("BUY", "0.010", "41000.0", newClientOrderId="first").answer["orderId"]
    second = client.place("BUY", "0.010", "41000.0", newClientOrderId="second").answer["orderId"]
    change = {**BTC, "side": "BUY", "quantity": "0.010", "price": "40500.0"}
    assert client.signed_request("PUT", ORDER, **change, origClientOrderId="second").answer["orderId"] == second
    assert (
        client.signed_request("PUT", ORDER, **change, origClientOrderId="second", orderId=first).answer["orderId"]
        == first
    )


def test_an_order_modified_to_a_marketable_price_is_filled(client: VenueClient) -> None:
    ask, _ = client.get("/fapi/v1/depth", **BTC, limit=5)["asks"][0]
    order_id = client.place("BUY", "0.003", "41000.0").answer["orderId"]
    assert client.modify(order_id, "BUY", "0.003", ask).answer["status"] == "FILLED"


def test_an_order_is_canceled_once(client: VenueClient) -> None:
    order_id = client.place("SELL", "0.010", "43000.0").answer["orderId"]
    answer = client.cancel(order_id).answer
    assert has_shape(answer, ANSWERED)
    assert answer["status"] == "CANCELED"
    assert client.cancel(order_id).error == (400, -2011)
    assert client.query(order_id)["status"] == "CANCELED"


def test_all_orders_are_canceled(client: VenueClient) -> None:
    for price in ("40000.0", "40100.0", "43000.0"):
        client.place("BUY" if price < "42" else "SELL", "0.010", price).assert_ok()
    assert client.signed_request("DELETE", "/fapi/v1/allOpenOrders", **BTC).answer["code"] == 200
    assert client.open_orders() == []
    assert client.signed_request("DELETE", "/fapi/v1/allOpenOrders", **BTC).answer["code"] == 200


def test_one_open_order_can_be_queried(client: VenueClient) -> None:
    order_id = client.place("BUY", "0.010", "41000.0", newClientOrderId="queried").answer["orderId"]
    for ref in ({"orderId": order_id}, {"origClientOrderId": "queried"}):
        assert has_shape(client.signed_request("GET", "/fapi/v1/openOrder", **BTC, **ref).answer, QUERIED)
    client.cancel(order_id).assert_ok()
    assert client.signed_request("GET", "/fapi/v1/openOrder", **BTC, orderId=order_id).error == (400, -2013)


def test_open_orders_are_the_same_with_and_without_a_symbol(client: VenueClient) -> None:
    numbers = [client.place("BUY", "0.010", price).answer["orderId"] for price in ("41000.0", "40000.0")]
    assert [row["orderId"] for row in client.open_orders()] == numbers
    assert client.signed_request("GET", "/fapi/v1/openOrders", **BTC).answer == client.open_orders()


def test_all_orders_start_at_an_id(client: VenueClient) -> None:
    numbers = [client.place("BUY", "0.010", price).answer["orderId"] for price in ("41000.0", "40000.0", "40500.0")]
    client.cancel(numbers[1]).assert_ok()
    rows = client.signed_request("GET", "/fapi/v1/allOrders", **BTC, orderId=numbers[0]).answer
    assert has_shape(rows, [QUERIED])
    assert [(row["orderId"], row["status"]) for row in rows] == [
        (numbers[0], "NEW"),
        (numbers[1], "CANCELED"),
        (numbers[2], "NEW"),
    ]
    limited = client.signed_request("GET", "/fapi/v1/allOrders", **BTC, orderId=numbers[0], limit=1).answer
    assert [row["orderId"] for row in limited] == numbers[:1]
    assert client.signed_request("GET", "/fapi/v1/allOrders", **BTC, startTime=now_ms() + 60_000).answer == []


def test_own_trades_are_in_ascending_order(client: VenueClient) -> None:
    numbers = [client.place(side, "0.010").answer["orderId"] for side in ("BUY", "SELL")]
    last = client.signed_request("GET", "/fapi/v1/userTrades", **BTC, limit=2).answer
    assert [trade["orderId"] for trade in last] == numbers
    assert [trade["buyer"] for trade in last] == [True, False]
    assert client.signed_request("GET", "/fapi/v1/userTrades", **BTC, fromId=last[1]["id"]).answer == last[1:]
    ambiguous = client.signed_request("GET", "/fapi/v1/userTrades", **BTC, fromId=1, startTime=1)
    assert ambiguous.error == (400, -1128)


def test_a_batch_is_answered_in_order_errors_included(client: VenueClient) -> None:
    batch = [
        order("BUY", "0.010", "41000.0", newClientOrderId="a"),
        order("BUY", "0.010", "41000.05"),
        order("BUY", "0.010", "40900.0", newClientOrderId="c"),
    ]
    first, second, third = client.signed_request("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps(batch)).answer
    assert has_shape(first, ANSWERED)
    assert second["code"] == -4014
    assert [first["clientOrderId"], third["clientOrderId"]] == ["a", "c"]
    numbers = json.dumps([first["orderId"], 10**15])
    canceled, unknown = client.signed_request("DELETE", "/fapi/v1/batchOrders", **BTC, orderIdList=numbers).answer
    assert (canceled["status"], unknown["code"]) == ("CANCELED", -2011)
    [canceled] = client.signed_request("DELETE", "/fapi/v1/batchOrders", **BTC, origClientOrderIdList='["c"]').answer
    assert (canceled["orderId"], canceled["status"]) == (third["orderId"], "CANCELED")


def test_a_batch_of_amendments_is_answered_in_order_errors_included(client: VenueClient) -> None:
    numbers = [client.place("BUY", "0.010", price).answer["orderId"] for price in ("41000.0", "40900.0")]
    changes = [
        {**BTC, "orderId": number, "side": "BUY", "quantity": "0.020", "price": "40800.0"}
        for number in (numbers[0], 10**15, numbers[1])
    ]
    first, second, third = client.signed_request("PUT", "/fapi/v1/batchOrders", batchOrders=json.dumps(changes)).answer
    assert has_shape(first, ANSWERED)
    assert ([first["orderId"], third["orderId"]], second["code"]) == (numbers, -2013)
    assert [(row["price"], row["origQty"]) for row in client.open_orders()] == [("40800.00", "0.020")] * 2


def test_lists_of_orders_to_cancel_are_accepted_in_lower_case(client: VenueClient) -> None:
    """As Binance accepts them: github.com/ccxt/ccxt/pull/22890 has a request and its answer."""
    numbers = [client.place("BUY", "0.010", "41000.0", newClientOrderId=name).answer["orderId"] for name in "ab"]
    for name, value in (("orderidlist", json.dumps(numbers[:1])), ("origclientorderidlist", '["b"]')):
        [canceled] = client.signed_request("DELETE", "/fapi/v1/batchOrders", **BTC, **{name: value}).answer
        assert canceled["status"] == "CANCELED"
    assert client.open_orders() == []


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("PUT", {}, -1102),
        ("PUT", {"batchOrders": json.dumps([{}] * 6)}, -4082),
        ("POST", {"batchOrders": json.dumps([order("BUY", "0.010", "41000.0")] * 6)}, -4082),
        ("POST", {"batchOrders": "[]"}, -4082),
        ("POST", {"batchOrders": "{"}, -1102),
        ("POST", {"batchOrders": "{}"}, -1102),
        ("POST", {}, -1102),
        ("DELETE", {**BTC, "orderIdList": json.dumps(list(range(11)))}, -4082),
        ("DELETE", BTC, -1102),
    ],
)
def test_invalid_batches_are_refused(client: VenueClient, method: str, params: dict[str, str], code: int) -> None:
    assert client.signed_request(method, "/fapi/v1/batchOrders", **params).error == (400, code)
    assert client.open_orders() == []


def test_conditional_orders_are_refused_and_their_lists_are_empty(client: VenueClient) -> None:
    conditional = {**BTC, "side": "BUY", "type": "STOP_MARKET", "algoType": "CONDITIONAL", "triggerPrice": "43000"}
    assert client.signed_request("POST", "/fapi/v1/algoOrder", **conditional, quantity="0.01").error == (400, -1116)
    assert client.signed_request("GET", "/fapi/v1/openAlgoOrders").answer == []
    assert client.signed_request("GET", "/fapi/v1/allAlgoOrders", **BTC).answer == []
    assert client.signed_request("DELETE", "/fapi/v1/algoOpenOrders", **BTC).answer["code"] == 200
    for method, code in (("GET", -2013), ("DELETE", -2011)):
        for ref in ({"algoId": 1}, {"clientAlgoId": "a"}):
            assert client.signed_request(method, "/fapi/v1/algoOrder", **ref).error == (400, code)
        assert client.signed_request(method, "/fapi/v1/algoOrder").error == (400, -1102)


COUNTDOWN = "/fapi/v1/countdownCancelAll"


def test_open_orders_are_canceled_at_the_end_of_a_countdown(venue: SteppedVenue, client: VenueClient) -> None:
    user_stream = client.user_stream()
    order_id = client.place("BUY", "0.010", "41000.0").answer["orderId"]
    start_seconds = time.monotonic()
    for wait_ms in (60_000, 300):  # the second replaces the first
        answer = client.signed_request("POST", COUNTDOWN, **BTC, countdownTime=wait_ms).answer
        assert answer == {"symbol": "BTCUSDT", "countdownTime": str(wait_ms)}
    assert client.query(order_id)["status"] == "NEW"
    user_stream.read_event("ORDER_TRADE_UPDATE", i=order_id, x="CANCELED")
    assert 0.3 <= time.monotonic() - start_seconds < 30
    assert client.open_orders() == []
    assert venue.audit().proven


def test_a_countdown_of_zero_stops_it(client: VenueClient) -> None:
    order_id = client.place("BUY", "0.010", "41000.0").answer["orderId"]
    client.signed_request("POST", COUNTDOWN, **BTC, countdownTime=200).assert_ok()
    client.signed_request("POST", COUNTDOWN, **BTC, countdownTime=0).assert_ok()
    start_seconds = time.monotonic()
    while time.monotonic() - start_seconds < 0.4:
        assert client.query(order_id)["status"] == "NEW"
    for params in ({}, BTC, {"symbol": "ETHUSDT", "countdownTime": 1}, {**BTC, "countdownTime": "soon"}):
        assert client.signed_request("POST", COUNTDOWN, **params).status == 400


def test_a_countdown_that_cannot_be_written_is_executed_once_it_can(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path) as venue, venue.client() as client:
        order_id = client.place("BUY", "0.010", "41000.0").answer["orderId"]
        user_stream = client.user_stream()
        with full_disk(venue, 0):
            client.signed_request("POST", COUNTDOWN, **BTC, countdownTime=1).assert_ok()
            assert client.cancel(order_id).error == (503, -1008)
        user_stream.read_event("ORDER_TRADE_UPDATE", i=order_id, x="CANCELED")
        assert venue.audit().proven


LIMIT = order("BUY", "0.010", "41000.0")
MARKET = order("BUY", "0.010")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        *(({**LIMIT, "type": kind}, -4120) for kind in ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET")),
        ({**LIMIT, "type": "TRAILING_STOP_MARKET"}, -4120),
        ({**LIMIT, "type": "ICEBERG"}, -1116),
        ({**LIMIT, "timeInForce": "GTD"}, -1115),
        ({**LIMIT, "timeInForce": "DAY"}, -1115),
        ({**LIMIT, "side": "SHORT"}, -1117),
        ({**LIMIT, "symbol": "ETHUSDT"}, -1121),
        ({**LIMIT, "price": "41000.05"}, -4014),
        ({**LIMIT, "price": "41000.001"}, -1111),
        ({**LIMIT, "quantity": "0.0105"}, -1111),
        ({**LIMIT, "quantity": "0"}, -4003),
        ({**LIMIT, "quantity": "1000.001"}, -4005),
        ({**MARKET, "quantity": "121"}, -4005),
        ({**LIMIT, "quantity": "-1"}, -1100),
        ({**LIMIT, "quantity": "1e1"}, -1100),
        ({**LIMIT, "quantity": "NaN"}, -1100),
        ({**LIMIT, "price": "0"}, -4001),
        ({**LIMIT, "price": "5000000"}, -4002),
        ({**LIMIT, "price": "500"}, -4013),
        ({**LIMIT, "price": "50000.0"}, -4016),
        ({**LIMIT, "side": "SELL", "price": "30000.0"}, -4024),
        ({**LIMIT, "quantity": "0.002"}, -4164),
        ({**LIMIT, "quantity": "30"}, -2019),
        ({**LIMIT, "reduceOnly": "true"}, -2022),
        ({**LIMIT, "reduceOnly": "perhaps"}, -4062),
        ({**LIMIT, "positionSide": "LONG"}, -4061),
        ({**LIMIT, "newClientOrderId": "x" * 37}, -4015),
        ({**LIMIT, "newClientOrderId": "a b"}, -1100),
        ({**LIMIT, "newOrderRespType": "FULL"}, -1136),
        ({**LIMIT, "priceMatch": "QUEUE"}, -5037),
        ({**LIMIT, "selfTradePreventionMode": "EXPIRE_TAKER"}, -5039),
        ({**LIMIT, "stopPrice": "41000"}, -1106),
        ({**LIMIT, "goodTillDate": "1"}, -1106),
        ({**LIMIT, "strange": "1"}, -1104),
        ({**LIMIT, "price": ""}, -1105),
        ({**MARKET, "timeInForce": "GTC"}, -1106),
        ({**MARKET, "price": "41000.0"}, -1106),
        *(({name: value for name, value in LIMIT.items() if name != missing}, -1102) for missing in LIMIT),
    ],
)
def test_invalid_orders_are_refused(client: VenueClient, params: dict[str, str], code: int) -> None:
    before = client.signed_request("GET", "/fapi/v1/allOrders", **BTC).answer
    assert client.signed_request("POST", ORDER, **params).error == (400, code)
    assert client.signed_request("GET", "/fapi/v1/allOrders", **BTC).answer == before


def test_a_marketable_gtx_order_and_an_unfillable_fok_order_are_refused(client: VenueClient) -> None:
    ask, size = client.get("/fapi/v1/depth", **BTC, limit=5)["asks"][0]
    assert client.place("BUY", "0.010", ask, timeInForce="GTX").error == (400, -5022)
    assert client.place("BUY", "0.010", "41000.0", timeInForce="GTX").answer["status"] == "NEW"
    quantity = str(Decimal(size) + 1)
    assert client.place("BUY", quantity, ask, timeInForce="FOK").error == (400, -5021)
    assert client.position()["positionAmt"] == "0.000"


def test_a_client_id_can_be_reused_once_its_order_has_ended(client: VenueClient) -> None:
    order_id = client.place("BUY", "0.010", "41000.0", newClientOrderId="again").answer["orderId"]
    assert client.place("BUY", "0.010", "41000.0", newClientOrderId="again").error == (400, -4116)
    client.cancel(order_id).assert_ok()
    second = client.place("BUY", "0.010", "41000.0", newClientOrderId="again").answer["orderId"]
    assert client.signed_request("GET", ORDER, **BTC, origClientOrderId="again").answer["orderId"] == second


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, -5027),
        ({"price": "41000.05"}, -4014),
        ({"quantity": "0.0105"}, -1111),
        ({"side": "SELL"}, -1117),
        ({"quantity": "0.002", "price": "40000.0"}, -5029),
        ({"origType": "STOP"}, -5025),
        ({"priceMatch": "QUEUE"}, -5037),
        ({"quantity": "30"}, -2019),
    ],
)
def test_a_refused_amendment_does_not_change_the_order(client: VenueClient, change: dict[str, str], code: int) -> None:
    placed = client.place("BUY", "0.010", "41000.0").answer
    params = {**BTC, "orderId": placed["orderId"], "side": "BUY", "quantity": "0.010", "price": "41000.0", **change}
    assert client.signed_request("PUT", ORDER, **params).error == (400, code)
    row = client.query(placed["orderId"])
    assert {name: row[name] for name in placed} == placed


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", ORDER, -2013),
        ("GET", "/fapi/v1/openOrder", -2013),
        ("DELETE", ORDER, -2011),
        ("PUT", ORDER, -2013),
    ],
)
def test_unknown_orders_are_refused(client: VenueClient, method: str, path: str, code: int) -> None:
    params = {"side": "BUY", "quantity": "0.010", "price": "41000.0"} if method == "PUT" else {}
    for ref in ({"orderId": 10**12}, {"origClientOrderId": "unknown"}):
        assert client.signed_request(method, path, **BTC, **ref, **params).error == (400, code)
    assert client.signed_request(method, path, **BTC, **params).error == (400, -1102)


def test_more_open_orders_than_the_symbol_allows_are_refused(client: VenueClient) -> None:
    for number in range(200):
        client.place("BUY", "0.003", f"{40000 + number}.0").assert_ok()
    assert client.place("BUY", "0.003", "41000.0").error == (400, -2025)
    assert len(client.open_orders()) == 200


def test_quantities_below_the_symbols_minimum_are_refused(sample_home: Path, tmp_path: Path) -> None:
    filters = [{**each, "minQty": "0.005"} if each["filterType"] == "LOT_SIZE" else each for each in SYMBOL["filters"]]
    large = {**SYMBOL, "filters": filters}
    with SteppedVenue(sample_home, tmp_path, symbol=large) as venue, venue.client() as client:
        assert client.place("BUY", "0.004", "41000.0").error == (400, -4004)
        assert client.place("BUY", "0.005", "41000.0").answer["origQty"] == "0.005"


def test_a_halted_symbol_refuses_orders_and_amendments(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path) as venue, venue.client() as client:
        order_id = client.place("BUY", "0.010", "41000.0").answer["orderId"]
    halted = {**SYMBOL, "status": "HALT"}
    with SteppedVenue(sample_home, tmp_path, symbol=halted) as venue, venue.client() as client:
        assert client.get("/fapi/v1/exchangeInfo")["symbols"][0]["status"] == "HALT"
        assert client.place("BUY", "0.010", "41000.0").error == (400, -4108)
        assert client.modify(order_id, "BUY", "0.010", "40900.0").error == (400, -5024)
        assert client.cancel(order_id).answer["status"] == "CANCELED"


# A full disk.


@contextmanager
def full_disk(venue: SteppedVenue, room_bytes: int) -> Iterator[None]:
    """Limit the size of the venue's files to that of its ledger plus `room_bytes`."""
    _, hard_limit = resource.prlimit(venue.pid, resource.RLIMIT_FSIZE)
    size = (venue.ledger / "ledger.jsonl").stat().st_size
    resource.prlimit(venue.pid, resource.RLIMIT_FSIZE, (size + room_bytes, hard_limit))
    try:
        yield
    finally:
        resource.prlimit(venue.pid, resource.RLIMIT_FSIZE, (hard_limit, hard_limit))


def test_a_request_that_cannot_be_written_is_refused_and_has_no_effect(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path) as venue, venue.client() as client:
        order_id = client.place("BUY", "0.010", "41000.0").answer["orderId"]
        client.place("BUY", "0.100").assert_ok()
        account, rows = client.account(), client.open_orders()
        before = (venue.ledger / "ledger.jsonl").read_bytes()
        for room in (0, 1, 100):
            with full_disk(venue, room):
                for reply in (
                    client.place("BUY", "0.010", "40000.0", newClientOrderId="lost"),
                    client.place("SELL", "0.100"),
                    client.modify(order_id, "BUY", "0.010", "40000.0"),
                    client.cancel(order_id),
                    client.signed_request("DELETE", "/fapi/v1/allOpenOrders", **BTC),
                    client.signed_request("POST", "/fapi/v1/leverage", **BTC, leverage=5),
                ):
                    assert reply.error == (503, -1008)
                assert (venue.ledger / "ledger.jsonl").read_bytes() == before
        assert (client.account(), client.open_orders()) == (account, rows)
        client.place("BUY", "0.010", "40000.0", newClientOrderId="kept").assert_ok()
        venue.kill()
        assert venue.audit().proven
        venue.start()
        with venue.client() as second_client:
            assert [row["clientOrderId"] for row in second_client.open_orders()][1:] == ["kept"]


def test_the_market_continues_while_nothing_can_be_written(sample_home: Path, tmp_path: Path) -> None:
    """An order whose price the market reaches stays open meanwhile, and is filled once there is space again."""
    with SteppedVenue(sample_home, tmp_path) as venue, venue.client() as client:
        order_id = client.place("BUY", "0.010", "41990.0").answer["orderId"]
        candles = client.stream()
        row_below = next(row for row, candle in enumerate(venue.candles()) if candle.low < 41_990_00)
        with full_disk(venue, 0):
            candles.subscribe("btcusdt@kline_1m")
            venue.play(row_below)
            for _ in range(row_below + 1):
                candles.read_event("kline", x=True)
            assert client.query(order_id)["status"] == "NEW"
        while client.query(order_id)["status"] == "NEW":
            venue.play()
            candles.read_event("kline", x=True)
        assert client.query(order_id)["status"] == "FILLED"
        assert venue.audit().proven


# The account.


def test_the_account_has_both_versions(client: VenueClient) -> None:
    client.place("BUY", "0.010").assert_ok()
    version_2 = client.account()
    version_3 = client.signed_request("GET", "/fapi/v3/account").answer
    [asset], [position] = version_2.pop("assets"), version_2.pop("positions")
    assert has_shape(asset, {**ASSET, "marginAvailable": bool})
    assert (position["symbol"], position["leverage"], position["isolated"]) == ("BTCUSDT", "10", False)
    assert has_shape(version_2, {**CONFIG, "feeBurn": bool, **TOTALS})
    [asset], [position_v3] = version_3.pop("assets"), version_3.pop("positions")
    assert has_shape(asset, ASSET)
    assert has_shape(version_3, TOTALS)
    assert position_v3["positionAmt"] == position["positionAmt"] == "0.010"
    client.flatten()
    assert client.signed_request("GET", "/fapi/v3/account").answer["positions"] == []
    assert len(client.account()["positions"]) == 1


def test_wallet_margin_and_available_balance_add_up(client: VenueClient) -> None:
    client.place("BUY", "1.000").assert_ok()
    client.place("BUY", "1.000", "41000.0").assert_ok()
    account = {name: Decimal(value) for name, value in client.account().items() if name in TOTALS}
    assert account["totalMarginBalance"] == account["totalWalletBalance"] + account["totalUnrealizedProfit"]
    assert account["availableBalance"] == account["totalMarginBalance"] - account["totalInitialMargin"]
    assert account["totalOpenOrderInitialMargin"] == 4100
    mark = Decimal(client.get("/fapi/v1/premiumIndex", **BTC)["markPrice"])
    assert account["totalPositionInitialMargin"] == mark / 10


def test_balances_have_both_versions(client: VenueClient) -> None:
    second, third = (client.signed_request("GET", f"/fapi/{version}/balance").answer for version in ("v2", "v3"))
    assert has_shape(second, [BALANCE])
    assert second == third
    assert second[0]["balance"] == client.account()["totalWalletBalance"]


def test_positions_have_both_versions(client: VenueClient) -> None:
    assert client.signed_request("GET", "/fapi/v3/positionRisk").answer == []
    assert has_shape(client.position(), RISK_V2)
    placed = client.place("SELL", "0.010", newOrderRespType="RESULT").answer
    second = client.signed_request("GET", "/fapi/v2/positionRisk", **BTC).answer
    third = client.signed_request("GET", "/fapi/v3/positionRisk", **BTC).answer
    assert has_shape(second, [RISK_V2])
    assert has_shape(third, [RISK_V3])
    assert second[0]["positionAmt"] == third[0]["positionAmt"] == "-0.010"
    assert second[0]["entryPrice"] == placed["avgPrice"]


def test_leverage_is_set_within_its_bounds(client: VenueClient) -> None:
    answer = client.signed_request("POST", "/fapi/v1/leverage", **BTC, leverage=20).answer
    assert has_shape(answer, {"leverage": int, "maxNotionalValue": WHOLE, "symbol": "BTCUSDT"})
    assert answer["leverage"] == 20
    assert client.position()["leverage"] == "20"
    for leverage in (0, 126):
        assert client.signed_request("POST", "/fapi/v1/leverage", **BTC, leverage=leverage).error == (400, -4028)
    assert client.signed_request("POST", "/fapi/v1/leverage", **BTC).error == (400, -1102)
    client.place("BUY", "20", "41000.0").assert_ok()
    assert client.signed_request("POST", "/fapi/v1/leverage", **BTC, leverage=2).error == (400, -2028)
    client.flatten()
    assert client.signed_request("POST", "/fapi/v1/leverage", **BTC, leverage=10).answer["leverage"] == 10


INCOME = "/fapi/v1/income"
INCOME_ROW = {
    "symbol": "BTCUSDT", "incomeType": "COMMISSION|REALIZED_PNL", "income": AMOUNT, "asset": "USDT", "info": str,
    "time": int, "tranId": int, "tradeId": WHOLE,
}  # fmt: skip


def test_income_has_the_fees_and_profits_of_trades(client: VenueClient) -> None:
    before = Decimal(client.account()["totalWalletBalance"])
    start_ms = now_ms()
    for side in ("BUY", "SELL"):
        client.place(side, "0.100").assert_ok()
    trades = [
        row for row in client.signed_request("GET", "/fapi/v1/userTrades", **BTC).answer if row["time"] >= start_ms
    ]
    rows = client.signed_request("GET", INCOME, startTime=start_ms).answer
    assert has_shape(rows, [INCOME_ROW])
    expected = [
        (str(trade["id"]), kind, amount)
        for trade in trades
        for kind, amount in (
            ("COMMISSION", -Decimal(trade["commission"])),
            ("REALIZED_PNL", Decimal(trade["realizedPnl"])),
        )
        if amount
    ]
    assert [(row["tradeId"], row["incomeType"], Decimal(row["income"])) for row in rows] == expected
    assert before + sum(Decimal(row["income"]) for row in rows) == Decimal(client.account()["totalWalletBalance"])

    def income(**params: Any) -> Any:
        return client.signed_request("GET", INCOME, **params).answer

    fees = [row for row in rows if row["incomeType"] == "COMMISSION"]
    assert income(**BTC, incomeType="COMMISSION", startTime=start_ms) == fees
    assert income(incomeType="FUNDING_FEE") == []
    assert income(limit=1) == rows[-1:]
    assert income(startTime=start_ms, limit=1) == rows[:1]
    assert income(startTime=start_ms, limit=1, page=2) == rows[1:2]
    assert income(endTime=start_ms - 1, startTime=start_ms - 1) == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "ETHUSDT"}, -1121),
        ({"incomeType": "LUCK"}, -1130),
        ({"startTime": "2", "endTime": "1"}, -1023),
        ({"limit": "1001"}, -1130),
        ({"page": "0"}, -1130),
    ],
)
def test_invalid_income_requests_are_refused(client: VenueClient, params: dict[str, str], code: int) -> None:
    assert client.signed_request("GET", INCOME, **params).error == (400, code)


def test_lists_that_are_always_empty(client: VenueClient) -> None:
    for params in ({}, BTC):
        assert client.signed_request("GET", "/fapi/v1/forceOrders", **params).answer == []
        status = client.signed_request("GET", "/fapi/v1/apiTradingStatus", **params).answer
        assert has_shape(status, {"indicators": {}, "updateTime": int})
    assert client.signed_request("GET", "/fapi/v1/positionMargin/history", **BTC).answer == []
    assert client.signed_request("GET", "/fapi/v1/positionMargin/history").error == (400, -1102)
    margin = {**BTC, "amount": "10"}
    assert client.signed_request("POST", "/fapi/v1/positionMargin", **margin, type=1).error == (400, -4054)
    assert client.signed_request("POST", "/fapi/v1/positionMargin", **margin, type=2).error == (400, -4051)
    assert client.signed_request("POST", "/fapi/v1/positionMargin", **margin, type=3).error == (400, -1130)
    assert client.signed_request("POST", "/fapi/v1/positionMargin", **margin).error == (400, -1102)


def test_the_order_rate_limits_have_their_own_endpoint(client: VenueClient) -> None:
    limits = client.get("/fapi/v1/exchangeInfo")["rateLimits"]
    assert client.signed_request("GET", "/fapi/v1/rateLimit/order").answer == limits[1:]
    assert {limit["rateLimitType"] for limit in limits[1:]} == {"ORDERS"}


def test_settings_that_cannot_be_changed(client: VenueClient) -> None:
    bracket = {
        "bracket": int, "initialLeverage": int, "notionalCap": int, "notionalFloor": int, "maintMarginRatio": float,
        "cum": float,
    }  # fmt: skip
    brackets = [{"symbol": "BTCUSDT", "brackets": [bracket]}]
    for params in (BTC, {}):
        assert has_shape(client.signed_request("GET", "/fapi/v1/leverageBracket", **params).answer, brackets)
    config = {
        "symbol": "BTCUSDT", "marginType": "CROSSED", "isAutoAddMargin": "false", "leverage": int,
        "maxNotionalValue": WHOLE,
    }  # fmt: skip
    assert has_shape(client.signed_request("GET", "/fapi/v1/symbolConfig", **BTC).answer, [config])
    assert has_shape(
        client.signed_request("GET", "/fapi/v1/accountConfig").answer, {**CONFIG, "dualSidePosition": bool}
    )
    assert client.signed_request("GET", "/fapi/v1/multiAssetsMargin").answer == {"multiAssetsMargin": False}
    for requested, code in (("false", -4171), ("true", -4084), ("both", -1130)):
        assert client.signed_request("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin=requested).error == (
            400,
            code,
        )
    assert client.signed_request("POST", "/fapi/v1/multiAssetsMargin").error == (400, -1102)
    assert client.signed_request("GET", "/fapi/v1/feeBurn").answer == {"feeBurn": False}
    assert client.signed_request("GET", "/fapi/v1/commissionRate", **BTC).answer == {
        "symbol": "BTCUSDT",
        "makerCommissionRate": "0.0002",
        "takerCommissionRate": "0.0005",
    }


def test_only_one_way_positions_and_crossed_margin_are_supported(client: VenueClient) -> None:
    dual, kind = "/fapi/v1/positionSide/dual", "/fapi/v1/marginType"
    assert client.signed_request("GET", dual).answer == {"dualSidePosition": False}
    assert client.signed_request("POST", dual, dualSidePosition="false").error == (400, -4059)
    assert client.signed_request("POST", dual, dualSidePosition="true").error == (400, -4084)
    assert client.signed_request("POST", kind, **BTC, marginType="CROSSED").error == (400, -4046)
    assert client.signed_request("POST", kind, **BTC, marginType="ISOLATED").error == (400, -4084)
    assert client.signed_request("POST", kind, **BTC, marginType="OTHER").error == (400, -1130)


def test_a_listen_key_is_issued_renewed_and_revoked(client: VenueClient) -> None:
    key = client.request("POST", LISTEN_KEY).answer["listenKey"]
    assert client.request("POST", LISTEN_KEY).answer == {"listenKey": key}
    assert client.signed_request("POST", LISTEN_KEY).answer == {"listenKey": key}
    assert client.signed_request("PUT", LISTEN_KEY, listenKey=key).answer == {"listenKey": key}
    assert client.signed_request("DELETE", LISTEN_KEY, listenKey=key).answer == {}
    assert client.signed_request("PUT", LISTEN_KEY, listenKey=key).error == (400, -1125)
    assert client.send("POST", LISTEN_KEY, headers={}).error == (401, -2014)


# Authentication.

PRIVATE = "/fapi/v2/balance"


def send_private(client: VenueClient, text: str, **options: Any) -> Reply:
    return client.send("GET", PRIVATE, f"{text}&signature={client.signature(text)}", **options)


def test_the_key_must_be_the_one_that_was_issued(client: VenueClient) -> None:
    text = f"timestamp={now_ms()}"
    assert send_private(client, text).status == 200
    assert send_private(client, text, headers={}).error == (401, -2014)
    assert send_private(client, text, headers={"X-MBX-APIKEY": "k" * 63}).error == (401, -2015)
    assert send_private(client, text, headers={"X-MBX-APIKEY": "\xff\xfe"}).error == (401, -2015)


def test_the_signature_covers_every_byte_of_the_request(client: VenueClient) -> None:
    text = f"timestamp={now_ms()}&recvWindow=5000"
    valid = client.signature(text)
    assert client.send("GET", PRIVATE, f"{text}&signature={valid}").status == 200
    assert client.send("GET", PRIVATE, f"{text}&signature={valid.upper()}").status == 200
    for query in (
        f"{text}&signature={valid[:-1]}",
        f"{text}&signature={'0' * 64}",
        f"{text}&signature=",
        f"{text.replace('5000', '5001')}&signature={valid}",
        f"recvWindow=5000&timestamp={text.partition('&')[0]}&signature={valid}",
        f"{text}&x=1&signature={valid}",
        f"{text}&signature={valid}&x=1",
    ):
        status, code = client.send("GET", PRIVATE, query).error
        assert (status, code) in ((400, -1022), (400, -1102)), query
    assert client.send("GET", PRIVATE, text).error == (400, -1102)


def test_the_signature_is_that_of_the_text_as_sent_however_escaped(client: VenueClient) -> None:
    batch = json.dumps([order("BUY", "0.010", "41000.0")])
    for escaped in (quote(batch), quote_plus(batch), quote(batch, safe="{}[]:,"), quote(batch).replace("%5B", "%5b")):
        text = f"batchOrders={escaped}&timestamp={now_ms()}"
        placed = client.send("POST", "/fapi/v1/batchOrders", f"{text}&signature={client.signature(text)}")
        assert placed.status == 200


def test_parameters_are_accepted_in_query_body_or_both(client: VenueClient) -> None:
    form = {"X-MBX-APIKEY": client.endpoints.api_key, "Content-Type": "application/x-www-form-urlencoded"}
    text = urlencode({**LIMIT, "timestamp": now_ms()})
    body = f"{text}&signature={client.signature(text)}"
    assert client.send("POST", ORDER, body=body, headers=form).answer["status"] == "NEW"
    query, body = urlencode(LIMIT), f"timestamp={now_ms()}"
    signature = client.signature(query + body)
    placed = client.send("POST", ORDER, query, body=f"{body}&signature={signature}", headers=form)
    assert placed.answer["status"] == "NEW"
    joined = client.signature(f"{query}&{body}")
    assert client.send("POST", ORDER, query, body=f"{body}&signature={joined}", headers=form).error == (400, -1022)


def test_a_request_is_valid_within_its_window_only(client: VenueClient) -> None:
    for offset_ms, window, code in (
        (-4_000, None, None),
        (-6_000, None, -1021),
        (-6_000, 60_000, None),
        (-50, 1, -1021),
        (500, None, None),
        (2_000, None, -1021),
        (2_000, 60_000, -1021),
        (0, 60_001, -1131),
        (0, 0, -1131),
        (0, -1, -1102),
        (0, "x", -1102),
    ):
        text = f"timestamp={now_ms() + offset_ms}" + (f"&recvWindow={window}" if window is not None else "")
        answer = send_private(client, text)
        assert (answer.status, code) == (200, None) or answer.error == (400, code), (offset_ms, window, answer)
    for text in ("timestamp=", "timestamp=soon", "timestamp=-1", "recvWindow=5000", "timestamp=" + "9" * 30):
        assert send_private(client, text).error == (400, -1102), text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, ORDER) for method in ("GET", "POST", "PUT", "DELETE")),
        *((method, "/fapi/v1/batchOrders") for method in ("POST", "PUT", "DELETE")),
        *(("GET", f"/fapi/v1/{name}") for name in ("income", "forceOrders", "apiTradingStatus", "feeBurn")),
        *(("GET", f"/fapi/v1/{name}") for name in ("positionMargin/history", "algoOrder", "rateLimit/order")),
        *(("POST", f"/fapi/v1/{name}") for name in ("countdownCancelAll", "positionMargin", "multiAssetsMargin")),
        ("DELETE", "/fapi/v1/algoOrder"),
        *(("GET", f"/fapi/v1/{name}") for name in ("openOrder", "openOrders", "allOrders", "userTrades")),
        *(("GET", f"/fapi/v1/{name}") for name in ("openAlgoOrders", "allAlgoOrders", "leverageBracket")),
        *(("GET", f"/fapi/v1/{name}") for name in ("commissionRate", "symbolConfig", "accountConfig")),
        *(("GET", f"/fapi/v1/{name}") for name in ("positionSide/dual", "multiAssetsMargin")),
        *(("GET", f"/fapi/{version}/{name}") for version in ("v2", "v3") for name in ("account", "balance")),
        *(("GET", f"/fapi/{version}/positionRisk") for version in ("v2", "v3")),
        *(("POST", f"/fapi/v1/{name}") for name in ("leverage", "marginType", "positionSide/dual", "algoOrder")),
        *(("DELETE", f"/fapi/v1/{name}") for name in ("allOpenOrders", "algoOpenOrders")),
    ],
)
def test_unsigned_requests_to_the_account_are_refused(client: VenueClient, method: str, path: str) -> None:
    assert client.send(method, path, urlencode(LIMIT), headers={}).error == (401, -2014)
    text = urlencode({**LIMIT, "timestamp": now_ms()})
    assert client.send(method, path, f"{text}&signature={'0' * 64}").error == (400, -1022)
    assert client.open_orders() == []


# The server.


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/fapi/v1/x"), ("POST", "/fapi/v1/time"), ("GET", "/fapi/v1/time/"), ("PATCH", ORDER)],
)
def test_unknown_paths_and_methods_are_refused(client: VenueClient, method: str, path: str) -> None:
    assert client.send(method, path).error == (404, -5000)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("symbol=BTCUSDT&symbol=BTCUSDT", -1101),
        ("&".join(f"p{number}=1" for number in range(101)), -1101),
        ("symbol=%ff", -1130),
        ("symbol=%ed%b0%80", -1130),
    ],
)
def test_malformed_queries_are_refused(client: VenueClient, query: str, code: int) -> None:
    assert client.send("GET", "/fapi/v1/depth", query).error == (400, code)


def test_malformed_bodies_are_refused(client: VenueClient) -> None:
    assert client.send("POST", ORDER, body=b"\xff\xfe").error == (400, -1100)
    assert client.send("POST", ORDER, body=b"a" * (65 << 10)).error == (413, -1000)


def test_a_request_without_upgrade_to_a_socket_path_is_refused(client: VenueClient) -> None:
    for path in ("/ws", "/stream", "/ws-fapi/v1"):
        assert client.send("GET", path).error == (400, -1000)


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1.example.com", "[::2]", "0.0.0.0", ""])
def test_a_request_for_another_host_is_refused(client: VenueClient, host: str) -> None:
    answer = client.send("GET", "/fapi/v1/time", headers={"Host": host})
    assert answer.error == (403, -1000)


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "127.0.0.2", "[::1]", "[::1]:80"])
def test_every_loopback_host_name_is_served(client: VenueClient, host: str) -> None:
    assert client.send("GET", "/fapi/v1/ping", headers={"Host": host}).answer == {}


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 100])
def test_data_that_is_not_http_does_not_affect_other_clients(
    venue: SteppedVenue, client: VenueClient, data: bytes
) -> None:
    url = urlsplit(venue.endpoints.rest_url)
    assert url.hostname is not None
    with socket.create_connection((url.hostname, url.port), timeout=5) as raw:
        raw.sendall(data)
        raw.shutdown(socket.SHUT_WR)
        assert b"200 OK" not in raw.recv(1 << 16)
    assert client.get("/fapi/v1/ping") == {}


def test_order_ids_and_trade_ids_ascend(client: VenueClient) -> None:
    for _ in range(3):
        client.place("BUY", "0.010").assert_ok()
    orders = [row["orderId"] for row in client.signed_request("GET", "/fapi/v1/allOrders", **BTC, limit=1000).answer]
    trades = [row["id"] for row in client.signed_request("GET", "/fapi/v1/userTrades", **BTC, limit=1000).answer]
    for numbers in (orders, trades):
        assert all(before < after for before, after in pairwise(numbers))
