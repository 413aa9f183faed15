"""Parse the parameters of order requests: text becomes a type here, once, or is rejected with Binance's error.

Parameters come from a query, a form or a JSON message; names are Binance's. Parameters of the request itself
(`timestamp`, `recvWindow`, `signature`, `apiKey`) are checked elsewhere before and ignored here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, cast

from opslab.model.messages.ledger_events import OrderSide, OrderType, TimeInForce
from opslab.venue.api_error import ApiError

Params = Mapping[str, Any]
ResponseType = Literal["ACK", "RESULT"]

CLIENT_ID = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
NUMBER = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
INTEGER = r"^[0-9]{1,20}$"
MAX_CLIENT_ID_LENGTH = 36
ALGO_ORDER_TYPES = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
"""Order types that Binance accepts at another endpoint only."""
_COMPILED = {pattern: re.compile(pattern) for pattern in (CLIENT_ID, NUMBER, INTEGER)}
_REQUEST = frozenset({"timestamp", "recvWindow", "signature", "apiKey"})
_PLACE = frozenset(
    {
        *("symbol", "side", "type", "timeInForce", "quantity", "price", "reduceOnly", "newClientOrderId"),
        *("newOrderRespType", "positionSide", "closePosition", "workingType", "priceProtect", "priceMatch"),
        *("selfTradePreventionMode", "goodTillDate", "stopPrice", "activationPrice", "callbackRate"),
    }
)
_CONDITIONAL = ("stopPrice", "activationPrice", "callbackRate", "goodTillDate")
"""Parameters of conditional orders; these orders are not supported."""
_REFERENCE = frozenset({"symbol", "orderId", "origClientOrderId"})
_MODIFY = _REFERENCE | {"side", "quantity", "price", "priceMatch", "positionSide", "origType"}
_ORDERS = frozenset({"symbol", "orderId", "startTime", "endTime", "limit"})
_TRADES = _ORDERS | {"fromId"}
MAX_ROWS = 1000
DEFAULT_ROWS = 500


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A parsed new order. `price` is None for a market order only."""

    side: OrderSide
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    price: Decimal | None
    reduce_only: bool
    client_order_id: str | None
    """None: the venue generates one."""
    response_type: ResponseType


@dataclass(frozen=True, slots=True)
class OrderRef:
    """Reference to one order. At least one id is set; with both, `order_id` decides."""

    order_id: int | None
    client_order_id: str | None


@dataclass(frozen=True, slots=True)
class Amendment:
    ref: OrderRef
    side: OrderSide
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Filter of a history: one order, start id, time range in ms (inclusive), and at most `limit` rows."""

    order_id: int | None
    from_id: int | None
    start_ms: int | None
    end_ms: int | None
    limit: int


def parse_new_order(params: Params, symbol: str) -> NewOrder:
    """Parse `POST /fapi/v1/order` and `order.place`."""
    _check_known(params, _PLACE)
    check_symbol(params, symbol)
    side = _side(params)
    order_type = _order_type(params)
    if (_text(params, "positionSide") or "BOTH") != "BOTH":
        raise ApiError.of(-4061)
    for name in _CONDITIONAL:
        if name in params:
            raise ApiError.not_required(name)
    for name in ("closePosition", "priceProtect"):
        if _boolean(params, name, ApiError.invalid(name)):
            raise ApiError.not_required(name)
    if (_text(params, "workingType") or "CONTRACT_PRICE") not in ("CONTRACT_PRICE", "MARK_PRICE"):
        raise ApiError.invalid("workingType")
    if (_text(params, "priceMatch") or "NONE") != "NONE":
        raise ApiError.of(-5037)
    if (_text(params, "selfTradePreventionMode") or "NONE") != "NONE":
        raise ApiError.of(-5039)
    response_type = _text(params, "newOrderRespType") or "ACK"
    if response_type not in ("ACK", "RESULT"):
        raise ApiError.of(-1136)
    time_in_force, price = _limit_terms(params) if order_type == "LIMIT" else _market_terms(params)
    return NewOrder(
        side=side,
        type=order_type,
        time_in_force=time_in_force,
        quantity=_number(params, "quantity"),
        price=price,
        reduce_only=_boolean(params, "reduceOnly", ApiError.of(-4062)),
        client_order_id=_client_id(params, "newClientOrderId"),
        response_type=cast(ResponseType, response_type),
    )


def parse_amendment(params: Params, symbol: str) -> Amendment:
    """Parse `PUT /fapi/v1/order` and `order.modify`."""
    _check_known(params, _MODIFY)
    check_symbol(params, symbol)
    if (_text(params, "origType") or "LIMIT") != "LIMIT":
        raise ApiError.of(-5025)
    if (_text(params, "positionSide") or "BOTH") != "BOTH":
        raise ApiError.of(-4061)
    if (_text(params, "priceMatch") or "NONE") != "NONE":
        raise ApiError.of(-5037)
    return Amendment(_reference(params), _side(params), _number(params, "quantity"), _number(params, "price"))


def parse_order_ref(params: Params, symbol: str) -> OrderRef:
    """Parse the reference to one order, to cancel or to query it."""
    _check_known(params, _REFERENCE)
    check_symbol(params, symbol)
    return _reference(params)


def parse_order_history(params: Params, symbol: str) -> HistoryQuery:
    """Parse `GET /fapi/v1/allOrders`: `orderId` is the start of the rows."""
    _check_known(params, _ORDERS)
    check_symbol(params, symbol)
    return HistoryQuery(None, _integer(params, "orderId"), *_time_range(params), _limit(params))


def parse_trade_history(params: Params, symbol: str) -> HistoryQuery:
    """Parse `GET /fapi/v1/userTrades`."""
    _check_known(params, _TRADES)
    check_symbol(params, symbol)
    from_id, (start_ms, end_ms) = _integer(params, "fromId"), _time_range(params)
    if from_id is not None and (start_ms is not None or end_ms is not None):
        raise ApiError.of(-1128)
    return HistoryQuery(_integer(params, "orderId"), from_id, start_ms, end_ms, _limit(params))


def parse_leverage(params: Params, symbol: str) -> int:
    """Parse `POST /fapi/v1/leverage`; the matching engine checks the limit."""
    _check_known(params, frozenset({"symbol", "leverage"}))
    check_symbol(params, symbol)
    leverage = _integer(params, "leverage")
    if leverage is None:
        raise ApiError.missing("leverage")
    return leverage


def parse_margin_type(params: Params, symbol: str) -> Literal["CROSSED", "ISOLATED"]:
    """Parse `POST /fapi/v1/marginType`."""
    _check_known(params, frozenset({"symbol", "marginType"}))
    check_symbol(params, symbol)
    margin_type = _required(params, "marginType")
    if margin_type not in ("CROSSED", "ISOLATED"):
        raise ApiError.invalid("marginType")
    return cast(Literal["CROSSED", "ISOLATED"], margin_type)


def parse_dual_side(params: Params) -> bool:
    """Parse `POST /fapi/v1/positionSide/dual`."""
    _check_known(params, frozenset({"dualSidePosition"}))
    _required(params, "dualSidePosition")
    return _boolean(params, "dualSidePosition", ApiError.invalid("dualSidePosition"))


def check_symbol(params: Params, symbol: str, *, required: bool = True) -> bool:
    """Whether the request names the symbol, in any case. Another symbol, or a missing required one, is an error."""
    named = _text(params, "symbol")
    if named is None and required:
        raise ApiError.missing("symbol")
    if named is not None and named.upper() != symbol:
        raise ApiError.of(-1121)
    return named is not None


def _limit_terms(params: Params) -> tuple[TimeInForce, Decimal]:
    time_in_force = _required(params, "timeInForce")
    if time_in_force not in ("GTC", "IOC", "FOK", "GTX"):
        raise ApiError.of(-1115)
    return cast(TimeInForce, time_in_force), _number(params, "price")


def _market_terms(params: Params) -> tuple[TimeInForce, None]:
    for name in ("timeInForce", "price"):
        if name in params:
            raise ApiError.not_required(name)
    return "GTC", None


def _side(params: Params) -> OrderSide:
    side = _required(params, "side")
    if side not in ("BUY", "SELL"):
        raise ApiError.of(-1117)
    return cast(OrderSide, side)


def _order_type(params: Params) -> OrderType:
    order_type = _required(params, "type")
    if order_type in ALGO_ORDER_TYPES:
        raise ApiError.of(-4120)
    if order_type not in ("LIMIT", "MARKET"):
        raise ApiError.of(-1116)
    return cast(OrderType, order_type)


def _reference(params: Params) -> OrderRef:
    order_id = _integer(params, "orderId")
    client_order_id = _client_id(params, "origClientOrderId")
    if order_id is None and client_order_id is None:
        raise ApiError.neither("origClientOrderId", "orderId")
    return OrderRef(order_id, client_order_id)


def _client_id(params: Params, name: str) -> str | None:
    client_id = _text(params, name)
    if client_id is None:
        return None
    if len(client_id) > MAX_CLIENT_ID_LENGTH:
        raise ApiError.of(-4015)
    if not _matches(CLIENT_ID, client_id):
        raise ApiError.illegal(name, CLIENT_ID)
    return client_id


def _time_range(params: Params) -> tuple[int | None, int | None]:
    start_ms, end_ms = _integer(params, "startTime"), _integer(params, "endTime")
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise ApiError.of(-1023)
    return start_ms, end_ms


def _limit(params: Params) -> int:
    limit = _integer(params, "limit")
    if limit is None:
        return DEFAULT_ROWS
    if not 0 < limit <= MAX_ROWS:
        raise ApiError.invalid("limit")
    return limit


def _number(params: Params, name: str) -> Decimal:
    """A decimal without sign and exponent."""
    text = _required(params, name)
    if not _matches(NUMBER, text):
        raise ApiError.illegal(name, NUMBER)
    return Decimal(text)


def _integer(params: Params, name: str) -> int | None:
    text = _text(params, name)
    if text is None:
        return None
    if not _matches(INTEGER, text):
        raise ApiError.illegal(name, INTEGER)
    return int(text)


def _boolean(params: Params, name: str, error: ApiError) -> bool:
    text = (_text(params, name) or "false").lower()
    if text not in ("true", "false"):
        raise error
    return text == "true"


def _required(params: Params, name: str) -> str:
    text = _text(params, name)
    if text is None:
        raise ApiError.missing(name)
    return text


def _text(params: Params, name: str) -> str | None:
    """The value as query text; None if the parameter is absent. Raises ApiError if it is present but empty."""
    if name not in params:
        return None
    value = params[name]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    if not isinstance(value, str):
        raise ApiError.malformed(name)
    if not value:
        raise ApiError.of(-1105, name)
    return value


def _matches(pattern: str, text: str) -> bool:
    return _COMPILED[pattern].fullmatch(text) is not None


def _check_known(params: Params, known: frozenset[str]) -> None:
    read_count = len(params.keys() & (known | _REQUEST))
    if read_count < len(params):
        raise ApiError.of(-1104, read_count, len(params))
