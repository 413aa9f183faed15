"""Valid order requests are parsed, and invalid ones are rejected with Binance's error."""

from decimal import Decimal
from typing import Any

import pytest

from opslab.venue.account.order_requests import (
    Amendment,
    HistoryQuery,
    NewOrder,
    OrderRef,
    parse_amendment,
    parse_dual_side,
    parse_leverage,
    parse_margin_type,
    parse_new_order,
    parse_order_history,
    parse_order_ref,
    parse_trade_history,
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


def test_a_limit_order_is_parsed() -> None:
    parsed = parse_new_order(
        LIMIT | SIGNED | {"newClientOrderId": "x-aHRE4BCj-1:2/3.4", "reduceOnly": "true"}, "BTCUSDT"
    )
    assert parsed == NewOrder(
        "BUY", "LIMIT", "GTC", Decimal("0.010"), Decimal("30000.10"), True, "x-aHRE4BCj-1:2/3.4", "ACK"
    )


def test_a_market_order_has_no_price_and_time_in_force_gtc() -> None:
    parsed = parse_new_order(MARKET | {"newOrderRespType": "RESULT"}, "BTCUSDT")
    assert parsed == NewOrder("SELL", "MARKET", "GTC", Decimal("0.010"), None, False, None, "RESULT")


def test_parameters_of_a_json_message_may_have_json_types() -> None:
    parsed = parse_new_order(LIMIT | {"quantity": 0.01, "price": 30000, "reduceOnly": False, "timestamp": 1}, "BTCUSDT")
    assert (parsed.quantity, parsed.price, parsed.reduce_only) == (Decimal("0.01"), Decimal(30000), False)


def test_parameters_equal_to_the_default_are_accepted() -> None:
    defaults = {
        "positionSide": "BOTH",
        "closePosition": "false",
        "priceProtect": "FALSE",
        "workingType": "MARK_PRICE",
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
    }
    assert parse_new_order(LIMIT | defaults, "BTCUSDT") == parse_new_order(LIMIT, "BTCUSDT")


REJECTED: list[tuple[str, dict[str, Any], int, str]] = [
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
    ("a line break", LIMIT | {"price": "3\n"}, -1100, "'price'"),
    ("21 digits", LIMIT | {"price": "1" * 21}, -1100, "'price'"),
    ("a list", LIMIT | {"price": ["3"]}, -1102, "'price'"),
    ("nothing", LIMIT | {"price": None}, -1102, "'price'"),
    ("a stop price", LIMIT | {"stopPrice": "1"}, -1106, "'stopprice' sent when not required"),
    ("a good-till date", LIMIT | {"goodTillDate": "1"}, -1106, "'goodtilldate'"),
    ("an activation price", MARKET | {"activationPrice": "1"}, -1106, "'activationprice'"),
    ("a callback rate", MARKET | {"callbackRate": "1"}, -1106, "'callbackrate'"),
    ("a close-position order", MARKET | {"closePosition": "true"}, -1106, "'closeposition'"),
    ("price protection", LIMIT | {"priceProtect": "TRUE"}, -1106, "'priceprotect'"),
    ("a market price", MARKET | {"price": "1"}, -1106, "'price'"),
    ("a market time in force", MARKET | {"timeInForce": "GTC"}, -1106, "'timeinforce'"),
    ("an unknown working type", LIMIT | {"workingType": "X"}, -1130, "'workingType'"),
    ("a price match", without(LIMIT, "price") | {"priceMatch": "QUEUE"}, -5037, "price match"),
    ("self-trade prevention", LIMIT | {"selfTradePreventionMode": "EXPIRE_TAKER"}, -5039, "self trade"),
    ("an unknown response type", LIMIT | {"newOrderRespType": "FULL"}, -1136, "newOrderRespType"),
    ("a client order id of 37", LIMIT | {"newClientOrderId": "a" * 37}, -4015, "36 chars"),
    ("a client order id with a space", LIMIT | {"newClientOrderId": "a b"}, -1100, "'newClientOrderId'"),
    ("an empty client order id", LIMIT | {"newClientOrderId": ""}, -1105, "'newClientOrderId'"),
    ("an invalid reduce-only", LIMIT | {"reduceOnly": "yes"}, -4062, "reduceOnly"),
    ("an unknown parameter", LIMIT | {"colour": "red"}, -1104, "read '6' parameter(s) but was sent '7'"),
]
for _kind in ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"):
    REJECTED.append((f"a {_kind}", MARKET | {"type": _kind, "stopPrice": "1"}, -4120, "Algo Order API"))


@pytest.mark.parametrize(("params", "code", "message"), [row[1:] for row in REJECTED], ids=[row[0] for row in REJECTED])
def test_an_invalid_order_is_rejected(params: dict[str, Any], code: int, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_new_order(params, "BTCUSDT")
    assert caught.value.code == code
    assert message in caught.value.msg
    assert caught.value.http_status == 400
    assert caught.value.body() == {"code": code, "msg": caught.value.msg}


def test_an_amendment_is_parsed() -> None:
    parsed = parse_amendment(
        MODIFY | SIGNED | {"origType": "LIMIT", "priceMatch": "NONE", "positionSide": "BOTH"}, "BTCUSDT"
    )
    assert parsed == Amendment(OrderRef(7, None), "BUY", Decimal("0.02"), Decimal("29999.9"))


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
def test_an_invalid_amendment_is_rejected(change: dict[str, Any], code: int) -> None:
    params = {key: value for key, value in (MODIFY | change).items() if value is not None}
    with pytest.raises(ApiError) as caught:
        parse_amendment(params, "BTCUSDT")
    assert caught.value.code == code


def test_an_order_is_named_by_either_id() -> None:
    assert parse_order_ref({"symbol": "BTCUSDT", "orderId": 12}, "BTCUSDT") == OrderRef(12, None)
    assert parse_order_ref({"symbol": "BTCUSDT", "origClientOrderId": "a.1"}, "BTCUSDT") == OrderRef(None, "a.1")
    with pytest.raises(ApiError) as caught:
        parse_order_ref({"symbol": "BTCUSDT"}, "BTCUSDT")
    assert caught.value.body() == {
        "code": -1102,
        "msg": "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
    }


def test_a_history_query_is_parsed() -> None:
    symbol = {"symbol": "BTCUSDT"}
    assert parse_order_history(symbol, "BTCUSDT") == HistoryQuery(None, None, None, None, 500)
    assert parse_order_history(symbol | {"orderId": "5", "limit": "1000"}, "BTCUSDT").from_id == 5
    params = symbol | {"orderId": "5", "startTime": "10", "endTime": "10", "limit": "1"}
    assert parse_trade_history(params, "BTCUSDT") == HistoryQuery(5, None, 10, 10, 1)
    assert parse_trade_history(symbol | {"fromId": "9"}, "BTCUSDT").from_id == 9


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"startTime": "11", "endTime": "10"}, -1023),
        ({"fromId": "1", "startTime": "10"}, -1128),
        ({"limit": "0"}, -1130),
        ({"limit": "1001"}, -1130),
        ({"limit": "ten"}, -1100),
        ({"recent": "1"}, -1104),
    ],
)
def test_an_invalid_history_query_is_rejected(extra: dict[str, str], code: int) -> None:
    with pytest.raises(ApiError) as caught:
        parse_trade_history({"symbol": "BTCUSDT"} | extra, "BTCUSDT")
    assert caught.value.code == code


def test_settings_are_parsed() -> None:
    symbol = {"symbol": "BTCUSDT"}
    assert parse_leverage(symbol | {"leverage": "20"}, "BTCUSDT") == 20
    assert parse_margin_type(symbol | {"marginType": "ISOLATED"}, "BTCUSDT") == "ISOLATED"
    assert parse_dual_side({"dualSidePosition": "false"}) is False
    assert parse_dual_side({"dualSidePosition": True}) is True
    for parse, code in (
        (lambda: parse_leverage(symbol, "BTCUSDT"), -1102),
        (lambda: parse_leverage(symbol | {"leverage": "2.5"}, "BTCUSDT"), -1100),
        (lambda: parse_margin_type(symbol | {"marginType": "X"}, "BTCUSDT"), -1130),
        (lambda: parse_dual_side({}), -1102),
        (lambda: parse_dual_side({"dualSidePosition": "1"}), -1130),
    ):
        with pytest.raises(ApiError) as caught:
            parse()
        assert caught.value.code == code


def test_every_http_status_has_a_message() -> None:
    assert HTTP_STATUS.keys() <= MESSAGES.keys()
    assert ApiError.of(-2015).http_status == 401
    assert ApiError(-1003, "text", http_status=418, headers={"Retry-After": "2"}).headers == {"Retry-After": "2"}
    assert ApiError(-9999, "text").http_status == 400
