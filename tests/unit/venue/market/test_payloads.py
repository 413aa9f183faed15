"""Payloads have Binance's shapes: order of fields and decimals of numbers included."""

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
from tests.oracles.payload_shapes import (
    AGG_TRADE,
    BOOK_TICKER,
    DEPTH_UPDATE,
    KLINE,
    MARK_PRICE,
    MINI_TICKER,
    PRICE,
    REST_AGG_TRADE,
    REST_BOOK_TICKER,
    REST_DEPTH,
    REST_KLINE,
    REST_PREMIUM_INDEX,
    REST_PRICE,
    REST_PRICE_KLINE,
    REST_TICKER,
    REST_TRADE,
    TICKER,
    TRADE,
    has_shape,
)

NOW_MS = 1_800_000_000_123
SEEN_MS = NOW_MS - 3
CAPTURED = SHARED / "payloads" / "fastmm"
RECORDED = SHARED / "book" / "binance-usdm-btcusdt-2024-08-08.stream.gz"


def outline(value: Any) -> Any:
    """Names in order and types of values; for a list, those of its first item."""
    if isinstance(value, dict):
        return {key: outline(item) for key, item in value.items()}
    if isinstance(value, list):
        return [outline(item) for item in value[:1]]
    return type(value)


def market_in_a_minute(ticks: int = 30, price: int = 9_500_000) -> Market:
    """A market in the middle of a minute, after some closed minutes."""
    venue = Market(btcusdt(), ticks)
    row = [
        Candle(OPEN_MS + k * MINUTE_MS, price + 500 * k, price + 9000, price - 4000, price + 777 * k, 40_000)
        for k in range(4)
    ]
    venue.start_at_open(row[0], SEEN_MS)
    for index, candle in enumerate(row):
        venue.open_minute(candle, index)
        for tick in venue.simulate_ticks(candle)[: ticks if candle is not row[-1] else ticks // 2]:
            venue.apply_tick(tick, SEEN_MS)
        if candle is not row[-1]:
            venue.close_minute()
    return venue


def last_trade(venue: Market) -> MarketTrade:
    assert venue.last_trade is not None
    return venue.last_trade


def all_payloads(venue: Market) -> list[tuple[str, Any, Any]]:
    """(name, payload, shape) of every payload."""
    payloads, trade = MarketPayloads(venue), last_trade(venue)
    stream = venue.book.diff_stream("depth@100ms")
    snapshot = venue.book.snapshot()
    venue.book.set_quote(9_600_000, 9_600_010)
    diff, top = stream.next_diff(), venue.book.diff_stream("depth5@100ms").next_top(5)
    kline = venue.klines.current(MINUTE)
    assert diff is not None
    assert diff.bids
    assert top is None  # the stream is new
    assert kline is not None
    streams = [
        ("bookTicker", payloads.book_ticker(NOW_MS), BOOK_TICKER),
        ("aggTrade", payloads.agg_trade(trade, NOW_MS), AGG_TRADE),
        ("trade", payloads.trade(trade, NOW_MS), TRADE),
        ("depthUpdate", payloads.depth_update(diff, NOW_MS), DEPTH_UPDATE),
        ("kline", payloads.kline(kline, NOW_MS), KLINE),
        ("markPrice", payloads.mark_price(NOW_MS), MARK_PRICE),
        ("ticker", payloads.ticker(NOW_MS), TICKER),
        ("miniTicker", payloads.mini_ticker(NOW_MS), MINI_TICKER),
    ]
    rest = [
        ("depth", payloads.rest_depth(snapshot, NOW_MS), REST_DEPTH),
        ("trades", payloads.rest_trades(venue.trades(50)), [REST_TRADE]),
        ("aggTrades", payloads.rest_agg_trades(venue.trades(50)), [REST_AGG_TRADE]),
        ("klines", payloads.rest_klines(venue.klines.rows(MINUTE, 50)), [REST_KLINE]),
        ("markPriceKlines", payloads.rest_price_klines(venue.klines.rows(MINUTE, 50)), [REST_PRICE_KLINE]),
        ("ticker/24hr", payloads.rest_ticker(NOW_MS), REST_TICKER),
        ("ticker/price", payloads.rest_price(NOW_MS), REST_PRICE),
        ("ticker/bookTicker", payloads.rest_book_ticker(), REST_BOOK_TICKER),
        ("premiumIndex", payloads.rest_premium_index(NOW_MS), REST_PREMIUM_INDEX),
    ]
    return [*streams, *rest]


@pytest.mark.parametrize("number", range(17), ids=[name for name, _, _ in all_payloads(market_in_a_minute())])
def test_every_payload_has_the_shape_of_binance(number: int) -> None:
    _, payload, shape = all_payloads(market_in_a_minute())[number]
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
def test_shapes_equal_captured_payloads(file: str, name: str) -> None:
    path = CAPTURED / file
    if not path.exists():
        pytest.skip("no captured payloads: ../shared/data is absent")
    captured = json.loads(path.read_text())
    captured = captured.get("data", captured)
    ours = next(payload for kind, payload, _ in all_payloads(market_in_a_minute()) if kind == name)
    for sides in ({"b", "a"}, {"bids", "asks"}):  # captured payloads may have an empty side
        if sides <= captured.keys():
            levels = next(side for side in (captured[key] for key in sorted(sides)) if side)
            captured |= dict.fromkeys(sides, levels)
    assert outline(ours) == outline(captured)
    assert list(ours) == list(captured)


def test_shapes_equal_a_recorded_stream() -> None:
    """Recorded before Binance added `ps` and `st`."""
    if not RECORDED.exists():
        pytest.skip("no recorded stream: ../shared/data is absent")
    ours = {name: payload for name, payload, _ in all_payloads(market_in_a_minute())}
    seen = set()
    with gzip.open(RECORDED, "rt") as file:
        for line in file:
            event = json.loads(line.partition(" ")[2]).get("data", {})
            kind = event.get("e")
            if kind in seen or kind not in ours or (kind == "depthUpdate" and not (event["b"] and event["a"])):
                continue
            seen.add(kind)
            expected = {key: value for key, value in outline(ours[kind]).items() if key not in ("ps", "st")}
            assert outline(event) == expected
            assert all(re.fullmatch(PRICE, event[key]) for key in ("p", "b") if isinstance(event.get(key), str))
            if seen == {"depthUpdate", "bookTicker", "trade"}:
                return
    pytest.fail(f"only {seen}")


@settings(max_examples=200)
@given(candles(), st.integers(4, 12), st.integers(0, 2**41))
def test_json_text_equals_json_of_the_dict(candle: Candle, ticks: int, now_ms: int) -> None:
    def text(payload: Any) -> str:
        return json.dumps(payload, separators=(",", ":"))

    venue = Market(btcusdt(), ticks)
    payloads = MarketPayloads(venue)
    assert payloads.book_ticker_json(now_ms) == text(payloads.book_ticker(now_ms))
    venue.open_minute(candle, 3)
    for tick in venue.simulate_ticks(candle):
        trade = venue.apply_tick(tick, now_ms)
        assert payloads.book_ticker_json(now_ms) == text(payloads.book_ticker(now_ms))
        if trade:
            assert payloads.agg_trade_json(trade, now_ms) == text(payloads.agg_trade(trade, now_ms))
            assert payloads.trade_json(trade, now_ms) == text(payloads.trade(trade, now_ms))
    for interval in INTERVALS:
        kline = venue.klines.current(interval)
        assert kline is not None
        assert payloads.kline_json(kline, now_ms) == text(payloads.kline(kline, now_ms))
    for kline in venue.close_minute():
        assert payloads.kline_json(kline, now_ms) == text(payloads.kline(kline, now_ms))


def test_one_trade_is_the_same_in_every_payload() -> None:
    venue = market_in_a_minute()
    payloads, trade = MarketPayloads(venue), last_trade(venue)
    single, aggregate = payloads.trade(trade, NOW_MS), payloads.agg_trade(trade, NOW_MS)
    [rest], [rest_aggregate] = payloads.rest_trades([trade]), payloads.rest_agg_trades([trade])
    assert single["t"] == aggregate["a"] == aggregate["f"] == aggregate["l"] == rest["id"] == rest_aggregate["a"]
    assert single["p"] == aggregate["p"] == rest["price"] == rest_aggregate["p"]
    assert single["q"] == aggregate["q"] == aggregate["nq"] == rest["qty"] == rest_aggregate["q"]
    assert single["m"] is aggregate["m"] is rest["isBuyerMaker"] is rest_aggregate["m"] is (not trade.buyer)
    assert single["T"] == aggregate["T"] == rest["time"] == rest_aggregate["T"] == SEEN_MS


def test_a_trade_is_at_the_bid_or_ask_of_its_taker_side() -> None:
    """A taker sell (`m` true) is at the bid; a taker buy is at the ask."""
    venue = Market(btcusdt(), 60)
    payloads, sides = MarketPayloads(venue), set()
    candle = Candle(OPEN_MS, 9_500_003, 9_509_000, 9_490_007, 9_500_000, 10_000)
    venue.open_minute(candle, 0)
    for tick in venue.simulate_ticks(candle):
        trade = venue.apply_tick(tick, NOW_MS)
        assert trade is not None
        quote, event = payloads.book_ticker(NOW_MS), payloads.agg_trade(trade, NOW_MS)
        assert event["p"] == (quote["b"] if event["m"] else quote["a"])
        sides.add(event["m"])
    assert sides == {True, False}


def test_best_quote_and_depth_agree() -> None:
    venue = market_in_a_minute()
    payloads = MarketPayloads(venue)
    for consumed in (False, True):
        if consumed:
            _, _, ask, size = venue.book.best()
            venue.consume_depth("asks", ask, size, NOW_MS)
        quote, rest = payloads.book_ticker(NOW_MS), payloads.rest_book_ticker()
        depth = payloads.rest_depth(venue.book.snapshot(), NOW_MS)
        assert [quote["b"], quote["B"]] == [rest["bidPrice"], rest["bidQty"]] == depth["bids"][0]
        assert [quote["a"], quote["A"]] == [rest["askPrice"], rest["askQty"]] == depth["asks"][0]
        assert quote["u"] == rest["lastUpdateId"] < depth["lastUpdateId"]


def test_a_closed_kline_is_its_candle_in_stream_and_rest() -> None:
    venue = Market(btcusdt(), 20)
    payloads = MarketPayloads(venue)
    candle = Candle(OPEN_MS, 9_550_540, 9_550_550, 9_550_270, 9_550_270, 16_536)
    venue.open_minute(candle, 0)
    for tick in venue.simulate_ticks(candle):
        venue.apply_tick(tick, NOW_MS)
    kline = payloads.kline(venue.close_minute()[0], NOW_MS)["k"]
    row = payloads.rest_klines(venue.klines.rows(MINUTE, 1))[0]
    assert [kline[key] for key in "ohlcv"] == ["95505.40", "95505.50", "95502.70", "95502.70", "16.536"]
    assert (kline["t"], kline["T"], kline["x"], kline["i"], kline["f"], kline["L"], kline["n"]) == (
        OPEN_MS, OPEN_MS + 59_999, True, "1m", 1, 20, 20,
    )  # fmt: skip
    assert row == [kline[key] for key in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")]


def test_the_24_hours_are_dataset_time_with_wall_clock_bounds() -> None:
    venue = Market(btcusdt(), 4)
    payloads = MarketPayloads(venue)
    venue.start_at_open(Candle(OPEN_MS, 1000, 1000, 1000, 1000, 0), NOW_MS)
    fresh = payloads.rest_ticker(NOW_MS)
    assert (fresh["openPrice"], fresh["lastPrice"], fresh["priceChange"]) == ("10.00", "10.00", "0.00")
    assert (fresh["count"], fresh["firstId"], fresh["lastQty"], fresh["weightedAvgPrice"]) == (0, -1, "0.000", "0.00")
    for index, price in enumerate((3000, 2000)):
        venue.open_minute(Candle(OPEN_MS + index * MINUTE_MS, price, price, price, price, 4 + 8 * index), index)
        for tick in venue.simulate_ticks(
            Candle(OPEN_MS + index * MINUTE_MS, price, price, price, price, 4 + 8 * index)
        ):
            venue.apply_tick(tick, NOW_MS)
        venue.close_minute()
    ticker = payloads.rest_ticker(NOW_MS)
    assert (ticker["priceChange"], ticker["priceChangePercent"]) == ("-10.00", "-33.333")
    assert (ticker["volume"], ticker["quoteVolume"], ticker["weightedAvgPrice"]) == ("0.016", "0.36", "22.50")
    assert (ticker["highPrice"], ticker["lowPrice"], ticker["firstId"], ticker["lastId"]) == ("30.00", "20.00", 1, 8)
    assert (ticker["openTime"], ticker["closeTime"]) == (NOW_MS - DAY_MS, NOW_MS)


def test_the_mark_price_is_the_last_price_and_funding_has_a_time_and_no_rate() -> None:
    venue = market_in_a_minute()
    payloads = MarketPayloads(venue)
    event, rest = payloads.mark_price(NOW_MS), payloads.rest_premium_index(NOW_MS)
    last = payloads.rest_price(NOW_MS)["price"]
    assert event["p"] == event["i"] == rest["markPrice"] == rest["indexPrice"] == last + "000000"
    assert event["r"] == rest["lastFundingRate"] == "0.00000000"
    assert event["T"] == rest["nextFundingTime"]
    assert 0 < event["T"] - NOW_MS <= 8 * 3_600_000
    assert event["T"] % (8 * 3_600_000) == 0
