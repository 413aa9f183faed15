"""REST endpoints of the market. Weights are Binance's."""

from collections.abc import Callable, Sequence
from typing import Any

from opslab.model.messages.venue_messages import VenueLimits
from opslab.venue.account.order_requests import check_symbol
from opslab.venue.api_error import ApiError
from opslab.venue.market.klines import INTERVALS, Kline
from opslab.venue.market.market import Market, MarketTrade
from opslab.venue.market.payloads import MarketPayloads
from opslab.venue.transport.endpoint import Endpoint, EndpointTable, Params, parse_integer, parse_optional_integer
from opslab.venue.transport.rate_limits import exchange_info_limits

DEPTH_LIMITS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
"""Weight of each allowed limit."""
MAX_KLINES = 1500


class MarketEndpoints:
    def __init__(
        self,
        market: Market,
        payloads: MarketPayloads,
        limits: VenueLimits,
        now_ms: Callable[[], int],
        status: Callable[[], str],
    ) -> None:
        self._market = market
        self._payloads = payloads
        self._limits = limits
        self._now_ms = now_ms
        self._status = status
        self._symbol = market.instrument.symbol

    def table(self) -> EndpointTable:
        path = "/fapi/v1/"
        return {
            ("GET", path + "ping"): Endpoint(lambda _params: {}),
            ("GET", path + "time"): Endpoint(lambda _params: {"serverTime": self._now_ms()}),
            ("GET", path + "exchangeInfo"): Endpoint(self.exchange_info),
            ("GET", path + "depth"): Endpoint(self.depth, self._depth_weight),
            ("GET", path + "trades"): Endpoint(self.trades, 5),
            ("GET", path + "historicalTrades"): Endpoint(self.historical_trades, 20, "key"),
            ("GET", path + "aggTrades"): Endpoint(self.agg_trades, 20),
            ("GET", path + "klines"): Endpoint(self.klines, _klines_weight),
            ("GET", path + "continuousKlines"): Endpoint(self.continuous_klines, _klines_weight),
            ("GET", path + "markPriceKlines"): Endpoint(self.mark_price_klines, _klines_weight),
            ("GET", path + "indexPriceKlines"): Endpoint(self.index_price_klines, _klines_weight),
            ("GET", path + "ticker/24hr"): Endpoint(self._ticker(self._payloads.rest_ticker), _by_symbol(1, 40)),
            ("GET", path + "ticker/price"): Endpoint(self._ticker(self._payloads.rest_price), _by_symbol(1, 2)),
            ("GET", "/fapi/v2/ticker/price"): Endpoint(self._ticker(self._payloads.rest_price), _by_symbol(1, 2)),
            ("GET", path + "ticker/bookTicker"): Endpoint(self.book_ticker, _by_symbol(2, 5)),
            # Funding is not simulated, so that these lists are empty.
            ("GET", path + "fundingRate"): Endpoint(lambda _params: []),
            ("GET", path + "fundingInfo"): Endpoint(lambda _params: []),
            ("GET", path + "premiumIndex"): Endpoint(
                self._ticker(self._payloads.rest_premium_index), _by_symbol(1, 10)
            ),
            ("GET", path + "rateLimit/order"): Endpoint(self.order_limits, 1, "signed"),
        }

    def exchange_info(self, _params: Params) -> Any:
        entry = self._market.instrument.entry
        served = {"orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC", "IOC", "FOK", "GTX"]}
        return {
            "timezone": "UTC",
            "serverTime": self._now_ms(),
            "futuresType": "U_MARGINED",
            "rateLimits": exchange_info_limits(self._limits),
            "exchangeFilters": [],
            "assets": [{"asset": entry["marginAsset"], "marginAvailable": True, "autoAssetExchange": "0"}],
            "symbols": [{**entry, **served, "status": self._status()}],
        }

    def order_limits(self, _params: Params) -> Any:
        return [limit for limit in exchange_info_limits(self._limits) if limit["rateLimitType"] == "ORDERS"]

    def depth(self, params: Params) -> Any:
        check_symbol(params, self._symbol)
        limit = parse_integer(params, "limit", 500, 0, 10**6)
        if limit not in DEPTH_LIMITS:
            raise ApiError.of(-4021, limit)
        return self._payloads.rest_depth(self._market.book.snapshot(limit), self._now_ms())

    @staticmethod
    def _depth_weight(params: Params) -> int:
        text = params.get("limit", "500")
        return DEPTH_LIMITS.get(int(text), 1) if text.isascii() and text.isdigit() and len(text) < 7 else 1

    def trades(self, params: Params) -> Any:
        check_symbol(params, self._symbol)
        return self._payloads.rest_trades(self._market.trades(parse_integer(params, "limit", 500, 1, 1000)))

    def historical_trades(self, params: Params) -> Any:
        check_symbol(params, self._symbol)
        limit = parse_integer(params, "limit", 500, 1, 1000)
        return self._payloads.rest_trades(self._market.trades(limit, parse_optional_integer(params, "fromId")))

    def agg_trades(self, params: Params) -> Any:
        check_symbol(params, self._symbol)
        trades: list[MarketTrade] = list(
            self._market.trades(
                parse_integer(params, "limit", 500, 1, 1000),
                parse_optional_integer(params, "fromId"),
                parse_optional_integer(params, "startTime"),
                parse_optional_integer(params, "endTime"),
            )
        )
        return self._payloads.rest_agg_trades(trades)

    def klines(self, params: Params) -> Any:
        check_symbol(params, self._symbol)
        return self._payloads.rest_klines(self._klines(params))

    def continuous_klines(self, params: Params) -> Any:
        self._check_pair(params)
        if not params.get("contractType"):
            raise ApiError.missing("contractType")
        if params["contractType"] != "PERPETUAL":
            raise ApiError.invalid("contractType")
        return self._payloads.rest_klines(self._klines(params))

    def mark_price_klines(self, params: Params) -> Any:
        check_symbol(params, self._symbol)
        return self._payloads.rest_price_klines(self._klines(params))

    def index_price_klines(self, params: Params) -> Any:
        self._check_pair(params)
        return self._payloads.rest_price_klines(self._klines(params))

    def _check_pair(self, params: Params) -> None:
        """The pair of a perpetual contract has the name of its symbol."""
        if not params.get("pair"):
            raise ApiError.missing("pair")
        if params["pair"].upper() != self._symbol:
            raise ApiError.of(-4144)

    def _klines(self, params: Params) -> Sequence[Kline]:
        interval = params.get("interval")
        if not interval:
            raise ApiError.missing("interval")
        if interval not in INTERVALS:
            raise ApiError.of(-1120)
        start, end = parse_optional_integer(params, "startTime"), parse_optional_integer(params, "endTime")
        if start is not None and end is not None and start > end:
            raise ApiError.of(-1023)
        limit = parse_integer(params, "limit", 500, 1, MAX_KLINES)
        return self._market.klines.rows(interval, limit, start, end)

    def book_ticker(self, params: Params) -> Any:
        is_named = check_symbol(params, self._symbol, required=False)
        ticker = self._payloads.rest_book_ticker()
        return ticker if is_named else [ticker]

    def _ticker(self, build: Callable[[int], Any]) -> Callable[[Params], Any]:
        """With a symbol in the request one object, otherwise a list of one: there is one symbol."""

        def handler(params: Params) -> Any:
            is_named = check_symbol(params, self._symbol, required=False)
            ticker = build(self._now_ms())
            return ticker if is_named else [ticker]

        return handler


def _by_symbol(symbol_weight: int, all_weight: int) -> Callable[[Params], int]:
    return lambda params: symbol_weight if "symbol" in params else all_weight


def _klines_weight(params: Params) -> int:
    text = params.get("limit", "500")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 500
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
