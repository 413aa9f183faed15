"""Market streams: names, delivery to subscribers, and the rate of the streams that are sent by the clock."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslab.model.market.candle import Candle
from opslab.venue.market.klines import INTERVALS
from opslab.venue.market.market import Market
from opslab.venue.market.payloads import MarketPayloads
from opslab.venue.market_publisher import MarketPublisher
from opslab.venue.transport.market_streams import MAX_STREAMS, MarketStreams, Subscriber, is_served, parse_depth_stream
from opslab.venue.transport.sessions import Connection
from opslab.venue.transport.user_data_stream import LISTEN_KEY_VALID_MS, UserDataStream
from tests.fakes import virtual_time
from tests.fakes.candles import OPEN_MS, btcusdt

SYMBOL = "BTCUSDT"
NOW_MS = 1_800_000_000_000
SERVED = [
    *(f"btcusdt@kline_{interval}" for interval in INTERVALS),
    *(f"btcusdt@{kind}" for kind in ("bookTicker", "aggTrade", "trade", "markPrice", "markPrice@1s")),
    *(f"btcusdt@{kind}" for kind in ("ticker", "miniTicker", "depth", "depth@0ms", "depth@100ms", "depth@500ms")),
    *(f"btcusdt@depth{levels}{speed}" for levels in (5, 10, 20) for speed in ("", "@100ms", "@250ms", "@500ms")),
    *("!bookTicker", "!markPrice@arr", "!markPrice@arr@1s", "!ticker@arr", "!miniTicker@arr"),
]
NOT_SERVED = [
    *("", "@", "btcusdt", "btcusdt@", "@trade", "btcusdt@Trade", "BTCUSDT@trade", "ethusdt@trade", " btcusdt@trade"),
    *("btcusdt@kline_", "btcusdt@kline_1s", "btcusdt@kline_1M", "btcusdt@kline_1m ", "btcusdt@markPrice@3s"),
    *("btcusdt@depth@50ms", "btcusdt@depth7", "btcusdt@depth@", "btcusdt@depth@100", "btcusdt@depth20@1000ms"),
    *("btcusdt@forceOrder", "!forceOrder@arr", "!trade", "!ticker", "btcusdt@trade\n", "btcusdt@continuousKline_1m"),
]


@dataclass(eq=False)
class FakeConnection:
    """A connection that keeps the texts sent to it."""

    texts: list[str] = field(default_factory=list)

    def send(self, text: str, _stream: str = "") -> None:
        self.texts.append(text)

    @property
    def messages(self) -> list[Any]:
        return [json.loads(text) for text in self.texts]


def subscriber(combined: bool = False) -> tuple[Subscriber, FakeConnection]:
    connection = FakeConnection()
    return Subscriber(cast(Connection, connection), combined), connection


@pytest.mark.parametrize("name", SERVED)
def test_the_venue_serves(name: str) -> None:
    assert is_served(name, SYMBOL)


@pytest.mark.parametrize("name", NOT_SERVED)
def test_the_venue_does_not_serve(name: str) -> None:
    assert not is_served(name, SYMBOL)


def test_a_depth_stream_has_levels_and_an_interval() -> None:
    assert parse_depth_stream("depth") == (None, 250)
    assert parse_depth_stream("depth@0ms") == (None, 0)
    assert parse_depth_stream("depth20@500ms") == (20, 500)
    assert parse_depth_stream("aggTrade") is None


# Delivery to subscribers.


def test_a_message_reaches_the_subscribers_of_its_stream_in_the_form_they_chose() -> None:
    streams = MarketStreams(SYMBOL)
    (plain, first), (wrapped, second), (_, third) = subscriber(), subscriber(True), subscriber()
    streams.subscribe(plain, ["btcusdt@trade"])
    streams.subscribe(wrapped, ["btcusdt@trade"])
    streams.publish("btcusdt@trade", '{"e":"trade"}')
    streams.publish("btcusdt@aggTrade", '{"e":"aggTrade"}')
    assert first.messages == [{"e": "trade"}]
    assert second.messages == [{"stream": "btcusdt@trade", "data": {"e": "trade"}}]
    assert third.messages == []


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["subscribe", "unsubscribe", "remove"]),
            st.lists(st.sampled_from(SERVED[:6]), max_size=4),
        ),
        max_size=40,
    )
)
def test_subscriptions_stay_exact_over_any_sequence_of_changes(steps: list[tuple[int, str, list[str]]]) -> None:
    """A stream's first and last subscription are reported in turn; messages reach its subscribers only."""
    streams = MarketStreams(SYMBOL)
    subscribers = [subscriber() for _ in range(4)]
    in_use: set[str] = set()

    def on_unused(name: str) -> None:
        assert name in in_use
        in_use.discard(name)

    streams.on_subscribe = lambda name, _send: in_use.add(name)
    streams.on_unused = on_unused
    expected: list[set[str]] = [set() for _ in subscribers]
    for index, action, names in steps:
        member, _ = subscribers[index]
        if action == "subscribe":
            streams.subscribe(member, names)
            expected[index] |= set(names)
        elif action == "unsubscribe":
            streams.unsubscribe(member, names)
            expected[index] -= set(names)
        else:
            streams.remove(member)
            expected[index] = set()
        assert [member.names for member, _ in subscribers] == expected
        assert set(streams.subscribed_names()) == set().union(*expected) == in_use
    for name in SERVED[:6]:
        streams.publish(name, json.dumps({"of": name}))
    assert [{message["of"] for message in connection.messages} for _, connection in subscribers] == expected


def test_a_subscription_to_candles_is_reported_separately() -> None:
    streams = MarketStreams(SYMBOL)
    subscribed, _ = subscriber()
    assert not streams.any_requested.is_set()
    streams.subscribe(subscribed, ["btcusdt@trade"])
    assert (streams.any_requested.is_set(), streams.candles_requested.is_set()) == (True, False)
    streams.subscribe(subscribed, ["btcusdt@kline_1m"])
    assert streams.candles_requested.is_set()


def test_candles_of_another_interval_are_not_those_of_a_run() -> None:
    streams = MarketStreams(SYMBOL, candles="@kline_1m")
    subscribed, _ = subscriber()
    streams.subscribe(subscribed, ["btcusdt@kline_3m", "btcusdt@kline_15m"])
    assert (streams.candles_requested.is_set(), streams.candles_subscribed.is_set()) == (False, False)
    streams.subscribe(subscribed, ["btcusdt@kline_1m"])
    assert (streams.candles_requested.is_set(), streams.candles_subscribed.is_set()) == (True, True)
    streams.unsubscribe(subscribed, ["btcusdt@kline_1m"])
    assert not streams.candles_subscribed.is_set()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["method", "params", "id", "x"]), inner),
)


@given(VALUES)
def test_any_request_is_answered_with_one_object(request: Any) -> None:
    streams = MarketStreams(SYMBOL)
    subscribed, connection = subscriber()
    streams.receive(subscribed, json.dumps(request))
    [answer] = connection.messages
    assert "id" in answer
    assert ("result" in answer) != ("error" in answer)


def test_a_subscription_beyond_the_limit_is_refused_as_a_whole() -> None:
    streams = MarketStreams(SYMBOL)
    subscribed, connection = subscriber()
    names = [f"btcusdt@x{number}" for number in range(MAX_STREAMS + 1)]
    streams.receive(subscribed, json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
    assert connection.messages[0]["error"]["code"] == 4
    assert subscribed.names == set()


# Streams sent by the clock.


def message_counts(seconds: float, names: list[str], moves: bool = True) -> Counter[str]:
    """The number of messages of each stream, while the market moves all the time."""

    async def scenario() -> Counter[str]:
        loop = asyncio.get_running_loop()
        market = Market(btcusdt(), 60_000)
        candle = Candle(OPEN_MS, 4_200_000, 4_200_500, 4_199_500, 4_200_100, 10**6)
        market.start_at_open(candle, NOW_MS)
        market.open_minute(candle, 0)
        streams = MarketStreams(SYMBOL)
        publisher = MarketPublisher(market, MarketPayloads(market), streams, lambda: NOW_MS + int(loop.time() * 1000))
        subscribed, connection = subscriber(True)
        streams.subscribe(subscribed, names)
        clock = asyncio.ensure_future(publisher.run())
        for tick in market.simulate_ticks(candle)[: int(seconds * 1000)]:
            await asyncio.sleep(0.001)
            if moves:
                publisher.publish_tick(market.apply_tick(tick, NOW_MS), NOW_MS)
        clock.cancel()
        return Counter(message["stream"] for message in connection.messages)

    return virtual_time.run(scenario())


def test_streams_sent_by_the_clock_keep_their_interval() -> None:
    expected = {
        "btcusdt@depth@0ms": 20,
        "btcusdt@depth@100ms": 10,
        "btcusdt@depth": 4,
        "btcusdt@depth@250ms": 4,
        "btcusdt@depth@500ms": 2,
        "btcusdt@depth5@100ms": 10,
        "btcusdt@depth20@500ms": 2,
        "btcusdt@kline_1m": 4,
        "btcusdt@kline_1h": 4,
        "btcusdt@markPrice@1s": 1,
        "btcusdt@markPrice": 1 / 3,
        "!markPrice@arr": 1 / 3,
        "btcusdt@ticker": 1,
        "!miniTicker@arr": 1,
    }
    seconds = 12
    counts = message_counts(seconds, list(expected))
    for name, per_second in expected.items():
        assert abs(counts[name] - per_second * seconds) <= 1, name


def test_quotes_and_trades_are_sent_with_every_tick() -> None:
    counts = message_counts(1, ["btcusdt@aggTrade", "btcusdt@trade", "btcusdt@bookTicker", "!bookTicker"])
    assert counts == {
        "btcusdt@aggTrade": 1000,
        "btcusdt@trade": 1000,
        "btcusdt@bookTicker": 1001,  # one with the subscription
        "!bookTicker": 1001,
    }


def test_a_still_market_sends_only_its_first_change_and_the_24h_statistics() -> None:
    counts = message_counts(
        3, ["btcusdt@depth@100ms", "btcusdt@kline_1m", "btcusdt@aggTrade", "btcusdt@ticker"], moves=False
    )
    assert counts.pop("btcusdt@ticker") in (2, 3)
    assert counts == {"btcusdt@depth@100ms": 1}


def test_after_a_delay_of_the_clock_each_overdue_message_is_sent_once() -> None:
    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.TimeLapse)
        market = Market(btcusdt(), 60)
        market.start_at_open(Candle(OPEN_MS, 4_200_000, 4_200_000, 4_200_000, 4_200_000, 10), NOW_MS)
        streams = MarketStreams(SYMBOL)
        publisher = MarketPublisher(market, MarketPayloads(market), streams, lambda: NOW_MS)
        subscribed, connection = subscriber()
        streams.subscribe(subscribed, ["btcusdt@markPrice@1s"])
        clock = asyncio.ensure_future(publisher.run())
        await asyncio.sleep(0.5)
        loop.pass_by(30)
        await asyncio.sleep(0.01)
        clock.cancel()
        return len(connection.texts)

    assert virtual_time.run(scenario()) == 1


def test_a_stream_of_changes_ends_with_its_last_subscriber() -> None:
    market = Market(btcusdt(), 60)
    market.start_at_open(Candle(OPEN_MS, 4_200_000, 4_200_000, 4_200_000, 4_200_000, 10), NOW_MS)
    streams = MarketStreams(SYMBOL)
    MarketPublisher(market, MarketPayloads(market), streams, lambda: NOW_MS)
    (first, _), (second, _) = subscriber(), subscriber()
    for subscribed in (first, second):
        streams.subscribe(subscribed, ["btcusdt@depth@100ms"])
    chain = market.book.diff_stream("btcusdt@depth@100ms")
    streams.remove(first)
    assert market.book.diff_stream("btcusdt@depth@100ms") is chain
    streams.remove(second)
    assert market.book.diff_stream("btcusdt@depth@100ms") is not chain


# The user-data stream.


def test_a_listen_key_is_valid_for_an_hour_after_it_was_issued_or_renewed() -> None:
    now_ms = NOW_MS
    user_stream = UserDataStream("key", lambda: now_ms)
    connection = FakeConnection()
    user_stream.add(cast(Connection, connection))
    assert user_stream.is_valid("key")
    assert not user_stream.is_valid("another")
    now_ms += LISTEN_KEY_VALID_MS - 1
    assert user_stream.renew()
    now_ms += LISTEN_KEY_VALID_MS - 1
    user_stream.expire()
    user_stream.publish([{"e": "ORDER_TRADE_UPDATE"}])
    assert [message["e"] for message in connection.messages] == ["ORDER_TRADE_UPDATE"]
    now_ms += 1
    assert not user_stream.is_valid("key")
    assert not user_stream.renew()
    user_stream.expire()
    user_stream.expire()
    user_stream.publish([{"e": "ORDER_TRADE_UPDATE"}])
    assert [message["e"] for message in connection.messages[1:]] == ["listenKeyExpired"]
    assert user_stream.issue() == "key"
    assert user_stream.is_valid("key")
    user_stream.publish([{"e": "ORDER_TRADE_UPDATE"}])
    assert len(connection.messages) == 2  # a connection that got listenKeyExpired gets nothing more


def test_a_listen_key_can_be_subscribed_to_by_message() -> None:
    user_stream = UserDataStream("key", lambda: NOW_MS)
    streams = MarketStreams(SYMBOL, user_stream)
    subscribed, connection = subscriber(combined=True)

    def request(method: str, params: Any = None) -> Any:
        streams.receive(subscribed, json.dumps({"method": method, "params": params or [], "id": 1}))
        return connection.messages[-1]

    assert request("SUBSCRIBE", ["another"])["error"]["code"] == 2
    assert request("SUBSCRIBE", ["btcusdt@trade", "key"])["result"] is None
    assert request("LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@trade", "key"]
    user_stream.publish([{"e": "ACCOUNT_UPDATE"}])
    assert connection.messages[-1] == {"stream": "key", "data": {"e": "ACCOUNT_UPDATE"}}
    request("SET_PROPERTY", ["combined", False])
    user_stream.publish([{"e": "ACCOUNT_UPDATE"}])
    assert connection.messages[-1] == {"e": "ACCOUNT_UPDATE"}
    request("UNSUBSCRIBE", ["key"])
    count = len(connection.messages)
    user_stream.publish([{"e": "ACCOUNT_UPDATE"}])
    assert len(connection.messages) == count
    assert request("LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@trade"]
