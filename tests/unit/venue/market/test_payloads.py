"""Payloads have the venue's shapes, to the order of their fields and the decimals of their numbers."""

import gzip
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.model.market.candle import MINUTE_MS, Candle
from opslab.venue.market.klines import INTERVALS, MINUTE
from opslab.venue.market.market import Market, MarketTrade
from opslab.venue.market.payloads import DAY_MS, MarketPayloads
from tests.fakes.candles import OPEN_MS, SHARED, btcusdt, candles

NOW_MS = 1_800_000_000_123
SEEN_MS = NOW_MS - 3
CAPTURED = SHARED / "payloads" / "fastmm"
RECORDED = SHARED / "book" / "binance-usdm-btcusdt-2024-08-08.stream.gz"
PRICE = r"-?\d+\.\d{2}"
SIZE = r"\d+\.\d{3}"
PRODUCT = r"\d+\.\d{5}"
RATE = r"\d+\.\d{8}"

# The venue's shapes, by hand: a type, or the pattern of a text.
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
        if len(shape) == 1:  # any number of these
            return isinstance(value, list) and all(has_shape(item, shape[0]) for item in value)
        return len(value) == len(shape) and all(map(has_shape, value, shape))
    if isinstance(shape, str):
        return isinstance(value, str) and re.fullmatch(shape, value) is not None
    return type(value) is shape


def outline(value: Any) -> Any:
    """Names in order and types of values; of a list, those of its first item."""
    if isinstance(value, dict):
        return {key: outline(item) for key, item in value.items()}
    if isinstance(value, list):
        return [outline(item) for item in value[:1]]
    return type(value)


def in_the_middle(ticks: int = 30, price: int = 9_500_000) -> Market:
    """A market some minutes old, in the middle of another."""
    venue = Market(btcusdt(), ticks)
    row = [
        Candle(OPEN_MS + k * MINUTE_MS, price + 500 * k, price + 9000, price - 4000, price + 777 * k, 40_000)
        for k in range(4)
    ]
    venue.open_at(row[0], SEEN_MS)
    for index, candle in enumerate(row):
        venue.begin(candle, index)
        for tick in venue.draw(candle)[: ticks if candle is not row[-1] else ticks // 2]:
            venue.tick(tick, SEEN_MS)
        if candle is not row[-1]:
            venue.close()
    return venue


def last_trade(venue: Market) -> MarketTrade:
    assert venue.last_trade is not None
    return venue.last_trade


def shown(venue: Market) -> list[tuple[str, Any, Any]]:
    """(name, payload, its shape) of everything there is."""
    payloads, trade = MarketPayloads(venue), last_trade(venue)
    chain = venue.book.chain("depth@100ms")
    snapshot = venue.book.snapshot()
    venue.book.move(9_600_000, 9_600_010)
    push, top = chain.push(), venue.book.chain("depth5@100ms").top(5)
    kline = venue.klines.current(MINUTE)
    assert push is not None
    assert push.bids
    assert top is None  # the chain has only just begun
    assert kline is not None
    streams = [
        ("bookTicker", payloads.book_ticker(NOW_MS), BOOK_TICKER),
        ("aggTrade", payloads.agg_trade(trade, NOW_MS), AGG_TRADE),
        ("trade", payloads.trade(trade, NOW_MS), TRADE),
        ("depthUpdate", payloads.depth_update(push, NOW_MS), DEPTH_UPDATE),
        ("kline", payloads.kline(kline, NOW_MS), KLINE),
        ("markPrice", payloads.mark_price(NOW_MS), MARK_PRICE),
        ("ticker", payloads.ticker(NOW_MS), TICKER),
        ("miniTicker", payloads.mini_ticker(NOW_MS), MINI_TICKER),
    ]
    rest = [
        ("depth", payloads.rest_depth(snapshot, NOW_MS), REST_DEPTH),
        ("trades", payloads.rest_trades(venue.recent(50)), [REST_TRADE]),
        ("aggTrades", payloads.rest_agg_trades(venue.recent(50)), [REST_AGG_TRADE]),
        ("klines", payloads.rest_klines(venue.klines.rows(MINUTE, 50)), [REST_KLINE]),
        ("markPriceKlines", payloads.rest_price_klines(venue.klines.rows(MINUTE, 50)), [REST_PRICE_KLINE]),
        ("ticker/24hr", payloads.rest_ticker(NOW_MS), REST_TICKER),
        ("ticker/price", payloads.rest_price(NOW_MS), REST_PRICE),
        ("ticker/bookTicker", payloads.rest_book_ticker(), REST_BOOK_TICKER),
        ("premiumIndex", payloads.rest_premium_index(NOW_MS), REST_PREMIUM_INDEX),
    ]
    return [*streams, *rest]


@pytest.mark.parametrize("number", range(17), ids=[name for name, _, _ in shown(in_the_middle())])
def test_every_payload_has_the_venues_shape(number: int) -> None:
    _, payload, shape = shown(in_the_middle())[number]
    assert payload
    assert has_shape(payload, shape), payload
    assert json.loads(json.dumps(payload)) == payload


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("binance_usdm_book_ticker.json", "bookTicker"),
        ("binance_usdm_agg_trade.json", "aggTrade"),
        ("binance_usdm_depth_update.json", "depthUpdate"),
        ("binance_usdm_depth_snapshot.json", "depth"),
    ],
)
def test_shapes_are_those_that_were_captured(file: str, name: str) -> None:
    path = CAPTURED / file
    if not path.exists():
        pytest.skip("no captured payloads: ../shared/data is absent")
    captured = json.loads(path.read_text())
    captured = captured.get("data", captured)
    ours = next(payload for found, payload, _ in shown(in_the_middle()) if found == name)
    for sides in ({"b", "a"}, {"bids", "asks"}):  # what was captured may have an empty side
        if sides <= captured.keys():
            levels = next(side for side in (captured[key] for key in sorted(sides)) if side)
            captured |= dict.fromkeys(sides, levels)
    assert outline(ours) == outline(captured)
    assert list(ours) == list(captured)


def test_shapes_are_those_of_a_recorded_stream() -> None:
    """Recorded before the venue added `ps` and `st`."""
    if not RECORDED.exists():
        pytest.skip("no recorded stream: ../shared/data is absent")
    ours = {name: payload for name, payload, _ in shown(in_the_middle())}
    seen = set()
    with gzip.open(RECORDED, "rt") as file:
        for line in file:
            event = json.loads(line.partition(" ")[2]).get("data", {})
            kind = event.get("e")
            if kind in seen or kind not in ours or (kind == "depthUpdate" and not (event["b"] and event["a"])):
                continue
            seen.add(kind)
            expected = {key: found for key, found in outline(ours[kind]).items() if key not in ("ps", "st")}
            assert outline(event) == expected
            assert all(re.fullmatch(PRICE, event[key]) for key in ("p", "b") if isinstance(event.get(key), str))
            if seen == {"depthUpdate", "bookTicker", "trade"}:
                return
    pytest.fail(f"only {seen}")


@settings(max_examples=200)
@given(candles(), st.integers(4, 12), st.integers(0, 2**41))
def test_the_quick_texts_are_the_slow_ones(candle: Candle, ticks: int, now_ms: int) -> None:
    def text(payload: Any) -> str:
        return json.dumps(payload, separators=(",", ":"))

    venue = Market(btcusdt(), ticks)
    payloads = MarketPayloads(venue)
    assert payloads.book_ticker_json(now_ms) == text(payloads.book_ticker(now_ms))
    venue.begin(candle, 3)
    for tick in venue.draw(candle):
        trade = venue.tick(tick, now_ms)
        assert payloads.book_ticker_json(now_ms) == text(payloads.book_ticker(now_ms))
        if trade:
            assert payloads.agg_trade_json(trade, now_ms) == text(payloads.agg_trade(trade, now_ms))
            assert payloads.trade_json(trade, now_ms) == text(payloads.trade(trade, now_ms))
    for interval in INTERVALS:
        kline = venue.klines.current(interval)
        assert kline is not None
        assert payloads.kline_json(kline, now_ms) == text(payloads.kline(kline, now_ms))
    for kline in venue.close():
        assert payloads.kline_json(kline, now_ms) == text(payloads.kline(kline, now_ms))


def test_one_trade_is_the_same_in_every_payload() -> None:
    venue = in_the_middle()
    payloads, trade = MarketPayloads(venue), last_trade(venue)
    single, whole = payloads.trade(trade, NOW_MS), payloads.agg_trade(trade, NOW_MS)
    [told], [told_whole] = payloads.rest_trades([trade]), payloads.rest_agg_trades([trade])
    assert single["t"] == whole["a"] == whole["f"] == whole["l"] == told["id"] == told_whole["a"]
    assert single["p"] == whole["p"] == told["price"] == told_whole["p"]
    assert single["q"] == whole["q"] == whole["nq"] == told["qty"] == told_whole["q"]
    assert single["m"] is whole["m"] is told["isBuyerMaker"] is told_whole["m"] is (not trade.buyer)
    assert single["T"] == whole["T"] == told["time"] == told_whole["T"] == SEEN_MS


def test_the_taker_touched_the_quote() -> None:
    """A seller's trade, `m` true, is at the bid; a buyer's at the ask."""
    venue = Market(btcusdt(), 60)
    payloads, sides = MarketPayloads(venue), set()
    candle = Candle(OPEN_MS, 9_500_003, 9_509_000, 9_490_007, 9_500_000, 10_000)
    venue.begin(candle, 0)
    for tick in venue.draw(candle):
        trade = venue.tick(tick, NOW_MS)
        assert trade is not None
        quote, told = payloads.book_ticker(NOW_MS), payloads.agg_trade(trade, NOW_MS)
        assert told["p"] == (quote["b"] if told["m"] else quote["a"])
        sides.add(told["m"])
    assert sides == {True, False}


def test_best_quote_and_depth_agree() -> None:
    venue = in_the_middle()
    payloads = MarketPayloads(venue)
    for taken in (False, True):
        if taken:
            _, _, ask, size = venue.book.best()
            venue.take("asks", ask, size, NOW_MS)
        quote, rest = payloads.book_ticker(NOW_MS), payloads.rest_book_ticker()
        depth = payloads.rest_depth(venue.book.snapshot(), NOW_MS)
        assert [quote["b"], quote["B"]] == [rest["bidPrice"], rest["bidQty"]] == depth["bids"][0]
        assert [quote["a"], quote["A"]] == [rest["askPrice"], rest["askQty"]] == depth["asks"][0]
        assert quote["u"] == rest["lastUpdateId"] < depth["lastUpdateId"]


def test_a_closed_kline_is_its_candle_in_stream_and_rest() -> None:
    venue = Market(btcusdt(), 20)
    payloads = MarketPayloads(venue)
    candle = Candle(OPEN_MS, 9_550_540, 9_550_550, 9_550_270, 9_550_270, 16_536)
    venue.begin(candle, 0)
    for tick in venue.draw(candle):
        venue.tick(tick, NOW_MS)
    told = payloads.kline(venue.close()[0], NOW_MS)["k"]
    row = payloads.rest_klines(venue.klines.rows(MINUTE, 1))[0]
    assert [told[key] for key in "ohlcv"] == ["95505.40", "95505.50", "95502.70", "95502.70", "16.536"]
    assert (told["t"], told["T"], told["x"], told["i"], told["f"], told["L"], told["n"]) == (
        OPEN_MS, OPEN_MS + 59_999, True, "1m", 1, 20, 20,
    )  # fmt: skip
    assert row == [told[key] for key in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")]


def test_the_24_hours_are_counted_on_the_markets_clock_and_told_on_the_wall() -> None:
    venue = Market(btcusdt(), 4)
    payloads = MarketPayloads(venue)
    venue.open_at(Candle(OPEN_MS, 1000, 1000, 1000, 1000, 0), NOW_MS)
    fresh = payloads.rest_ticker(NOW_MS)
    assert (fresh["openPrice"], fresh["lastPrice"], fresh["priceChange"]) == ("10.00", "10.00", "0.00")
    assert (fresh["count"], fresh["firstId"], fresh["lastQty"], fresh["weightedAvgPrice"]) == (0, -1, "0.000", "0.00")
    for index, price in enumerate((3000, 2000)):
        venue.begin(Candle(OPEN_MS + index * MINUTE_MS, price, price, price, price, 4 + 8 * index), index)
        for tick in venue.draw(Candle(OPEN_MS + index * MINUTE_MS, price, price, price, price, 4 + 8 * index)):
            venue.tick(tick, NOW_MS)
        venue.close()
    told = payloads.rest_ticker(NOW_MS)
    assert (told["priceChange"], told["priceChangePercent"]) == ("-10.00", "-33.333")
    assert (told["volume"], told["quoteVolume"], told["weightedAvgPrice"]) == ("0.016", "0.36", "22.50")
    assert (told["highPrice"], told["lowPrice"], told["firstId"], told["lastId"]) == ("30.00", "20.00", 1, 8)
    assert (told["openTime"], told["closeTime"]) == (NOW_MS - DAY_MS, NOW_MS)


def test_the_mark_is_the_last_price_and_funding_has_a_clock_and_no_rate() -> None:
    venue = in_the_middle()
    payloads = MarketPayloads(venue)
    told, rest = payloads.mark_price(NOW_MS), payloads.rest_premium_index(NOW_MS)
    last = payloads.rest_price(NOW_MS)["price"]
    assert told["p"] == told["i"] == rest["markPrice"] == rest["indexPrice"] == last + "000000"
    assert told["r"] == rest["lastFundingRate"] == "0.00000000"
    assert told["T"] == rest["nextFundingTime"]
    assert 0 < told["T"] - NOW_MS <= 8 * 3_600_000
    assert told["T"] % (8 * 3_600_000) == 0
