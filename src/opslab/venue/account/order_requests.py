"""What a client asks of its orders: text becomes a type here, once, or is refused in the venue's words.

Parameters come from a query, a form or a JSON message; names are the venue's. What concerns the request and not the
order (`timestamp`, `recvWindow`, `signature`, `apiKey`) has been dealt with before and is passed over.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, cast

from opslab.model.messages.ledger_events import OrderType, Side, TimeInForce
from opslab.venue.api_error import ApiError

Params = Mapping[str, Any]
Answer = Literal["ACK", "RESULT"]

CLIENT_ID = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
NUMBER = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
WHOLE = r"^[0-9]{1,20}$"
LONGEST_CLIENT_ID = 36
ELSEWHERE = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
"""Order types that the venue takes at another endpoint only."""
_MATCHES = {name: re.compile(name) for name in (CLIENT_ID, NUMBER, WHOLE)}
_REQUEST = frozenset({"timestamp", "recvWindow", "signature", "apiKey"})
_PLACE = frozenset(
    {
        *("symbol", "side", "type", "timeInForce", "quantity", "price", "reduceOnly", "newClientOrderId"),
        *("newOrderRespType", "positionSide", "closePosition", "workingType", "priceProtect", "priceMatch"),
        *("selfTradePreventionMode", "goodTillDate", "stopPrice", "activationPrice", "callbackRate"),
    }
)
_CONDITIONAL = ("stopPrice", "activationPrice", "callbackRate", "goodTillDate")
"""Of orders that wait for a price or a date; none of those are taken here."""
_REFERENCE = frozenset({"symbol", "orderId", "origClientOrderId"})
_MODIFY = _REFERENCE | {"side", "quantity", "price", "priceMatch", "positionSide", "origType"}
_ORDERS = frozenset({"symbol", "orderId", "startTime", "endTime", "limit"})
_TRADES = _ORDERS | {"fromId"}
MOST_ROWS = 1000
DEFAULT_ROWS = 500


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order that may be placed. `price` is None of a market order and of no other."""

    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    price: Decimal | None
    reduce_only: bool
    client_order_id: str | None
    """None: the venue gives it one."""
    answer: Answer


@dataclass(frozen=True, slots=True)
class OrderRef:
    """Which order is meant. At least one is there; the number counts when both are."""

    order_id: int | None
    client_order_id: str | None


@dataclass(frozen=True, slots=True)
class Amendment:
    ref: OrderRef
    side: Side
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which rows of a history: of one order, from an id or a time on, no more than `limit`. Times in ms, inclusive."""

    order_id: int | None
    from_id: int | None
    start_ms: int | None
    end_ms: int | None
    limit: int


def new_order(params: Params, symbol: str) -> NewOrder:
    """Read `POST /fapi/v1/order` and `order.place`."""
    _check_known(params, _PLACE)
    check_symbol(params, symbol)
    side = _side(params)
    kind = _type(params)
    if (_text(params, "positionSide") or "BOTH") != "BOTH":
        raise ApiError.of(-4061)
    for name in _CONDITIONAL:
        if name in params:
            raise ApiError.not_required(name)
    for name in ("closePosition", "priceProtect"):
        if _flag(params, name, ApiError.invalid(name)):
            raise ApiError.not_required(name)
    if (_text(params, "workingType") or "CONTRACT_PRICE") not in ("CONTRACT_PRICE", "MARK_PRICE"):
        raise ApiError.invalid("workingType")
    if (_text(params, "priceMatch") or "NONE") != "NONE":
        raise ApiError.of(-5037)
    if (_text(params, "selfTradePreventionMode") or "NONE") != "NONE":
        raise ApiError.of(-5039)
    answer = _text(params, "newOrderRespType") or "ACK"
    if answer not in ("ACK", "RESULT"):
        raise ApiError.of(-1136)
    time_in_force, price = _limit_terms(params) if kind == "LIMIT" else _market_terms(params)
    return NewOrder(
        side=side,
        type=kind,
        time_in_force=time_in_force,
        quantity=_number(params, "quantity"),
        price=price,
        reduce_only=_flag(params, "reduceOnly", ApiError.of(-4062)),
        client_order_id=_client_id(params, "newClientOrderId"),
        answer=cast(Answer, answer),
    )


def amendment(params: Params, symbol: str) -> Amendment:
    """Read `PUT /fapi/v1/order` and `order.modify`."""
    _check_known(params, _MODIFY)
    check_symbol(params, symbol)
    if (_text(params, "origType") or "LIMIT") != "LIMIT":
        raise ApiError.of(-5025)
    if (_text(params, "positionSide") or "BOTH") != "BOTH":
        raise ApiError.of(-4061)
    if (_text(params, "priceMatch") or "NONE") != "NONE":
        raise ApiError.of(-5037)
    return Amendment(_reference(params), _side(params), _number(params, "quantity"), _number(params, "price"))


def order_ref(params: Params, symbol: str) -> OrderRef:
    """Read what names one order: to cancel it, or to ask for it."""
    _check_known(params, _REFERENCE)
    check_symbol(params, symbol)
    return _reference(params)


def order_history(params: Params, symbol: str) -> HistoryQuery:
    """Read `GET /fapi/v1/allOrders`: an order's id there is where to begin."""
    _check_known(params, _ORDERS)
    check_symbol(params, symbol)
    return HistoryQuery(None, _whole(params, "orderId"), *_span(params), _limit(params))


def trade_history(params: Params, symbol: str) -> HistoryQuery:
    """Read `GET /fapi/v1/userTrades`."""
    _check_known(params, _TRADES)
    check_symbol(params, symbol)
    from_id, (start_ms, end_ms) = _whole(params, "fromId"), _span(params)
    if from_id is not None and (start_ms is not None or end_ms is not None):
        raise ApiError.of(-1128)
    return HistoryQuery(_whole(params, "orderId"), from_id, start_ms, end_ms, _limit(params))


def leverage(params: Params, symbol: str) -> int:
    """Read `POST /fapi/v1/leverage`; whether it is one that the venue gives is not looked at here."""
    _check_known(params, frozenset({"symbol", "leverage"}))
    check_symbol(params, symbol)
    found = _whole(params, "leverage")
    if found is None:
        raise ApiError.missing("leverage")
    return found


def margin_type(params: Params, symbol: str) -> Literal["CROSSED", "ISOLATED"]:
    """Read `POST /fapi/v1/marginType`."""
    _check_known(params, frozenset({"symbol", "marginType"}))
    check_symbol(params, symbol)
    found = _required(params, "marginType")
    if found not in ("CROSSED", "ISOLATED"):
        raise ApiError.invalid("marginType")
    return cast(Literal["CROSSED", "ISOLATED"], found)


def dual_side(params: Params) -> bool:
    """Read `POST /fapi/v1/positionSide/dual`."""
    _check_known(params, frozenset({"dualSidePosition"}))
    _required(params, "dualSidePosition")
    return _flag(params, "dualSidePosition", ApiError.invalid("dualSidePosition"))


def check_symbol(params: Params, symbol: str, *, required: bool = True) -> bool:
    """Whether the request names the symbol, in any letters; another is refused, and none at all when it is required."""
    found = _text(params, "symbol")
    if found is None and required:
        raise ApiError.missing("symbol")
    if found is not None and found.upper() != symbol:
        raise ApiError.of(-1121)
    return found is not None


def _limit_terms(params: Params) -> tuple[TimeInForce, Decimal]:
    in_force = _required(params, "timeInForce")
    if in_force not in ("GTC", "IOC", "FOK", "GTX"):
        raise ApiError.of(-1115)
    return cast(TimeInForce, in_force), _number(params, "price")


def _market_terms(params: Params) -> tuple[TimeInForce, None]:
    for name in ("timeInForce", "price"):
        if name in params:
            raise ApiError.not_required(name)
    return "GTC", None


def _side(params: Params) -> Side:
    found = _required(params, "side")
    if found not in ("BUY", "SELL"):
        raise ApiError.of(-1117)
    return cast(Side, found)


def _type(params: Params) -> OrderType:
    found = _required(params, "type")
    if found in ELSEWHERE:
        raise ApiError.of(-4120)
    if found not in ("LIMIT", "MARKET"):
        raise ApiError.of(-1116)
    return cast(OrderType, found)


def _reference(params: Params) -> OrderRef:
    order_id = _whole(params, "orderId")
    client_order_id = _client_id(params, "origClientOrderId")
    if order_id is None and client_order_id is None:
        raise ApiError.neither("origClientOrderId", "orderId")
    return OrderRef(order_id, client_order_id)


def _client_id(params: Params, name: str) -> str | None:
    found = _text(params, name)
    if found is None:
        return None
    if len(found) > LONGEST_CLIENT_ID:
        raise ApiError.of(-4015)
    if not _fits(CLIENT_ID, found):
        raise ApiError.illegal(name, CLIENT_ID)
    return found


def _span(params: Params) -> tuple[int | None, int | None]:
    start_ms, end_ms = _whole(params, "startTime"), _whole(params, "endTime")
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise ApiError.of(-1023)
    return start_ms, end_ms


def _limit(params: Params) -> int:
    found = _whole(params, "limit")
    if found is None:
        return DEFAULT_ROWS
    if not 0 < found <= MOST_ROWS:
        raise ApiError.invalid("limit")
    return found


def _number(params: Params, name: str) -> Decimal:
    """A decimal, signs and exponents refused."""
    found = _required(params, name)
    if not _fits(NUMBER, found):
        raise ApiError.illegal(name, NUMBER)
    return Decimal(found)


def _whole(params: Params, name: str) -> int | None:
    found = _text(params, name)
    if found is None:
        return None
    if not _fits(WHOLE, found):
        raise ApiError.illegal(name, WHOLE)
    return int(found)


def _flag(params: Params, name: str, otherwise: ApiError) -> bool:
    found = (_text(params, name) or "false").lower()
    if found not in ("true", "false"):
        raise otherwise
    return found == "true"


def _required(params: Params, name: str) -> str:
    found = _text(params, name)
    if found is None:
        raise ApiError.missing(name)
    return found


def _text(params: Params, name: str) -> str | None:
    """As a query would have it; None when it is not there. Raises ApiError when it is there and says nothing."""
    if name not in params:
        return None
    found = params[name]
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, (int, float, Decimal)):
        return str(found)
    if not isinstance(found, str):
        raise ApiError.malformed(name)
    if not found:
        raise ApiError.of(-1105, name)
    return found


def _fits(pattern: str, text: str) -> bool:
    return _MATCHES[pattern].fullmatch(text) is not None


def _check_known(params: Params, known: frozenset[str]) -> None:
    read = len(params.keys() & (known | _REQUEST))
    if read < len(params):
        raise ApiError.of(-1104, read, len(params))
