"""The venue's market streams over real sockets: content, timing, subscriptions and disconnects."""

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from opslab.model.market.candle import MINUTE_MS, Candle
from tests.drivers.tc import wait_until
from tests.drivers.venue_client import Refused, Socket, SteppedVenue, VenueClient
from tests.oracles.captured_payloads import assert_alike, captured
from tests.oracles.payload_shapes import (
    AGG_TRADE,
    BOOK_TICKER,
    DEPTH_UPDATE,
    KLINE,
    MARK_PRICE,
    MINI_TICKER,
    TICKER,
    TRADE,
    has_shape,
)

TICKS = 40
CANDLES = "btcusdt@kline_1m"
BTC = {"symbol": "BTCUSDT"}
DEPTHS = ("btcusdt@depth", "btcusdt@depth@100ms", "btcusdt@depth@250ms", "btcusdt@depth@500ms", "btcusdt@depth@0ms")
QUEUE_BYTES = 8 << 20
"""Queue limit of one client."""


@pytest.fixture
def venue(sample_home: Path, tmp_path: Path) -> Iterator[SteppedVenue]:
    """Its market is still at the first open until the first subscription to candles; then minutes wait for `play`."""
    with SteppedVenue(sample_home, tmp_path, ticks=TICKS) as venue:
        yield venue


@pytest.fixture
def client(venue: SteppedVenue) -> Iterator[VenueClient]:
    with venue.client() as client:
        yield client


@pytest.fixture(scope="module")
def still_venue(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedVenue]:
    """A market that is still: no test subscribes to its candles."""
    with SteppedVenue(sample_home, tmp_path_factory.mktemp("still")) as venue:
        yield venue


@pytest.fixture
def still_client(still_venue: SteppedVenue) -> Iterator[VenueClient]:
    with still_venue.client() as client:
        yield client


@pytest.fixture(scope="module")
def running_venue(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedVenue]:
    """A market that runs by the clock, two minutes in a second."""
    folder = tmp_path_factory.mktemp("running")
    with SteppedVenue(sample_home, folder, ticks=TICKS, speed=120.0, start="now", pace="clock") as venue:
        yield venue


@pytest.fixture
def running_client(running_venue: SteppedVenue) -> Iterator[VenueClient]:
    with running_venue.client() as client:
        yield client


def read_minute(socket: Socket) -> list[dict[str, Any]]:
    """The events up to and including the next closed candle."""
    return socket.read_until(lambda event: event.get("e") == "kline" and event["k"]["i"] == "1m" and event["k"]["x"])


def of_kind(kind: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event.get("e") == kind]


def text_of(cents: int) -> str:
    return f"{Decimal(cents).scaleb(-2):.2f}"


def candle_texts(candle: Candle) -> list[str]:
    prices = (candle.open, candle.high, candle.low, candle.close)
    return [*map(text_of, prices), f"{Decimal(candle.volume).scaleb(-3):.3f}"]


# The market, tick by tick.


def test_the_market_is_still_until_the_first_subscription_to_candles(venue: SteppedVenue, client: VenueClient) -> None:
    socket = client.stream("btcusdt@bookTicker")
    first = next(venue.candles())
    [quote] = of_kind("bookTicker", [socket.next()])
    assert text_of(first.open) in (quote["b"], quote["a"])
    socket.subscribe("btcusdt@aggTrade", "btcusdt@depth@100ms")
    assert client.get("/fapi/v1/trades", **BTC) == []
    assert client.get("/fapi/v1/klines", **BTC, interval="1m") == []
    assert client.get("/fapi/v1/ticker/price", **BTC)["price"] == text_of(first.open)
    socket.subscribe(CANDLES)
    assert len(of_kind("aggTrade", read_minute(socket))) == TICKS


@pytest.mark.parametrize("start", ["any", "now"])
def test_the_market_can_start_with_any_subscription_or_at_once(sample_home: Path, tmp_path: Path, start: Any) -> None:
    with (
        SteppedVenue(sample_home, tmp_path, start=start, max_bars=3, pace="drained") as venue,
        venue.client() as client,
    ):
        if start == "any":
            assert client.get("/fapi/v1/klines", **BTC, interval="1m") == []
            client.stream("btcusdt@markPrice@1s")
        wait_until(lambda: len(client.get("/fapi/v1/klines", **BTC, interval="1m")) == 3, "three candles")
        wait_until(lambda: venue.progress is not None and venue.progress.state == "ended", "the end of the replay")


def test_the_trades_of_a_minute_make_up_the_datasets_candle(venue: SteppedVenue, client: VenueClient) -> None:
    socket = client.stream("btcusdt@aggTrade", "btcusdt@trade")
    socket.subscribe(CANDLES)
    last_trade_id = 0
    for candle, _ in zip(venue.candles(), range(5), strict=False):
        *events, closed = read_minute(socket)
        venue.play()
        trades, plain_trades = of_kind("aggTrade", events), of_kind("trade", events)
        kline = closed["k"]
        assert has_shape(closed, KLINE)
        assert has_shape(trades, [AGG_TRADE])
        assert has_shape(plain_trades, [TRADE])
        sizes = [Decimal(trade["q"]) for trade in trades]
        prices = [Decimal(trade["p"]) for trade in trades]
        amounts = [price * size for price, size in zip(prices, sizes, strict=True)]
        bought = [index for index, trade in enumerate(trades) if not trade["m"]]
        summary = (prices[0], max(prices), min(prices), prices[-1])
        assert [f"{price:.2f}" for price in summary] == candle_texts(candle)[:4]
        assert [kline[name] for name in "ohlcv"] == candle_texts(candle)
        assert (kline["t"], kline["T"]) == (candle.open_ms, candle.open_ms + MINUTE_MS - 1)
        assert Decimal(kline["v"]) == sum(sizes)
        assert Decimal(kline["q"]) == sum(amounts)
        assert Decimal(kline["V"]) == sum(sizes[index] for index in bought)
        assert Decimal(kline["Q"]) == sum(amounts[index] for index in bought)
        assert [trade["a"] for trade in trades] == list(range(last_trade_id + 1, last_trade_id + TICKS + 1))
        assert (kline["f"], kline["L"], kline["n"]) == (last_trade_id + 1, last_trade_id + TICKS, TICKS)
        from_trades = [[event["t"], event["p"], event["q"], event["m"]] for event in plain_trades]
        assert from_trades == [[event["a"], event["p"], event["q"], event["m"]] for event in trades]
        last_trade_id += TICKS


def test_after_every_trade_the_quote_touches_its_price(client: VenueClient) -> None:
    socket = client.stream("btcusdt@aggTrade", "btcusdt@bookTicker")
    assert has_shape(socket.next(), BOOK_TICKER)  # the current quote, with the subscription
    socket.subscribe(CANDLES)
    *events, _ = read_minute(socket)
    assert [event["e"] for event in events if event["e"] != "kline"] == ["aggTrade", "bookTicker"] * TICKS
    for trade, quote in zip(of_kind("aggTrade", events), of_kind("bookTicker", events), strict=True):
        assert quote["b" if trade["m"] else "a"] == trade["p"]
        assert Decimal(0) < Decimal(quote["a"]) - Decimal(quote["b"]) <= Decimal("0.1")
    updates = [quote["u"] for quote in of_kind("bookTicker", events)]
    assert all(before < after for before, after in pairwise(updates))


def test_longer_candles_close_with_their_last_minute(venue: SteppedVenue, client: VenueClient) -> None:
    socket = client.stream(CANDLES, "btcusdt@kline_3m", "btcusdt@kline_5m", "btcusdt@kline_1h")
    venue.play(5)
    closed = [
        event["k"]
        for event in socket.read_until(lambda e: e["k"]["i"] == "5m" and e["k"]["x"])
        if event["e"] == "kline" and event["k"]["x"]
    ]
    assert [kline["i"] for kline in closed] == ["1m", "1m", "1m", "3m", "1m", "1m", "5m"]
    minutes = [kline for kline in closed if kline["i"] == "1m"]
    for kline, part in ((closed[3], minutes[:3]), (closed[6], minutes)):
        assert (kline["o"], kline["c"], kline["t"]) == (part[0]["o"], part[-1]["c"], part[0]["t"])
        assert Decimal(kline["v"]) == sum(Decimal(minute["v"]) for minute in part)
        assert Decimal(kline["h"]) == max(Decimal(minute["h"]) for minute in part)


def test_an_open_candle_is_sent_repeatedly_and_closed_once(running_client: VenueClient) -> None:
    socket = running_client.stream(CANDLES)
    read_minute(socket)
    update_counts: Counter[int] = Counter()
    for _ in range(4):
        *growing, closed = [event["k"] for event in read_minute(socket)]
        update_counts[len(growing)] += 1
        assert {kline["t"] for kline in growing} <= {closed["t"]}
        volumes = [Decimal(kline["v"]) for kline in (*growing, closed)]
        assert volumes == sorted(volumes)
        for kline in growing:
            assert Decimal(closed["l"]) <= Decimal(kline["l"]) <= Decimal(kline["h"]) <= Decimal(closed["h"])
    assert max(update_counts) > 0


# Depth.


class LocalBook:
    """A book as a client maintains it: a snapshot, and the changes after it."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.last_id = snapshot["lastUpdateId"]
        self.bids = dict(snapshot["bids"])
        self.asks = dict(snapshot["asks"])
        self._bridged = False

    def apply(self, push: dict[str, Any]) -> None:
        """By Binance's rules: the first push spans the snapshot, each later one names the one before."""
        if push["u"] < self.last_id:
            assert not self._bridged, push
            return
        if self._bridged:
            assert push["pu"] == self.last_id
        assert push["U"] <= push["u"]
        assert self._bridged or push["U"] <= self.last_id
        self._bridged = True
        self.last_id = push["u"]
        for side, levels in ((self.bids, push["b"]), (self.asks, push["a"])):
            for price, size in levels:
                if Decimal(size):
                    side[price] = size
                else:
                    side.pop(price, None)
        assert max(map(Decimal, self.bids)) < min(map(Decimal, self.asks))

    def sides(self) -> tuple[list[list[str]], list[list[str]]]:
        bids = sorted(self.bids.items(), key=lambda level: -Decimal(level[0]))
        asks = sorted(self.asks.items(), key=lambda level: Decimal(level[0]))
        return [list(level) for level in bids], [list(level) for level in asks]


def test_snapshot_and_changes_give_the_venues_book_while_orders_take_liquidity(
    venue: SteppedVenue, client: VenueClient
) -> None:
    """For every interval; the market is still between its minutes, so that the two books can be compared."""
    socket = client.combined(*DEPTHS)
    books: dict[str, LocalBook] = {}

    def caught_up(update_id: int) -> bool:
        event = socket.next()
        push, name = event["data"], event["stream"]
        assert has_shape(push, DEPTH_UPDATE)
        if name not in books:  # after the first change the snapshot is requested
            books[name] = LocalBook(client.get("/fapi/v1/depth", **BTC, limit=1000))
        books[name].apply(push)
        return len(books) == len(DEPTHS) and all(book.last_id >= update_id for book in books.values())

    candles = client.stream(CANDLES)
    read_minute(candles)
    client.get("/fapi/v1/depth", **BTC, limit=5)
    for round_number in range(4):
        for size in ("0.500", "2.000"):
            client.place("BUY" if round_number % 2 else "SELL", size).assert_ok()
        if round_number % 2:
            venue.play()
            read_minute(candles)
            client.place("SELL", "1.500").assert_ok()
        expected = client.get("/fapi/v1/depth", **BTC, limit=1000)
        while not caught_up(expected["lastUpdateId"]):
            pass
        for name, book in books.items():
            assert book.sides() == (expected["bids"], expected["asks"]), (name, round_number)
            assert len(expected["bids"]) == len(expected["asks"]) == 200


def test_the_chain_of_changes_is_unbroken_while_the_market_runs(running_client: VenueClient) -> None:
    socket = running_client.combined("btcusdt@depth@0ms", "btcusdt@depth@100ms", "btcusdt@depth", "btcusdt@depth@500ms")
    books: dict[str, LocalBook] = {}
    counts: Counter[str] = Counter()
    while counts["btcusdt@depth@500ms"] < 4:
        event = socket.next()
        name, push = event["stream"], event["data"]
        if name not in books:
            books[name] = LocalBook(running_client.get("/fapi/v1/depth", **BTC, limit=1000))
        if counts["btcusdt@depth@0ms"] % 7 == 0:
            running_client.get("/fapi/v1/depth", **BTC, limit=20)
        books[name].apply(push)
        counts[name] += 1
    assert [name for name, _ in counts.most_common()] == [
        "btcusdt@depth@0ms",
        "btcusdt@depth@100ms",
        "btcusdt@depth",
        "btcusdt@depth@500ms",
    ]


def test_a_still_book_is_pushed_too_so_that_a_client_can_start_one(still_client: VenueClient) -> None:
    socket = still_client.stream("btcusdt@depth@100ms")
    first = socket.read_event("depthUpdate")
    snapshot = still_client.get("/fapi/v1/depth", **BTC, limit=1000)
    local = LocalBook(snapshot)
    local.apply(first)
    local.apply(socket.read_event("depthUpdate"))
    assert local.last_id >= snapshot["lastUpdateId"]
    assert local.sides() == (snapshot["bids"], snapshot["asks"])


@pytest.mark.parametrize("levels", [5, 10, 20])
def test_partial_depth_is_the_top_of_the_book(still_client: VenueClient, levels: int) -> None:
    socket = still_client.stream(f"btcusdt@depth{levels}@100ms", f"btcusdt@depth{levels}")
    still_client.place("BUY", "1.000").assert_ok()
    expected = still_client.get("/fapi/v1/depth", **BTC, limit=levels)
    last = socket.read_until(lambda push: push["u"] >= expected["lastUpdateId"])[-1]
    assert has_shape(last, DEPTH_UPDATE)
    assert [last["b"], last["a"]] == [expected["bids"], expected["asks"]]


# Streams sent by the clock.

TIMED_STREAMS: dict[str, Any] = {
    "btcusdt@markPrice": MARK_PRICE,
    "btcusdt@markPrice@1s": MARK_PRICE,
    "btcusdt@ticker": TICKER,
    "btcusdt@miniTicker": MINI_TICKER,
    "!markPrice@arr": [MARK_PRICE],
    "!markPrice@arr@1s": [MARK_PRICE],
    "!ticker@arr": [TICKER],
    "!miniTicker@arr": [MINI_TICKER],
    "!bookTicker": BOOK_TICKER,
}


def test_timed_streams_have_their_shapes(running_client: VenueClient) -> None:
    socket = running_client.combined(*TIMED_STREAMS)
    counts: Counter[str] = Counter()
    while counts.keys() != TIMED_STREAMS.keys():
        event = socket.next()
        counts[event["stream"]] += 1
        assert has_shape(event["data"], TIMED_STREAMS[event["stream"]]), event


# Subscriptions and envelopes.


@pytest.mark.parametrize("route", ["", "/market", "/public"])
def test_streams_are_subscribed_to_by_path_query_or_message(running_client: VenueClient, route: str) -> None:
    by_path = running_client.socket(f"{route}/ws/btcusdt@aggTrade")
    assert has_shape(by_path.next(), AGG_TRADE)
    by_message = running_client.socket(f"{route}/ws")
    by_message.subscribe("btcusdt@aggTrade")
    assert has_shape(by_message.read_event("aggTrade"), AGG_TRADE)
    by_query = running_client.socket(f"{route}/stream?streams=btcusdt@aggTrade/btcusdt@trade")
    for event in (by_query.next(), by_query.next()):
        assert list(event) == ["stream", "data"]
        assert event["stream"] == f"btcusdt@{event['data']['e']}"


def test_subscriptions_are_listed_and_can_be_ended(venue: SteppedVenue, client: VenueClient) -> None:
    socket = client.stream()
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == []
    socket.subscribe("btcusdt@trade", "btcusdt@aggTrade")
    socket.subscribe("btcusdt@trade", CANDLES)  # one of them for the second time
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@aggTrade", CANDLES, "btcusdt@trade"]
    counts = Counter(event["e"] for event in read_minute(socket))
    assert (counts["trade"], counts["aggTrade"]) == (TICKS, TICKS)
    socket.unsubscribe("btcusdt@trade", "btcusdt@depth", "unknown@stream")
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@aggTrade", CANDLES]
    venue.play()
    counts = Counter(event["e"] for event in read_minute(socket))
    assert (counts["trade"], counts["aggTrade"]) == (0, TICKS)


def test_the_envelope_is_a_property_of_the_connection(venue: SteppedVenue, client: VenueClient) -> None:
    socket = client.stream(CANDLES)
    read_minute(socket)
    assert socket.request("GET_PROPERTY", ["combined"])["result"] is False
    assert socket.request("SET_PROPERTY", ["combined", True])["result"] is None
    assert socket.request("GET_PROPERTY", ["combined"])["result"] is True
    venue.play()
    wrapped = socket.read_until(lambda event: "stream" in event)[-1]
    assert (wrapped["stream"], wrapped["data"]["e"]) == (CANDLES, "kline")
    assert client.combined().request("GET_PROPERTY", ["combined"])["result"] is True


def test_a_message_reaches_all_subscribers(client: VenueClient) -> None:
    sockets = [client.stream("btcusdt@aggTrade") for _ in range(5)]
    sockets[0].subscribe(CANDLES)
    trade_ids = [[e["a"] for e in socket.read_until(lambda e: e.get("a") == TICKS) if "a" in e] for socket in sockets]
    assert trade_ids == [list(range(1, TICKS + 1))] * 5


@pytest.mark.parametrize(
    ("message", "code", "request_id"),
    [
        ("nonsense", 3, None),
        ("[]", 2, None),
        ("{}", 2, None),
        ('{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":1.5}', 2, None),
        ('{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":true}', 2, None),
        ('{"method":"BEGIN","id":7}', 2, 7),
        ('{"method":"SUBSCRIBE","params":"btcusdt@aggTrade","id":7}', 2, 7),
        ('{"method":"SUBSCRIBE","params":[1],"id":7}', 2, 7),
        ('{"method":"SUBSCRIBE","params":["ethusdt@aggTrade"],"id":7}', 2, 7),
        ('{"method":"SUBSCRIBE","params":["btcusdt@forceOrder"],"id":7}', 2, 7),
        ('{"method":"SUBSCRIBE","params":["btcusdt@kline_1s"],"id":7}', 2, 7),
        ('{"method":"SUBSCRIBE","params":["BTCUSDT@aggTrade"],"id":7}', 2, 7),
        ('{"method":"SUBSCRIBE","params":["btcusdt@depth@50ms"],"id":7}', 2, 7),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":7}', 1, 7),
        ('{"method":"SET_PROPERTY","params":["other",true],"id":7}', 0, 7),
        ('{"method":"GET_PROPERTY","params":["other"],"id":7}', 0, 7),
    ],
)
def test_invalid_messages_are_refused(
    still_client: VenueClient, message: str, code: int, request_id: int | None
) -> None:
    socket = still_client.stream()
    socket.send(message)
    answer = socket.next()
    assert (answer["error"]["code"], answer["id"]) == (code, request_id)
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == []


def test_a_list_with_one_unknown_name_is_refused_as_a_whole(still_client: VenueClient) -> None:
    socket = still_client.stream()
    assert "error" in socket.request("SUBSCRIBE", ["btcusdt@aggTrade", "btcusdt@unknown"])
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == []


def test_more_than_1024_streams_are_refused(still_client: VenueClient) -> None:
    socket = still_client.stream("btcusdt@trade")
    answer = socket.request("SUBSCRIBE", [f"btcusdt@kline_{number}" for number in range(1024)])
    assert answer["error"]["code"] == 4
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@trade"]


@pytest.mark.parametrize("path", ["/ws?listenKey=x", f"/ws/{'x' * 64}", f"/stream?streams=btcusdt@trade/{'x' * 64}"])
def test_a_socket_with_an_invalid_listen_key_is_refused(still_client: VenueClient, path: str) -> None:
    with pytest.raises(Refused) as refused:
        still_client.socket(path)
    assert (refused.value.status, refused.value.body["code"]) == (400, -1125)


@pytest.mark.parametrize("path", ["/ws/btcusdt@unknown/btcusdt@trade", "/ws/7/btcusdt@trade", "/ws/btcusdt@trade/"])
def test_names_in_a_path_that_are_no_stream_are_ignored(still_client: VenueClient, path: str) -> None:
    assert still_client.socket(path).request("LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@trade"]


def test_a_socket_for_another_host_is_refused(still_client: VenueClient) -> None:
    with pytest.raises(Refused) as refused:
        still_client.socket("/ws", {"Host": "example.com"})
    assert refused.value.status == 403


# Behaviour of clients.


def test_pings_are_answered_with_their_data(still_client: VenueClient) -> None:
    for socket in (still_client.stream(), still_client.trading()):
        for data in (b"", b"1700000000000", b"x" * 125):
            socket.ping(data)
            frame = socket.read_frame()
            assert (frame.kind, frame.data) == (10, data)


def test_a_close_frame_is_answered_and_closed_clients_are_removed(venue: SteppedVenue, client: VenueClient) -> None:
    sockets = [client.stream("btcusdt@trade") for _ in range(20)]
    for number, socket in enumerate(sockets):
        if number % 2:
            socket.send_close()
            assert socket.wait_closed() == 1000
        else:
            socket.drop()
    wait_until(lambda: venue.progress is not None and venue.progress.clients == 0, "all clients to be removed")


def test_the_eleventh_message_of_a_second_ends_the_connection(still_client: VenueClient) -> None:
    socket, second_socket = still_client.stream(), still_client.stream()
    for _ in range(10):
        socket.request("LIST_SUBSCRIPTIONS")
    socket.send({"method": "LIST_SUBSCRIPTIONS", "id": 11})
    assert socket.wait_closed() == 1008
    assert second_socket.request("LIST_SUBSCRIPTIONS")["result"] == []


def test_a_message_that_is_too_long_ends_the_connection(still_client: VenueClient) -> None:
    socket = still_client.stream()
    socket.send({"method": "SUBSCRIBE", "params": ["x" * (65 << 10)], "id": 1})
    assert socket.wait_closed() in (1009, None)
    assert still_client.get("/fapi/v1/ping") == {}


def test_clients_that_never_read_are_disconnected_and_delay_no_other_client(sample_home: Path, tmp_path: Path) -> None:
    """At full speed to clients that read nothing: memory stays within a few full queues."""
    all_streams = ["btcusdt@trade", "btcusdt@aggTrade", "btcusdt@bookTicker", "!bookTicker"]
    with SteppedVenue(sample_home, tmp_path, ticks=TICKS, pace="clock") as venue, venue.client() as client:
        stuck = [client.stream(*all_streams) for _ in range(3)]
        before_kb = venue.memory_kb()
        reader = client.stream(CANDLES)
        opens: list[int] = []

        def disconnected_count() -> int:
            return sum("reason" in message.get("log", {}) for message in venue.log)

        while disconnected_count() < len(stuck):
            opens += [event["k"]["t"] for event in read_minute(reader) if event["k"]["x"]]
        assert all(after - before == MINUTE_MS for before, after in pairwise(opens))
        assert venue.memory_kb("VmHWM") - before_kb < (len(stuck) * QUEUE_BYTES * 3 + (32 << 20)) >> 10
        assert [socket.wait_closed() for socket in stuck] == [None] * len(stuck)
        assert client.get("/fapi/v1/ping") == {}


# Shapes compared with payloads captured from Binance.


def test_events_match_the_captured_ones(running_client: VenueClient) -> None:
    for name, stream in (
        ("agg_trade", "btcusdt@aggTrade"),
        ("book_ticker", "btcusdt@bookTicker"),
        ("depth_update", "btcusdt@depth@100ms"),
    ):
        expected = captured(name)
        [event] = [running_client.combined(stream).next()]
        assert list(event) == ["stream", "data"]
        assert_alike(event["data"], expected)
        assert list(event["data"]) == list(expected)


def test_no_event_can_be_mistaken_for_an_answer(running_client: VenueClient) -> None:
    """The engine's adapters treat a message with `id` or `result` as the answer to a subscription."""
    socket = running_client.stream(
        "btcusdt@trade", "btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@depth@100ms", CANDLES
    )
    for event in read_minute(socket):
        assert not {"id", "result", "code", "error"} & event.keys(), json.dumps(event)
