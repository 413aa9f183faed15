"""REST endpoints of the account. Weights are Binance's."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import from_json

from opslab.venue.account import account_payloads, order_requests
from opslab.venue.account.account import Account
from opslab.venue.account.order_payloads import (
    accepted_response,
    all_orders,
    open_orders,
    order_response,
    order_row,
    user_trades,
)
from opslab.venue.api_error import ApiError
from opslab.venue.exchange import Exchange
from opslab.venue.transport.endpoint import Endpoint, EndpointTable, Params, parse_integer, parse_optional_integer
from opslab.venue.transport.user_data_stream import UserDataStream

MAX_BATCH_ORDERS = 5
MAX_BATCH_CANCELS = 10
INCOME_TYPES = frozenset(
    {
        *("TRANSFER", "WELCOME_BONUS", "REALIZED_PNL", "FUNDING_FEE", "COMMISSION", "INSURANCE_CLEAR"),
        *("REFERRAL_KICKBACK", "COMMISSION_REBATE", "API_REBATE", "CONTEST_REWARD", "CROSS_COLLATERAL_TRANSFER"),
        *("OPTIONS_PREMIUM_FEE", "OPTIONS_SETTLE_PROFIT", "INTERNAL_TRANSFER", "AUTO_EXCHANGE"),
        *("DELIVERED_SETTELMENT", "COIN_SWAP_DEPOSIT", "COIN_SWAP_WITHDRAW", "POSITION_LIMIT_INCREASE_FEE"),
        *("STRATEGY_UMFUTURES_TRANSFER", "FEE_RETURN", "BFUSD_REWARD", "SPECIAL_FUNDING_FEE"),
    }
)
"""The types that Binance knows; the venue has rows of two of them."""
RETRY_SECONDS = 1.0
"""Delay before the cancel of a countdown is retried after a failed ledger write."""
Handler = Callable[[Params], Any]


class AccountEndpoints:
    def __init__(self, exchange: Exchange, users: UserDataStream) -> None:
        self._exchange = exchange
        self._users = users
        self._symbol = exchange.instrument.symbol
        self._format = exchange.number_format
        self._countdown: asyncio.TimerHandle | None = None
        """Timer of the cancel of all open orders; None without a countdown."""

    @property
    def _account(self) -> Account:
        return self._exchange.account

    def table(self) -> EndpointTable:
        return {**self._orders(), **self._state(), **self._settings(), **self._listen_key()}

    def _orders(self) -> EndpointTable:
        order, batch = "/fapi/v1/order", "/fapi/v1/batchOrders"
        return {
            ("POST", order): _trade(self.place, 0, orders=1),
            ("PUT", order): _trade(self.modify, 1, orders=1),
            ("DELETE", order): _trade(self.cancel, 1),
            ("GET", order): _signed(self.query, 1),
            ("POST", batch): _trade(self.place_batch, 5, orders=MAX_BATCH_ORDERS),
            ("PUT", batch): _trade(self.modify_batch, 5, orders=MAX_BATCH_ORDERS),
            ("DELETE", batch): _trade(self.cancel_batch, 1),
            ("DELETE", "/fapi/v1/allOpenOrders"): _trade(self.cancel_all, 1),
            ("POST", "/fapi/v1/countdownCancelAll"): _trade(self.count_down, 10),
            ("GET", "/fapi/v1/openOrder"): _signed(self.open_order, 1),
            ("GET", "/fapi/v1/openOrders"): _signed(self.open_orders, _by_symbol(1, 40)),
            ("GET", "/fapi/v1/allOrders"): _signed(self.all_orders, 5),
            ("GET", "/fapi/v1/userTrades"): _signed(self.user_trades, 5),
            # No liquidation is simulated.
            ("GET", "/fapi/v1/forceOrders"): _signed(self._none_of_symbol(required=False), _by_symbol(20, 50)),
            # Conditional orders are not supported, so that none exists.
            ("POST", "/fapi/v1/algoOrder"): _trade(_no_algo_orders, 1),
            ("GET", "/fapi/v1/algoOrder"): _signed(_no_such_algo_order(-2013), 1),
            ("DELETE", "/fapi/v1/algoOrder"): _trade(_no_such_algo_order(-2011), 1),
            ("GET", "/fapi/v1/openAlgoOrders"): _signed(lambda _params: [], _by_symbol(1, 40)),
            ("GET", "/fapi/v1/allAlgoOrders"): _signed(lambda _params: [], 5),
            ("DELETE", "/fapi/v1/algoOpenOrders"): _trade(_canceled_all, 1),
        }

    def _state(self) -> EndpointTable:
        exchange, texts = self._exchange, self._format
        return {
            ("GET", "/fapi/v2/account"): _signed(
                lambda _params: account_payloads.account_v2(self._account, exchange.view.mark, texts), 5
            ),
            ("GET", "/fapi/v3/account"): _signed(
                lambda _params: account_payloads.account_v3(self._account, exchange.view.mark, texts), 5
            ),
            ("GET", "/fapi/v2/balance"): _signed(
                lambda _params: account_payloads.balance(self._account, exchange.view.mark), 5
            ),
            ("GET", "/fapi/v3/balance"): _signed(
                lambda _params: account_payloads.balance(self._account, exchange.view.mark), 5
            ),
            ("GET", "/fapi/v2/positionRisk"): _signed(self._of_symbol(account_payloads.position_risk_v2), 5),
            ("GET", "/fapi/v3/positionRisk"): _signed(self._of_symbol(account_payloads.position_risk_v3), 5),
            ("GET", "/fapi/v1/income"): _signed(self.income, 30),
            ("GET", "/fapi/v1/apiTradingStatus"): _signed(self.trading_status, _by_symbol(1, 10)),
        }

    def _settings(self) -> EndpointTable:
        return {
            ("POST", "/fapi/v1/leverage"): _signed(self.set_leverage, 1),
            ("GET", "/fapi/v1/leverageBracket"): _signed(self.leverage_bracket, 1),
            ("POST", "/fapi/v1/marginType"): _signed(self.set_margin_type, 1),
            ("POST", "/fapi/v1/positionMargin"): _signed(self.change_margin, 1),
            ("GET", "/fapi/v1/positionMargin/history"): _signed(self._none_of_symbol(required=True), 1),
            ("GET", "/fapi/v1/positionSide/dual"): _signed(lambda _params: {"dualSidePosition": False}, 30),
            ("POST", "/fapi/v1/positionSide/dual"): _signed(_set_dual_side, 1),
            ("GET", "/fapi/v1/multiAssetsMargin"): _signed(lambda _params: {"multiAssetsMargin": False}, 30),
            ("POST", "/fapi/v1/multiAssetsMargin"): _signed(_set_multi_assets, 1),
            ("GET", "/fapi/v1/feeBurn"): _signed(lambda _params: {"feeBurn": False}, 30),
            ("GET", "/fapi/v1/commissionRate"): _signed(self.commission_rate, 20),
            ("GET", "/fapi/v1/symbolConfig"): _signed(
                lambda _params: [account_payloads.symbol_config(self._account)], 5
            ),
            ("GET", "/fapi/v1/accountConfig"): _signed(lambda _params: account_payloads.account_config(), 5),
        }

    def _listen_key(self) -> EndpointTable:
        path = "/fapi/v1/listenKey"
        return {
            ("POST", path): Endpoint(lambda _params: {"listenKey": self._users.issue()}, 1, "key"),
            ("PUT", path): Endpoint(self.renew_listen_key, 1, "key"),
            ("DELETE", path): Endpoint(self.close_listen_key, 1, "key"),
        }

    def place(self, params: Mapping[str, Any]) -> Any:
        new = order_requests.parse_new_order(params, self._symbol)
        accepted, order = self._exchange.place(new)
        if new.response_type == "ACK":
            return accepted_response(accepted, self._format)
        return order_response(order, self._format)

    def modify(self, params: Params) -> Any:
        return order_response(self._exchange.modify(order_requests.parse_amendment(params, self._symbol)), self._format)

    def cancel(self, params: Params) -> Any:
        return order_response(self._exchange.cancel(order_requests.parse_order_ref(params, self._symbol)), self._format)

    def query(self, params: Params) -> Any:
        return order_row(self._exchange.find(order_requests.parse_order_ref(params, self._symbol)), self._format)

    def open_order(self, params: Params) -> Any:
        order = self._exchange.find(order_requests.parse_order_ref(params, self._symbol))
        if order.order_id not in self._account.open:
            raise ApiError.of(-2013)
        return order_row(order, self._format)

    def open_orders(self, params: Params) -> Any:
        order_requests.check_symbol(params, self._symbol, required=False)
        return open_orders(self._account, self._format)

    def place_batch(self, params: Params) -> Any:
        batch = _parse_list(params, "batchOrders", MAX_BATCH_ORDERS)
        return [self._batch_item(self.place, item) for item in batch]

    def modify_batch(self, params: Params) -> Any:
        batch = _parse_list(params, "batchOrders", MAX_BATCH_ORDERS)
        return [self._batch_item(self.modify, item) for item in batch]

    def cancel_batch(self, params: Params) -> Any:
        order_requests.check_symbol(params, self._symbol)
        # Binance accepts these two names in lower case too, and some clients send them so.
        names = {name.lower(): name for name in ("orderIdList", "origClientOrderIdList")}
        params = {names.get(name, name): value for name, value in params.items()}
        by_id = "orderIdList" in params
        ids = _parse_list(params, "orderIdList" if by_id else "origClientOrderIdList", MAX_BATCH_CANCELS)
        key = "orderId" if by_id else "origClientOrderId"
        return [self._batch_item(self.cancel, {"symbol": self._symbol, key: str(order_id)}) for order_id in ids]

    def _batch_item(self, handler: Callable[[Any], Any], params: Any) -> Any:
        try:
            if not isinstance(params, dict):
                raise ApiError.malformed("batchOrders")
            return handler(params)
        except ApiError as error:
            return error.body()

    def cancel_all(self, params: Params) -> Any:
        order_requests.check_symbol(params, self._symbol)
        self._exchange.cancel_all()
        return _canceled_all(params)

    def count_down(self, params: Params) -> Any:
        """Start a countdown to the cancel of all open orders; a new request restarts it, 0 ends it."""
        order_requests.check_symbol(params, self._symbol)
        wait_ms = parse_optional_integer(params, "countdownTime")
        if wait_ms is None:
            raise ApiError.missing("countdownTime")
        if self._countdown:
            self._countdown.cancel()
        self._countdown = self._start_countdown(wait_ms / 1000) if wait_ms else None
        return {"symbol": self._symbol, "countdownTime": str(wait_ms)}

    def _start_countdown(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._on_countdown)

    def _on_countdown(self) -> None:
        self._countdown = None
        try:
            self._exchange.cancel_all()
        except ApiError:
            self._countdown = self._start_countdown(RETRY_SECONDS)

    def all_orders(self, params: Params) -> Any:
        return all_orders(self._account, order_requests.parse_order_history(params, self._symbol), self._format)

    def user_trades(self, params: Params) -> Any:
        return user_trades(self._account, order_requests.parse_trade_history(params, self._symbol), self._format)

    def income(self, params: Params) -> Any:
        """Ascending; the latest rows unless the request has a start time or a page."""
        order_requests.check_symbol(params, self._symbol, required=False)
        kind = params.get("incomeType")
        if kind is not None and kind not in INCOME_TYPES:
            raise ApiError.invalid("incomeType")
        start, end = parse_optional_integer(params, "startTime"), parse_optional_integer(params, "endTime")
        if start is not None and end is not None and start > end:
            raise ApiError.of(-1023)
        limit, page = parse_integer(params, "limit", 100, 1, 1000), parse_integer(params, "page", 1, 1, 10**6)
        rows = [
            row
            for row in account_payloads.income(self._account)
            if kind in (None, row["incomeType"])
            and (start is None or row["time"] >= start)
            and (end is None or row["time"] <= end)
        ]
        return rows[-limit:] if start is None and "page" not in params else rows[limit * (page - 1) : limit * page]

    def trading_status(self, params: Params) -> Any:
        order_requests.check_symbol(params, self._symbol, required=False)
        return account_payloads.trading_status(self._account)

    def set_leverage(self, params: Params) -> Any:
        self._exchange.set_leverage(order_requests.parse_leverage(params, self._symbol))
        return account_payloads.leverage(self._account)

    def leverage_bracket(self, params: Params) -> Any:
        order_requests.check_symbol(params, self._symbol, required=False)
        return [account_payloads.leverage_bracket(self._symbol)]

    def set_margin_type(self, params: Params) -> Any:
        if order_requests.parse_margin_type(params, self._symbol) == "CROSSED":
            raise ApiError.of(-4046)
        raise ApiError.of(-4084)

    def change_margin(self, params: Params) -> Any:
        """For isolated positions only, which never exist here."""
        order_requests.check_symbol(params, self._symbol)
        for name in ("amount", "type"):
            if not params.get(name):
                raise ApiError.missing(name)
        adds = parse_integer(params, "type", 1, 1, 2) == 1
        raise ApiError.of(-4054 if adds else -4051)

    def commission_rate(self, params: Params) -> Any:
        order_requests.check_symbol(params, self._symbol)
        return account_payloads.commission_rate(self._account)

    def renew_listen_key(self, _params: Params) -> Any:
        if not self._users.renew():
            raise ApiError.of(-1125)
        return {"listenKey": self._users.issue()}

    def close_listen_key(self, _params: Params) -> Any:
        self._users.revoke()
        return {}

    def _none_of_symbol(self, *, required: bool) -> Handler:
        def handler(params: Params) -> Any:
            order_requests.check_symbol(params, self._symbol, required=required)
            return []

        return handler

    def _of_symbol(self, build: Callable[..., Any]) -> Handler:
        def handler(params: Params) -> Any:
            order_requests.check_symbol(params, self._symbol, required=False)
            return build(self._account, self._exchange.view.mark, self._format)

        return handler


def _signed(handler: Handler, weight: int | Callable[[Params], int]) -> Endpoint:
    return Endpoint(handler, weight, "signed")


def _trade(handler: Handler, weight: int, orders: int = 0) -> Endpoint:
    return Endpoint(handler, weight, "signed", orders=orders, slow=True)


def _by_symbol(symbol_weight: int, all_weight: int) -> Callable[[Params], int]:
    return lambda params: symbol_weight if "symbol" in params else all_weight


def _no_algo_orders(_params: Params) -> Any:
    raise ApiError.of(-1116)


def _no_such_algo_order(code: int) -> Handler:
    def handler(params: Params) -> Any:
        if not (params.get("algoId") or params.get("clientAlgoId")):
            raise ApiError.neither("algoId", "clientAlgoId")
        raise ApiError.of(code)

    return handler


def _canceled_all(_params: Params) -> Any:
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def _set_dual_side(params: Params) -> Any:
    if order_requests.parse_dual_side(params):
        raise ApiError.of(-4084)
    raise ApiError.of(-4059)


def _set_multi_assets(params: Params) -> Any:
    requested = params.get("multiAssetsMargin", "").lower()
    if not requested:
        raise ApiError.missing("multiAssetsMargin")
    if requested not in ("true", "false"):
        raise ApiError.invalid("multiAssetsMargin")
    raise ApiError.of(-4084 if requested == "true" else -4171)


def _parse_list(params: Params, name: str, max_items: int) -> list[Any]:
    """Parse a parameter that is a JSON list of 1 to `max_items` items."""
    if not params.get(name):
        raise ApiError.missing(name)
    try:
        items = from_json(params[name])
    except ValueError:
        raise ApiError.malformed(name) from None
    if not isinstance(items, list):
        raise ApiError.malformed(name)
    if not 0 < len(items) <= max_items:
        raise ApiError.of(-4082)
    return items
