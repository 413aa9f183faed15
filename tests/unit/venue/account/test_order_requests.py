"""What may be asked, and in which words the venue refuses the rest."""

from decimal import Decimal
from typing import Any

import pytest

from opslab.venue.account.order_requests import (
    Amendment,
    HistoryQuery,
    NewOrder,
    OrderRef,
    amendment,
    dual_side,
    leverage,
    margin_type,
    new_order,
    order_history,
    order_ref,
    trade_history,
)
from opslab.venue.api_error import HTTP_STATUS, MESSAGES, ApiError

SIGNED = {"timestamp": "1800000000000", "recvWindow": "5000", "signature": "ab", "apiKey": "k"}
LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.010",
    "price": "30000.10",
}
MARKET = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.010"}
MODIFY = {"symbol": "BTCUSDT", "orderId": "7", "side": "BUY", "quantity": "0.02", "price": "29999.9"}


def without(params: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in params.items() if key != name}


def test_a_limit_order_is_read() -> None:
    read = new_order(LIMIT | SIGNED | {"newClientOrderId": "x-aHRE4BCj-1:2/3.4", "reduceOnly": "true"}, "BTCUSDT")
    assert read == NewOrder(
        "BUY", "LIMIT", "GTC", Decimal("0.010"), Decimal("30000.10"), True, "x-aHRE4BCj-1:2/3.4", "ACK"
    )


def test_a_market_order_has_no_price_and_is_shown_as_gtc() -> None:
    read = new_order(MARKET | {"newOrderRespType": "RESULT"}, "BTCUSDT")
    assert read == NewOrder("SELL", "MARKET", "GTC", Decimal("0.010"), None, False, None, "RESULT")


def test_parameters_of_a_json_message_need_not_be_text() -> None:
    read = new_order(LIMIT | {"quantity": 0.01, "price": 30000, "reduceOnly": False, "timestamp": 1}, "BTCUSDT")
    assert (read.quantity, read.price, read.reduce_only) == (Decimal("0.01"), Decimal(30000), False)


def test_what_says_no_more_than_the_default_is_taken() -> None:
    said = {
        "positionSide": "BOTH",
        "closePosition": "false",
        "priceProtect": "FALSE",
        "workingType": "MARK_PRICE",
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
    }
    assert new_order(LIMIT | said, "BTCUSDT") == new_order(LIMIT, "BTCUSDT")


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("no symbol", without(LIMIT, "symbol"), -1102, "'symbol'"),
    ("another symbol", LIMIT | {"symbol": "ETHUSDT"}, -1121, "Invalid symbol."),
    ("an empty symbol", LIMIT | {"symbol": ""}, -1105, "'symbol'"),
    ("no side", without(LIMIT, "side"), -1102, "'side'"),
    ("another side", LIMIT | {"side": "buy"}, -1117, "Invalid side."),
    ("no type", without(LIMIT, "type"), -1102, "'type'"),
    ("an unknown type", LIMIT | {"type": "ICEBERG"}, -1116, "Invalid orderType."),
    ("a hedge side", LIMIT | {"positionSide": "LONG"}, -4061, "position side does not match"),
    ("no time in force", without(LIMIT, "timeInForce"), -1102, "'timeInForce'"),
    ("gtd", LIMIT | {"timeInForce": "GTD"}, -1115, "Invalid timeInForce."),
    ("an unknown time in force", LIMIT | {"timeInForce": "DAY"}, -1115, "Invalid timeInForce."),
    ("no price", without(LIMIT, "price"), -1102, "'price'"),
    ("no quantity", without(LIMIT, "quantity"), -1102, "'quantity'"),
    ("an empty quantity", LIMIT | {"quantity": ""}, -1105, "'quantity'"),
    ("a quantity with a sign", LIMIT | {"quantity": "-1"}, -1100, "'quantity'"),
    ("a quantity with an exponent", LIMIT | {"quantity": "1e2"}, -1100, "'quantity'"),
    ("a small float", LIMIT | {"quantity": 0.00001}, -1100, "'quantity'"),
    ("not a number", LIMIT | {"price": "NaN"}, -1100, "'price'"),
    ("arabic digits", LIMIT | {"price": "٣"}, -1100, "'price'"),
    ("a line's end", LIMIT | {"price": "3\n"}, -1100, "'price'"),
    ("21 digits", LIMIT | {"price": "1" * 21}, -1100, "'price'"),
    ("a list", LIMIT | {"price": ["3"]}, -1102, "'price'"),
    ("nothing", LIMIT | {"price": None}, -1102, "'price'"),
    ("a stop price", LIMIT | {"stopPrice": "1"}, -1106, "'stopprice' sent when not required"),
    ("a good-till date", LIMIT | {"goodTillDate": "1"}, -1106, "'goodtilldate'"),
    ("an activation price", MARKET | {"activationPrice": "1"}, -1106, "'activationprice'"),
    ("a callback rate", MARKET | {"callbackRate": "1"}, -1106, "'callbackrate'"),
    ("closing all", MARKET | {"closePosition": "true"}, -1106, "'closeposition'"),
    ("price protection", LIMIT | {"priceProtect": "TRUE"}, -1106, "'priceprotect'"),
    ("a market price", MARKET | {"price": "1"}, -1106, "'price'"),
    ("a market time in force", MARKET | {"timeInForce": "GTC"}, -1106, "'timeinforce'"),
    ("an unknown working type", LIMIT | {"workingType": "X"}, -1130, "'workingType'"),
    ("a price match", without(LIMIT, "price") | {"priceMatch": "QUEUE"}, -5037, "price match"),
    ("self-trade prevention", LIMIT | {"selfTradePreventionMode": "EXPIRE_TAKER"}, -5039, "self trade"),
    ("an unknown answer", LIMIT | {"newOrderRespType": "FULL"}, -1136, "newOrderRespType"),
    ("a client's id of 37", LIMIT | {"newClientOrderId": "a" * 37}, -4015, "36 chars"),
    ("a client's id with a space", LIMIT | {"newClientOrderId": "a b"}, -1100, "'newClientOrderId'"),
    ("an empty client's id", LIMIT | {"newClientOrderId": ""}, -1105, "'newClientOrderId'"),
    ("half reduce-only", LIMIT | {"reduceOnly": "yes"}, -4062, "reduceOnly"),
    ("something unheard of", LIMIT | {"colour": "red"}, -1104, "read '6' parameter(s) but was sent '7'"),
]
for _kind in ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"):
    REFUSED.append((f"a {_kind}", MARKET | {"type": _kind, "stopPrice": "1"}, -4120, "Algo Order API"))


@pytest.mark.parametrize(("params", "code", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_an_order_is_refused_with(params: dict[str, Any], code: int, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        new_order(params, "BTCUSDT")
    assert caught.value.code == code
    assert words in caught.value.msg
    assert caught.value.http_status == 400
    assert caught.value.body() == {"code": code, "msg": caught.value.msg}


def test_an_amendment_is_read() -> None:
    read = amendment(MODIFY | SIGNED | {"origType": "LIMIT", "priceMatch": "NONE", "positionSide": "BOTH"}, "BTCUSDT")
    assert read == Amendment(OrderRef(7, None), "BUY", Decimal("0.02"), Decimal("29999.9"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"orderId": None}, -1102),
        ({"orderId": "7.5"}, -1100),
        ({"orderId": "-7"}, -1100),
        ({"quantity": None}, -1102),
        ({"price": None}, -1102),
        ({"side": None}, -1102),
        ({"side": "LONG"}, -1117),
        ({"symbol": "ETHUSDT"}, -1121),
        ({"origType": "STOP"}, -5025),
        ({"positionSide": "SHORT"}, -4061),
        ({"priceMatch": "OPPONENT"}, -5037),
        ({"timeInForce": "GTC"}, -1104),
    ],
)
def test_an_amendment_is_refused(change: dict[str, Any], code: int) -> None:
    params = {key: value for key, value in (MODIFY | change).items() if value is not None}
    with pytest.raises(ApiError) as caught:
        amendment(params, "BTCUSDT")
    assert caught.value.code == code


def test_an_order_is_named_by_either_id() -> None:
    assert order_ref({"symbol": "BTCUSDT", "orderId": 12}, "BTCUSDT") == OrderRef(12, None)
    assert order_ref({"symbol": "BTCUSDT", "origClientOrderId": "a.1"}, "BTCUSDT") == OrderRef(None, "a.1")
    with pytest.raises(ApiError) as caught:
        order_ref({"symbol": "BTCUSDT"}, "BTCUSDT")
    assert caught.value.body() == {
        "code": -1102,
        "msg": "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
    }


def test_a_history_is_asked_for() -> None:
    symbol = {"symbol": "BTCUSDT"}
    assert order_history(symbol, "BTCUSDT") == HistoryQuery(None, None, None, None, 500)
    assert order_history(symbol | {"orderId": "5", "limit": "1000"}, "BTCUSDT").from_id == 5
    asked = symbol | {"orderId": "5", "startTime": "10", "endTime": "10", "limit": "1"}
    assert trade_history(asked, "BTCUSDT") == HistoryQuery(5, None, 10, 10, 1)
    assert trade_history(symbol | {"fromId": "9"}, "BTCUSDT").from_id == 9


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"startTime": "11", "endTime": "10"}, -1023),
        ({"fromId": "1", "startTime": "10"}, -1128),
        ({"limit": "0"}, -1130),
        ({"limit": "1001"}, -1130),
        ({"limit": "ten"}, -1100),
        ({"recent": "1"}, -1104),
    ],
)
def test_a_history_is_refused(more: dict[str, str], code: int) -> None:
    with pytest.raises(ApiError) as caught:
        trade_history({"symbol": "BTCUSDT"} | more, "BTCUSDT")
    assert caught.value.code == code


def test_settings_are_read() -> None:
    symbol = {"symbol": "BTCUSDT"}
    assert leverage(symbol | {"leverage": "20"}, "BTCUSDT") == 20
    assert margin_type(symbol | {"marginType": "ISOLATED"}, "BTCUSDT") == "ISOLATED"
    assert dual_side({"dualSidePosition": "false"}) is False
    assert dual_side({"dualSidePosition": True}) is True
    for act, code in (
        (lambda: leverage(symbol, "BTCUSDT"), -1102),
        (lambda: leverage(symbol | {"leverage": "2.5"}, "BTCUSDT"), -1100),
        (lambda: margin_type(symbol | {"marginType": "X"}, "BTCUSDT"), -1130),
        (lambda: dual_side({}), -1102),
        (lambda: dual_side({"dualSidePosition": "1"}), -1130),
    ):
        with pytest.raises(ApiError) as caught:
            act()
        assert caught.value.code == code


def test_every_status_is_of_a_message() -> None:
    assert HTTP_STATUS.keys() <= MESSAGES.keys()
    assert ApiError.of(-2015).http_status == 401
    assert ApiError(-1003, "words", http_status=418, headers={"Retry-After": "2"}).headers == {"Retry-After": "2"}
    assert ApiError(-9999, "words").http_status == 400
