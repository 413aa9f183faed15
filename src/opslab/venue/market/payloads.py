"""Market data payloads: stream events and REST responses, ready for JSON.

Numbers are strings with the instrument's decimals. `E` is the time an event is sent, `T` the time it occurred, both on
the wall clock; `t` and `T` of a kline are dataset times. The events of every tick are also written as JSON text
directly: equal to `json.dumps` of the dict, without spaces.
"""

from collections.abc import Iterable
from typing import Any

from opslab.venue.market.fixed_point import decimal_writer, rounded
from opslab.venue.market.klines import Kline
from opslab.venue.market.market import Market, MarketTrade
from opslab.venue.market.order_book import Depth

Payload = dict[str, Any]

FUNDING_MS = 8 * 3_600_000
DAY_MS = 86_400_000
_NO_RATE = "0.00000000"
_PERCENT = 3
"""Decimals of a percent change."""
_MARK = 8
"""Decimals of mark and index prices."""


class MarketPayloads:
    def __init__(self, market: Market) -> None:
        self._market = market
        self._book = market.book
        self._symbol = market.instrument.symbol
        units = market.units
        self._price, self._size = units.price_text, units.size_text
        self._volume, self._quote = units.volume_text, units.quote_text
        self._percent = decimal_writer(_PERCENT)
        self._size_scale = 10**units.size_decimals
        self._mark_zeros = "0" * (_MARK - units.price_decimals)
        if not units.price_decimals:
            self._mark_zeros = "." + self._mark_zeros

    # Streams.

    def book_ticker(self, now_ms: int) -> Payload:
        bid, bid_size, ask, ask_size = self._book.best()
        return {
            "e": "bookTicker",
            "u": self._book.update_id,
            "s": self._symbol,
            "ps": self._symbol,
            "b": self._price(bid),
            "B": self._size(bid_size),
            "a": self._price(ask),
            "A": self._size(ask_size),
            "T": self._market.changed_ms,
            "E": now_ms,
            "st": 1,
        }

    def book_ticker_json(self, now_ms: int) -> str:
        bid, bid_size, ask, ask_size = self._book.best()
        price, size, symbol = self._price, self._size, self._symbol
        return (
            f'{{"e":"bookTicker","u":{self._book.update_id},"s":"{symbol}","ps":"{symbol}","b":"{price(bid)}",'
            f'"B":"{size(bid_size)}","a":"{price(ask)}","A":"{size(ask_size)}","T":{self._market.changed_ms},'
            f'"E":{now_ms},"st":1}}'
        )

    def agg_trade(self, trade: MarketTrade, now_ms: int) -> Payload:
        size = self._size(trade.size)
        return {
            "e": "aggTrade",
            "E": now_ms,
            "a": trade.trade_id,
            "s": self._symbol,
            "p": self._price(trade.price),
            "q": size,
            "nq": size,
            "f": trade.trade_id,
            "l": trade.trade_id,
            "T": trade.time_ms,
            "m": not trade.buyer,
            "st": 1,
        }

    def agg_trade_json(self, trade: MarketTrade, now_ms: int) -> str:
        trade_id, price, size, buyer, time_ms = trade
        text = self._size(size)
        return (
            f'{{"e":"aggTrade","E":{now_ms},"a":{trade_id},"s":"{self._symbol}","p":"{self._price(price)}",'
            f'"q":"{text}","nq":"{text}","f":{trade_id},"l":{trade_id},"T":{time_ms},'
            f'"m":{"false" if buyer else "true"},"st":1}}'
        )

    def trade(self, trade: MarketTrade, now_ms: int) -> Payload:
        return {
            "e": "trade",
            "E": now_ms,
            "T": trade.time_ms,
            "s": self._symbol,
            "t": trade.trade_id,
            "p": self._price(trade.price),
            "q": self._size(trade.size),
            "X": "MARKET",
            "m": not trade.buyer,
        }

    def trade_json(self, trade: MarketTrade, now_ms: int) -> str:
        trade_id, price, size, buyer, time_ms = trade
        return (
            f'{{"e":"trade","E":{now_ms},"T":{time_ms},"s":"{self._symbol}","t":{trade_id},'
            f'"p":"{self._price(price)}","q":"{self._size(size)}","X":"MARKET","m":{"false" if buyer else "true"}}}'
        )

    def kline(self, kline: Kline, now_ms: int) -> Payload:
        return {
            "e": "kline",
            "E": now_ms,
            "s": self._symbol,
            "ps": self._symbol,
            "k": {
                "t": kline.open_ms,
                "T": kline.close_ms,
                "s": self._symbol,
                "i": kline.interval,
                "f": kline.first_id,
                "L": kline.last_id,
                "o": self._price(kline.open),
                "c": self._price(kline.close),
                "h": self._price(kline.high),
                "l": self._price(kline.low),
                "v": self._volume(kline.volume),
                "n": kline.trades,
                "x": kline.closed,
                "q": self._quote(kline.quote),
                "V": self._volume(kline.buyer_volume),
                "Q": self._quote(kline.buyer_quote),
                "B": "0",
            },
            "st": 1,
        }

    def kline_json(self, kline: Kline, now_ms: int) -> str:
        (interval, open_ms, close_ms, open_, high, low, close, volume, quote, trades, buyer_volume, buyer_quote,
         first_id, last_id, closed) = kline  # fmt: skip
        symbol, price, size, product = self._symbol, self._price, self._volume, self._quote
        return (
            f'{{"e":"kline","E":{now_ms},"s":"{symbol}","ps":"{symbol}","k":{{"t":{open_ms},"T":{close_ms},'
            f'"s":"{symbol}","i":"{interval}","f":{first_id},"L":{last_id},"o":"{price(open_)}","c":"{price(close)}",'
            f'"h":"{price(high)}","l":"{price(low)}","v":"{size(volume)}","n":{trades},'
            f'"x":{"true" if closed else "false"},"q":"{product(quote)}","V":"{size(buyer_volume)}",'
            f'"Q":"{product(buyer_quote)}","B":"0"}},"st":1}}'
        )

    def depth_update(self, depth: Depth, now_ms: int) -> Payload:
        """One message of a depth stream: the changes, or the best levels of `depth5`, `depth10` and `depth20`."""
        return {
            "e": "depthUpdate",
            "E": now_ms,
            "T": self._market.changed_ms,
            "s": self._symbol,
            "ps": self._symbol,
            "U": depth.first_id,
            "u": depth.last_id,
            "pu": depth.previous_id,
            "b": self._levels(depth.bids),
            "a": self._levels(depth.asks),
            "st": 1,
        }

    def mark_price(self, now_ms: int) -> Payload:
        mark = self._mark()
        return {
            "e": "markPriceUpdate",
            "E": now_ms,
            "s": self._symbol,
            "p": mark,
            "i": mark,
            "P": mark,
            "r": _NO_RATE,
            "T": _next_funding_ms(now_ms),
        }

    def ticker(self, now_ms: int) -> Payload:
        ticker = self.rest_ticker(now_ms)
        return {
            "e": "24hrTicker",
            "E": now_ms,
            "s": self._symbol,
            "p": ticker["priceChange"],
            "P": ticker["priceChangePercent"],
            "w": ticker["weightedAvgPrice"],
            "c": ticker["lastPrice"],
            "Q": ticker["lastQty"],
            "o": ticker["openPrice"],
            "h": ticker["highPrice"],
            "l": ticker["lowPrice"],
            "v": ticker["volume"],
            "q": ticker["quoteVolume"],
            "O": ticker["openTime"],
            "C": ticker["closeTime"],
            "F": ticker["firstId"],
            "L": ticker["lastId"],
            "n": ticker["count"],
        }

    def mini_ticker(self, now_ms: int) -> Payload:
        ticker = self.rest_ticker(now_ms)
        return {
            "e": "24hrMiniTicker",
            "E": now_ms,
            "s": self._symbol,
            "c": ticker["lastPrice"],
            "o": ticker["openPrice"],
            "h": ticker["highPrice"],
            "l": ticker["lowPrice"],
            "v": ticker["volume"],
            "q": ticker["quoteVolume"],
        }

    # REST.

    def rest_depth(self, depth: Depth, now_ms: int) -> Payload:
        """depth: a snapshot of the order book."""
        return {
            "lastUpdateId": depth.last_id,
            "E": now_ms,
            "T": self._market.changed_ms,
            "bids": self._levels(depth.bids),
            "asks": self._levels(depth.asks),
        }

    def rest_trades(self, trades: Iterable[MarketTrade]) -> list[Payload]:
        return [
            {
                "id": trade.trade_id,
                "price": self._price(trade.price),
                "qty": self._size(trade.size),
                "quoteQty": self._money(trade.price * trade.size),
                "time": trade.time_ms,
                "isBuyerMaker": not trade.buyer,
            }
            for trade in trades
        ]

    def rest_agg_trades(self, trades: Iterable[MarketTrade]) -> list[Payload]:
        keys = ("a", "p", "q", "nq", "f", "l", "T", "m")
        return [{key: event[key] for key in keys} for event in (self.agg_trade(trade, 0) for trade in trades)]

    def rest_klines(self, klines: Iterable[Kline]) -> list[list[Any]]:
        return [
            [
                kline.open_ms,
                self._price(kline.open),
                self._price(kline.high),
                self._price(kline.low),
                self._price(kline.close),
                self._volume(kline.volume),
                kline.close_ms,
                self._quote(kline.quote),
                kline.trades,
                self._volume(kline.buyer_volume),
                self._quote(kline.buyer_quote),
                "0",
            ]
            for kline in klines
        ]

    def rest_price_klines(self, klines: Iterable[Kline]) -> list[list[Any]]:
        """Klines of the mark or index price, which is the last price: prices only, no volume."""
        return [
            [
                kline.open_ms,
                *(self._price(price) + self._mark_zeros for price in (kline.open, kline.high, kline.low, kline.close)),
                "0",
                kline.close_ms,
                "0",
                0,
                "0",
                "0",
                "0",
            ]
            for kline in klines
        ]

    def rest_ticker(self, now_ms: int) -> Payload:
        """The last 24 hours of dataset time, presented as the 24 hours before `now_ms`."""
        market, statistics = self._market, self._market.statistics_24h()
        last = market.last_price
        change = last - statistics.open
        return {
            "symbol": self._symbol,
            "priceChange": self._price(change),
            "priceChangePercent": self._percent(
                rounded(change * 10 ** (2 + _PERCENT), statistics.open) if statistics.open else 0
            ),
            "weightedAvgPrice": self._price(rounded(statistics.quote, statistics.volume) if statistics.volume else 0),
            "lastPrice": self._price(last),
            "lastQty": self._size(market.last_size),
            "openPrice": self._price(statistics.open),
            "highPrice": self._price(statistics.high),
            "lowPrice": self._price(statistics.low),
            "volume": self._volume(statistics.volume),
            "quoteVolume": self._money(statistics.quote),
            "openTime": now_ms - DAY_MS,
            "closeTime": now_ms,
            "firstId": statistics.first_id,
            "lastId": statistics.last_id,
            "count": statistics.trades,
        }

    def rest_price(self, now_ms: int) -> Payload:
        return {"symbol": self._symbol, "price": self._price(self._market.last_price), "time": now_ms}

    def rest_book_ticker(self) -> Payload:
        bid, bid_size, ask, ask_size = self._book.best()
        return {
            "symbol": self._symbol,
            "bidPrice": self._price(bid),
            "bidQty": self._size(bid_size),
            "askPrice": self._price(ask),
            "askQty": self._size(ask_size),
            "time": self._market.changed_ms,
            "lastUpdateId": self._book.update_id,
        }

    def rest_premium_index(self, now_ms: int) -> Payload:
        mark = self._mark()
        return {
            "symbol": self._symbol,
            "markPrice": mark,
            "indexPrice": mark,
            "estimatedSettlePrice": mark,
            "lastFundingRate": _NO_RATE,
            "interestRate": _NO_RATE,
            "nextFundingTime": _next_funding_ms(now_ms),
            "time": now_ms,
        }

    def _levels(self, levels: Iterable[tuple[int, int]]) -> list[list[str]]:
        return [[self._price(price), self._size(size)] for price, size in levels]

    def _mark(self) -> str:
        return self._price(self._market.mark_price) + self._mark_zeros

    def _money(self, quote: int) -> str:
        """Format price times size with the decimals of a price."""
        return self._price(rounded(quote, self._size_scale))


def _next_funding_ms(now_ms: int) -> int:
    """The next funding time. The funding schedule is simulated, the funding itself is not."""
    return now_ms // FUNDING_MS * FUNDING_MS + FUNDING_MS
