"""The venue's market streams over real sockets: what they say, when, and to whom they stop saying it."""

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
FLOODED_BYTES = 8 << 20
"""What may wait for one client."""


@pytest.fixture
def venue(sample_home: Path, tmp_path: Path) -> Iterator[SteppedVenue]:
    """Its market stands at the first open until somebody subscribes to candles; then minutes wait for `play`."""
    with SteppedVenue(sample_home, tmp_path, ticks=TICKS) as venue:
        yield venue


@pytest.fixture
def client(venue: SteppedVenue) -> Iterator[VenueClient]:
    with venue.client() as client:
        yield client


@pytest.fixture(scope="module")
def standing(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedVenue]:
    """A market that stands still as long as nobody subscribes to candles."""
    with SteppedVenue(sample_home, tmp_path_factory.mktemp("standing")) as venue:
        yield venue


@pytest.fixture
def visitor(standing: SteppedVenue) -> Iterator[VenueClient]:
    with standing.client() as client:
        yield client


@pytest.fixture(scope="module")
def running(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedVenue]:
    """A market that goes by the clock, two minutes in a second."""
    folder = tmp_path_factory.mktemp("running")
    with SteppedVenue(sample_home, folder, ticks=TICKS, speed=120.0, start="now", pace="clock") as venue:
        yield venue


@pytest.fixture
def watcher(running: SteppedVenue) -> Iterator[VenueClient]:
    with running.client() as client:
        yield client


def minute(socket: Socket) -> list[dict[str, Any]]:
    """Everything up to the next closed candle, that one last."""
    return socket.read_until(lambda event: event.get("e") == "kline" and event["k"]["i"] == "1m" and event["k"]["x"])


def of(kind: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event.get("e") == kind]


def text_of(cents: int) -> str:
    return f"{Decimal(cents).scaleb(-2):.2f}"


def figures(candle: Candle) -> list[str]:
    prices = (candle.open, candle.high, candle.low, candle.close)
    return [*map(text_of, prices), f"{Decimal(candle.volume).scaleb(-3):.3f}"]


# The market, tick by tick.


def test_the_market_stands_still_until_candles_are_subscribed_to(venue: SteppedVenue, client: VenueClient) -> None:
    socket = client.stream("btcusdt@bookTicker")
    first = next(venue.candles())
    [quote] = of("bookTicker", [socket.next()])
    assert text_of(first.open) in (quote["b"], quote["a"])
    socket.subscribe("btcusdt@aggTrade", "btcusdt@depth@100ms")
    assert client.get("/fapi/v1/trades", **BTC) == []
    assert client.get("/fapi/v1/klines", **BTC, interval="1m") == []
    assert client.get("/fapi/v1/ticker/price", **BTC)["price"] == text_of(first.open)
    socket.subscribe(CANDLES)
    assert len(of("aggTrade", minute(socket))) == TICKS


@pytest.mark.parametrize("start", ["any", "now"])
def test_the_market_can_start_with_any_stream_or_at_once(sample_home: Path, tmp_path: Path, start: Any) -> None:
    with SteppedVenue(sample_home, tmp_path, start=start, max_bars=3, pace="drained") as venue, venue.client() as client:
        if start == "any":
            assert client.get("/fapi/v1/klines", **BTC, interval="1m") == []
            client.stream("btcusdt@markPrice@1s")
        wait_until(lambda: len(client.get("/fapi/v1/klines", **BTC, interval="1m")) == 3, "three candles")
        wait_until(lambda: venue.progress is not None and venue.progress.state == "ended", "the end of the replay")


def test_a_minutes_trades_make_its_candle_which_is_the_datasets(venue: SteppedVenue, client: VenueClient) -> None:
    socket = client.stream("btcusdt@aggTrade", "btcusdt@trade")
    socket.subscribe(CANDLES)
    number = 0
    for candle, _ in zip(venue.candles(), range(5), strict=False):
        *events, closed = minute(socket)
        venue.play()
        trades, same = of("aggTrade", events), of("trade", events)
        kline = closed["k"]
        assert has_shape(closed, KLINE)
        assert has_shape(trades, [AGG_TRADE])
        assert has_shape(same, [TRADE])
        sizes = [Decimal(trade["q"]) for trade in trades]
        prices = [Decimal(trade["p"]) for trade in trades]
        amounts = [price * size for price, size in zip(prices, sizes, strict=True)]
        bought = [index for index, trade in enumerate(trades) if not trade["m"]]
        assert [f"{price:.2f}" for price in (prices[0], max(prices), min(prices), prices[-1])] == figures(candle)[:4]
        assert [kline[name] for name in "ohlcv"] == figures(candle)
        assert (kline["t"], kline["T"]) == (candle.open_ms, candle.open_ms + MINUTE_MS - 1)
        assert Decimal(kline["v"]) == sum(sizes)
        assert Decimal(kline["q"]) == sum(amounts)
        assert Decimal(kline["V"]) == sum(sizes[index] for index in bought)
        assert Decimal(kline["Q"]) == sum(amounts[index] for index in bought)
        assert [trade["a"] for trade in trades] == list(range(number + 1, number + TICKS + 1))
        assert (kline["f"], kline["L"], kline["n"]) == (number + 1, number + TICKS, TICKS)
        assert [[e["t"], e["p"], e["q"], e["m"]] for e in same] == [[e["a"], e["p"], e["q"], e["m"]] for e in trades]
        number += TICKS


def test_every_trade_leaves_a_quote_that_touches_it(client: VenueClient) -> None:
    socket = client.stream("btcusdt@aggTrade", "btcusdt@bookTicker")
    assert has_shape(socket.next(), BOOK_TICKER)  # the one that stands, at once
    socket.subscribe(CANDLES)
    *events, _ = minute(socket)
    assert [event["e"] for event in events if event["e"] != "kline"] == ["aggTrade", "bookTicker"] * TICKS
    for trade, quote in zip(of("aggTrade", events), of("bookTicker", events), strict=True):
        assert quote["b" if trade["m"] else "a"] == trade["p"]
        assert Decimal(0) < Decimal(quote["a"]) - Decimal(quote["b"]) <= Decimal("0.1")
    updates = [quote["u"] for quote in of("bookTicker", events)]
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
        assert Decimal(kline["v"]) == sum(Decimal(one["v"]) for one in part)
        assert Decimal(kline["h"]) == max(Decimal(one["h"]) for one in part)


def test_an_open_candle_is_told_while_it_grows_and_closed_once(watcher: VenueClient) -> None:
    socket = watcher.stream(CANDLES)
    minute(socket)
    seen: Counter[int] = Counter()
    for _ in range(4):
        *growing, closed = [event["k"] for event in minute(socket)]
        seen[len(growing)] += 1
        assert {kline["t"] for kline in growing} <= {closed["t"]}
        volumes = [Decimal(kline["v"]) for kline in (*growing, closed)]
        assert volumes == sorted(volumes)
        for kline in growing:
            assert Decimal(closed["l"]) <= Decimal(kline["l"]) <= Decimal(kline["h"]) <= Decimal(closed["h"])
    assert max(seen) > 0


# Depth.


class Local:
    """A book as a client keeps it: a snapshot, and the changes behind it."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.last_id = snapshot["lastUpdateId"]
        self.bids = dict(snapshot["bids"])
        self.asks = dict(snapshot["asks"])
        self._bridged = False

    def change(self, push: dict[str, Any]) -> None:
        """As Binance asks clients to: the first push spans the snapshot, each later one names the one before."""
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


def test_snapshot_and_changes_are_the_venues_book_while_orders_take_from_it(
    venue: SteppedVenue, client: VenueClient
) -> None:
    """At every speed; the market stands still between its minutes, so that the two can be held against each other."""
    socket = client.combined(*DEPTHS)
    books: dict[str, Local] = {}

    def caught_up(update_id: int) -> bool:
        event = socket.next()
        push, name = event["data"], event["stream"]
        assert has_shape(push, DEPTH_UPDATE)
        if name not in books:  # the first change is seen: now the book is asked for
            books[name] = Local(client.get("/fapi/v1/depth", **BTC, limit=1000))
        books[name].change(push)
        return len(books) == len(DEPTHS) and all(book.last_id >= update_id for book in books.values())

    candles = client.stream(CANDLES)
    minute(candles)
    client.get("/fapi/v1/depth", **BTC, limit=5)
    for turn in range(4):
        for size in ("0.500", "2.000"):
            client.place("BUY" if turn % 2 else "SELL", size).assert_ok()
        if turn % 2:
            venue.play()
            minute(candles)
            client.place("SELL", "1.500").assert_ok()
        wanted = client.get("/fapi/v1/depth", **BTC, limit=1000)
        while not caught_up(wanted["lastUpdateId"]):
            pass
        for name, book in books.items():
            assert book.sides() == (wanted["bids"], wanted["asks"]), (name, turn)
            assert len(wanted["bids"]) == len(wanted["asks"]) == 200


def test_the_chain_of_changes_is_unbroken_while_the_market_runs(watcher: VenueClient) -> None:
    socket = watcher.combined("btcusdt@depth@0ms", "btcusdt@depth@100ms", "btcusdt@depth", "btcusdt@depth@500ms")
    books: dict[str, Local] = {}
    counts: Counter[str] = Counter()
    while counts["btcusdt@depth@500ms"] < 4:
        event = socket.next()
        name, push = event["stream"], event["data"]
        if name not in books:
            books[name] = Local(watcher.get("/fapi/v1/depth", **BTC, limit=1000))
        if counts["btcusdt@depth@0ms"] % 7 == 0:
            watcher.get("/fapi/v1/depth", **BTC, limit=20)
        books[name].change(push)
        counts[name] += 1
    assert [name for name, _ in counts.most_common()] == [
        "btcusdt@depth@0ms",
        "btcusdt@depth@100ms",
        "btcusdt@depth",
        "btcusdt@depth@500ms",
    ]


def test_a_book_that_does_not_move_is_pushed_too_so_that_a_client_can_begin_one(visitor: VenueClient) -> None:
    socket = visitor.stream("btcusdt@depth@100ms")
    first = socket.read_event("depthUpdate")
    snapshot = visitor.get("/fapi/v1/depth", **BTC, limit=1000)
    local = Local(snapshot)
    local.change(first)
    local.change(socket.read_event("depthUpdate"))
    assert local.last_id >= snapshot["lastUpdateId"]
    assert local.sides() == (snapshot["bids"], snapshot["asks"])


@pytest.mark.parametrize("levels", [5, 10, 20])
def test_partial_depth_is_the_top_of_the_book(visitor: VenueClient, levels: int) -> None:
    socket = visitor.stream(f"btcusdt@depth{levels}@100ms", f"btcusdt@depth{levels}")
    visitor.place("BUY", "1.000").assert_ok()
    wanted = visitor.get("/fapi/v1/depth", **BTC, limit=levels)
    last = socket.read_until(lambda push: push["u"] >= wanted["lastUpdateId"])[-1]
    assert has_shape(last, DEPTH_UPDATE)
    assert [last["b"], last["a"]] == [wanted["bids"], wanted["asks"]]


# What goes by the clock.

BY_THE_CLOCK: dict[str, Any] = {
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


def test_figures_are_told_by_the_clock_in_their_shapes(watcher: VenueClient) -> None:
    socket = watcher.combined(*BY_THE_CLOCK)
    seen: Counter[str] = Counter()
    while seen.keys() != BY_THE_CLOCK.keys():
        event = socket.next()
        seen[event["stream"]] += 1
        assert has_shape(event["data"], BY_THE_CLOCK[event["stream"]]), event


# Which streams, and in which form.


@pytest.mark.parametrize("route", ["", "/market", "/public"])
def test_streams_are_chosen_by_path_by_query_or_by_message(watcher: VenueClient, route: str) -> None:
    by_path = watcher.socket(f"{route}/ws/btcusdt@aggTrade")
    assert has_shape(by_path.next(), AGG_TRADE)
    by_message = watcher.socket(f"{route}/ws")
    by_message.subscribe("btcusdt@aggTrade")
    assert has_shape(by_message.read_event("aggTrade"), AGG_TRADE)
    by_query = watcher.socket(f"{route}/stream?streams=btcusdt@aggTrade/btcusdt@trade")
    for event in (by_query.next(), by_query.next()):
        assert list(event) == ["stream", "data"]
        assert event["stream"] == f"btcusdt@{event['data']['e']}"


def test_subscriptions_are_listed_and_end_when_they_are_asked_to(venue: SteppedVenue, client: VenueClient) -> None:
    socket = client.stream()
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == []
    socket.subscribe("btcusdt@trade", "btcusdt@aggTrade")
    socket.subscribe("btcusdt@trade", CANDLES)  # one of them again
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@aggTrade", CANDLES, "btcusdt@trade"]
    counted = Counter(event["e"] for event in minute(socket))
    assert (counted["trade"], counted["aggTrade"]) == (TICKS, TICKS)
    socket.unsubscribe("btcusdt@trade", "btcusdt@depth", "never@heard")
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@aggTrade", CANDLES]
    venue.play()
    counted = Counter(event["e"] for event in minute(socket))
    assert (counted["trade"], counted["aggTrade"]) == (0, TICKS)


def test_the_envelope_is_a_property(venue: SteppedVenue, client: VenueClient) -> None:
    socket = client.stream(CANDLES)
    minute(socket)
    assert socket.request("GET_PROPERTY", ["combined"])["result"] is False
    assert socket.request("SET_PROPERTY", ["combined", True])["result"] is None
    assert socket.request("GET_PROPERTY", ["combined"])["result"] is True
    venue.play()
    wrapped = socket.read_until(lambda event: "stream" in event)[-1]
    assert (wrapped["stream"], wrapped["data"]["e"]) == (CANDLES, "kline")
    assert client.combined().request("GET_PROPERTY", ["combined"])["result"] is True


def test_one_message_goes_to_all_who_asked_for_it(client: VenueClient) -> None:
    sockets = [client.stream("btcusdt@aggTrade") for _ in range(5)]
    sockets[0].subscribe(CANDLES)
    told = [[e["a"] for e in socket.read_until(lambda e: e.get("a") == TICKS) if "a" in e] for socket in sockets]
    assert told == [list(range(1, TICKS + 1))] * 5


@pytest.mark.parametrize(
    ("message", "code", "number"),
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
def test_messages_refused(visitor: VenueClient, message: str, code: int, number: int | None) -> None:
    socket = visitor.stream()
    socket.send(message)
    answer = socket.next()
    assert (answer["error"]["code"], answer["id"]) == (code, number)
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == []


def test_of_a_list_with_one_strange_name_nothing_is_subscribed_to(visitor: VenueClient) -> None:
    socket = visitor.stream()
    assert "error" in socket.request("SUBSCRIBE", ["btcusdt@aggTrade", "btcusdt@strange"])
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == []


def test_more_than_1024_streams_are_refused(visitor: VenueClient) -> None:
    socket = visitor.stream("btcusdt@trade")
    answer = socket.request("SUBSCRIBE", [f"btcusdt@kline_{number}" for number in range(1024)])
    assert answer["error"]["code"] == 4
    assert socket.request("LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@trade"]


@pytest.mark.parametrize("path", ["/ws?listenKey=x", f"/ws/{'x' * 64}", f"/stream?streams=btcusdt@trade/{'x' * 64}"])
def test_a_socket_with_a_listen_key_that_is_none_is_refused(visitor: VenueClient, path: str) -> None:
    with pytest.raises(Refused) as refused:
        visitor.socket(path)
    assert (refused.value.status, refused.value.body["code"]) == (400, -1125)


@pytest.mark.parametrize("path", ["/ws/btcusdt@strange/btcusdt@trade", "/ws/7/btcusdt@trade", "/ws/btcusdt@trade/"])
def test_names_in_a_path_that_are_no_stream_are_passed_over(visitor: VenueClient, path: str) -> None:
    assert visitor.socket(path).request("LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@trade"]


def test_a_socket_for_another_host_is_refused(visitor: VenueClient) -> None:
    with pytest.raises(Refused) as refused:
        visitor.socket("/ws", {"Host": "example.com"})
    assert refused.value.status == 403


# How clients behave.


def test_pings_are_answered_with_what_they_hold(visitor: VenueClient) -> None:
    for socket in (visitor.stream(), visitor.trading()):
        for data in (b"", b"1700000000000", b"x" * 125):
            socket.ping(data)
            found = socket.read_frame()
            assert (found.kind, found.data) == (10, data)


def test_who_says_goodbye_is_answered_and_forgotten(venue: SteppedVenue, client: VenueClient) -> None:
    sockets = [client.stream("btcusdt@trade") for _ in range(20)]
    for number, socket in enumerate(sockets):
        if number % 2:
            socket.send_close()
            assert socket.wait_closed() == 1000
        else:
            socket.drop()
    wait_until(lambda: venue.progress is not None and venue.progress.clients == 0, "all to be forgotten")


def test_the_eleventh_message_of_a_second_ends_the_connection(visitor: VenueClient) -> None:
    socket, other = visitor.stream(), visitor.stream()
    for _ in range(10):
        socket.request("LIST_SUBSCRIPTIONS")
    socket.send({"method": "LIST_SUBSCRIPTIONS", "id": 11})
    assert socket.wait_closed() == 1008
    assert other.request("LIST_SUBSCRIPTIONS")["result"] == []


def test_a_message_that_is_too_long_ends_the_connection(visitor: VenueClient) -> None:
    socket = visitor.stream()
    socket.send({"method": "SUBSCRIBE", "params": ["x" * (65 << 10)], "id": 1})
    assert socket.wait_closed() in (1009, None)
    assert visitor.get("/fapi/v1/ping") == {}


def test_who_never_reads_is_let_go_and_holds_up_nobody(sample_home: Path, tmp_path: Path) -> None:
    """As much as can be drawn, to clients that take nothing: memory stays where a few full queues put it."""
    everything = ["btcusdt@trade", "btcusdt@aggTrade", "btcusdt@bookTicker", "!bookTicker"]
    with SteppedVenue(sample_home, tmp_path, ticks=TICKS, pace="clock") as venue, venue.client() as client:
        deaf = [client.stream(*everything) for _ in range(3)]
        before_kb = venue.memory_kb()
        reader = client.stream(CANDLES)
        opens: list[int] = []

        def let_go() -> int:
            return sum("reason" in frame.get("log", {}) for frame in venue.log)

        while let_go() < len(deaf):
            opens += [event["k"]["t"] for event in minute(reader) if event["k"]["x"]]
        assert all(after - before == MINUTE_MS for before, after in pairwise(opens))
        assert venue.memory_kb("VmHWM") - before_kb < (len(deaf) * FLOODED_BYTES * 3 + (32 << 20)) >> 10
        assert [socket.wait_closed() for socket in deaf] == [None] * len(deaf)
        assert client.get("/fapi/v1/ping") == {}


# Shapes against what was captured of the venue itself.


def test_events_are_like_the_venues(watcher: VenueClient) -> None:
    for name, stream in (
        ("agg_trade", "btcusdt@aggTrade"),
        ("book_ticker", "btcusdt@bookTicker"),
        ("depth_update", "btcusdt@depth@100ms"),
    ):
        wanted = captured(name)
        [event] = [watcher.combined(stream).next()]
        assert list(event) == ["stream", "data"]
        assert_alike(event["data"], wanted)
        assert list(event["data"]) == list(wanted)


def test_no_event_can_be_taken_for_an_answer(watcher: VenueClient) -> None:
    """The engine's adapters take a message with `id` or `result` for the answer to a subscription."""
    socket = watcher.stream("btcusdt@trade", "btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@depth@100ms", CANDLES)
    for event in minute(socket):
        assert not {"id", "result", "code", "error"} & event.keys(), json.dumps(event)
