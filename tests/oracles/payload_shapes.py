"""Shapes of Binance's payloads, written by hand: the type of each value, or the pattern of a string."""

import re
from typing import Any

PRICE = r"-?\d+\.\d{2}"
SIZE = r"\d+\.\d{3}"
PRODUCT = r"\d+\.\d{5}"
RATE = r"\d+\.\d{8}"

LEVEL = [PRICE, SIZE]
BOOK_TICKER = {
    "e": "bookTicker", "u": int, "s": "BTCUSDT", "ps": "BTCUSDT", "b": PRICE, "B": SIZE, "a": PRICE, "A": SIZE,
    "T": int, "E": int, "st": int,
}  # fmt: skip
AGG_TRADE = {
    "e": "aggTrade", "E": int, "a": int, "s": "BTCUSDT", "p": PRICE, "q": SIZE, "nq": SIZE, "f": int, "l": int,
    "T": int, "m": bool, "st": int,
}  # fmt: skip
TRADE = {"e": "trade", "E": int, "T": int, "s": "BTCUSDT", "t": int, "p": PRICE, "q": SIZE, "X": "MARKET", "m": bool}
DEPTH_UPDATE = {
    "e": "depthUpdate", "E": int, "T": int, "s": "BTCUSDT", "ps": "BTCUSDT", "U": int, "u": int, "pu": int,
    "b": [LEVEL], "a": [LEVEL], "st": int,
}  # fmt: skip
KLINE = {
    "e": "kline", "E": int, "s": "BTCUSDT", "ps": "BTCUSDT",
    "k": {
        "t": int, "T": int, "s": "BTCUSDT", "i": r"\d+[mhd]", "f": int, "L": int, "o": PRICE, "c": PRICE, "h": PRICE,
        "l": PRICE, "v": SIZE, "n": int, "x": bool, "q": PRODUCT, "V": SIZE, "Q": PRODUCT, "B": "0",
    },
    "st": int,
}  # fmt: skip
MARK_PRICE = {
    "e": "markPriceUpdate", "E": int, "s": "BTCUSDT", "p": RATE, "i": RATE, "P": RATE, "r": RATE, "T": int,
}  # fmt: skip
TICKER = {
    "e": "24hrTicker", "E": int, "s": "BTCUSDT", "p": PRICE, "P": r"-?\d+\.\d{3}", "w": PRICE, "c": PRICE, "Q": SIZE,
    "o": PRICE, "h": PRICE, "l": PRICE, "v": SIZE, "q": PRICE, "O": int, "C": int, "F": int, "L": int, "n": int,
}  # fmt: skip
MINI_TICKER = {
    "e": "24hrMiniTicker", "E": int, "s": "BTCUSDT", "c": PRICE, "o": PRICE, "h": PRICE, "l": PRICE, "v": SIZE,
    "q": PRICE,
}  # fmt: skip
REST_DEPTH = {"lastUpdateId": int, "E": int, "T": int, "bids": [LEVEL], "asks": [LEVEL]}
REST_TRADE = {"id": int, "price": PRICE, "qty": SIZE, "quoteQty": PRICE, "time": int, "isBuyerMaker": bool}
REST_AGG_TRADE = {"a": int, "p": PRICE, "q": SIZE, "nq": SIZE, "f": int, "l": int, "T": int, "m": bool}
REST_PRICE_KLINE = [int, RATE, RATE, RATE, RATE, "0", int, "0", int, "0", "0", "0"]
REST_KLINE = [int, PRICE, PRICE, PRICE, PRICE, SIZE, int, PRODUCT, int, SIZE, PRODUCT, "0"]
REST_TICKER = {
    "symbol": "BTCUSDT", "priceChange": PRICE, "priceChangePercent": r"-?\d+\.\d{3}", "weightedAvgPrice": PRICE,
    "lastPrice": PRICE, "lastQty": SIZE, "openPrice": PRICE, "highPrice": PRICE, "lowPrice": PRICE, "volume": SIZE,
    "quoteVolume": PRICE, "openTime": int, "closeTime": int, "firstId": int, "lastId": int, "count": int,
}  # fmt: skip
REST_PRICE = {"symbol": "BTCUSDT", "price": PRICE, "time": int}
REST_BOOK_TICKER = {
    "symbol": "BTCUSDT", "bidPrice": PRICE, "bidQty": SIZE, "askPrice": PRICE, "askQty": SIZE, "time": int,
    "lastUpdateId": int,
}  # fmt: skip
REST_PREMIUM_INDEX = {
    "symbol": "BTCUSDT", "markPrice": RATE, "indexPrice": RATE, "estimatedSettlePrice": RATE, "lastFundingRate": RATE,
    "interestRate": RATE, "nextFundingTime": int, "time": int,
}  # fmt: skip


def has_shape(value: Any, shape: Any) -> bool:
    if isinstance(shape, dict):
        return list(value) == list(shape) and all(has_shape(value[key], shape[key]) for key in shape)
    if isinstance(shape, list):
        if len(shape) == 1:  # any number of items
            return isinstance(value, list) and all(has_shape(item, shape[0]) for item in value)
        return len(value) == len(shape) and all(map(has_shape, value, shape))
    if isinstance(shape, str):
        return isinstance(value, str) and re.fullmatch(shape, value) is not None
    return type(value) is shape
