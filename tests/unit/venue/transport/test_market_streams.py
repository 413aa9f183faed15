"""Streams: which there are, who gets them, and how often those go out that go by the clock."""

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
from opslab.venue.transport.user_data_stream import VALID_MS, UserDataStream
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
class Heard:
    """As a connection: keeps what it was sent."""

    texts: list[str] = field(default_factory=list)

    def send(self, text: str, _stream: str = "") -> None:
        self.texts.append(text)

    @property
    def messages(self) -> list[Any]:
        return [json.loads(text) for text in self.texts]


def subscriber(combined: bool = False) -> tuple[Subscriber, Heard]:
    heard = Heard()
    return Subscriber(cast(Connection, heard), combined), heard


@pytest.mark.parametrize("name", SERVED)
def test_served(name: str) -> None:
    assert is_served(name, SYMBOL)


@pytest.mark.parametrize("name", NOT_SERVED)
def test_not_served(name: str) -> None:
    assert not is_served(name, SYMBOL)


def test_depth_is_of_levels_and_of_a_speed() -> None:
    assert parse_depth_stream("depth") == (None, 250)
    assert parse_depth_stream("depth@0ms") == (None, 0)
    assert parse_depth_stream("depth20@500ms") == (20, 500)
    assert parse_depth_stream("aggTrade") is None


# Who gets what.


def test_a_message_goes_to_those_who_asked_for_it_in_the_form_they_asked_for() -> None:
    streams = MarketStreams(SYMBOL)
    (plain, one), (wrapped, other), (_, third) = subscriber(), subscriber(True), subscriber()
    streams.subscribe(plain, ["btcusdt@trade"])
    streams.subscribe(wrapped, ["btcusdt@trade"])
    streams.publish("btcusdt@trade", '{"e":"trade"}')
    streams.publish("btcusdt@aggTrade", '{"e":"aggTrade"}')
    assert one.messages == [{"e": "trade"}]
    assert other.messages == [{"stream": "btcusdt@trade", "data": {"e": "trade"}}]
    assert third.messages == []


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["on", "off", "leave"]),
            st.lists(st.sampled_from(SERVED[:6]), max_size=4),
        ),
        max_size=40,
    )
)
def test_whoever_comes_and_goes_the_streams_know_who_follows_what(steps: list[tuple[int, str, list[str]]]) -> None:
    """First and last followers are told of, in turn; nobody gets what they do not follow."""
    streams = MarketStreams(SYMBOL)
    people = [subscriber() for _ in range(4)]
    followed: set[str] = set()

    def last(name: str) -> None:
        assert name in followed
        followed.discard(name)

    streams.on_subscribe = lambda name, _send: followed.add(name)
    streams.on_unused = last
    wanted: list[set[str]] = [set() for _ in people]
    for who, what, names in steps:
        person, _ = people[who]
        if what == "on":
            streams.subscribe(person, names)
            wanted[who] |= set(names)
        elif what == "off":
            streams.unsubscribe(person, names)
            wanted[who] -= set(names)
        else:
            streams.leave(person)
            wanted[who] = set()
        assert [person.names for person, _ in people] == wanted
        assert set(streams.names()) == set().union(*wanted) == followed
    for name in SERVED[:6]:
        streams.publish(name, json.dumps({"of": name}))
    assert [{message["of"] for message in heard.messages} for _, heard in people] == wanted


def test_candles_are_waited_for_apart_from_anything_else() -> None:
    streams = MarketStreams(SYMBOL)
    someone, _ = subscriber()
    assert not streams.any_requested.is_set()
    streams.subscribe(someone, ["btcusdt@trade"])
    assert (streams.any_requested.is_set(), streams.candles_requested.is_set()) == (True, False)
    streams.subscribe(someone, ["btcusdt@kline_1m"])
    assert streams.candles_requested.is_set()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["method", "params", "id", "x"]), inner),
)


@given(VALUES)
def test_whatever_is_asked_is_answered_with_one_object(asked: Any) -> None:
    streams = MarketStreams(SYMBOL)
    someone, heard = subscriber()
    streams.heard(someone, json.dumps(asked))
    [answer] = heard.messages
    assert "id" in answer
    assert ("result" in answer) != ("error" in answer)


def test_more_names_than_a_connection_may_have_are_refused_together() -> None:
    streams = MarketStreams(SYMBOL)
    someone, heard = subscriber()
    names = [f"btcusdt@x{number}" for number in range(MAX_STREAMS + 1)]
    streams.heard(someone, json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
    assert heard.messages[0]["error"]["code"] == 4
    assert someone.names == set()


# The clock.


def told_in(seconds: float, names: list[str], moves: bool = True) -> Counter[str]:
    """How often each stream was told, while the market moves all the time."""

    async def scene() -> Counter[str]:
        loop = asyncio.get_running_loop()
        market = Market(btcusdt(), 60_000)
        candle = Candle(OPEN_MS, 4_200_000, 4_200_500, 4_199_500, 4_200_100, 10**6)
        market.start_at_open(candle, NOW_MS)
        market.open_minute(candle, 0)
        streams = MarketStreams(SYMBOL)
        broadcast = MarketPublisher(market, MarketPayloads(market), streams, lambda: NOW_MS + int(loop.time() * 1000))
        someone, heard = subscriber(True)
        streams.subscribe(someone, names)
        clock = asyncio.ensure_future(broadcast.by_clock())
        for tick in market.simulate_ticks(candle)[: int(seconds * 1000)]:
            await asyncio.sleep(0.001)
            if moves:
                broadcast.tick(market.apply_tick(tick, NOW_MS), NOW_MS)
        clock.cancel()
        return Counter(message["stream"] for message in heard.messages)

    return virtual_time.run(scene())


def test_streams_that_go_by_the_clock_go_at_their_own_pace() -> None:
    wanted = {
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
    told = told_in(seconds, list(wanted))
    for name, a_second in wanted.items():
        assert abs(told[name] - a_second * seconds) <= 1, name


def test_quotes_and_trades_go_with_every_tick() -> None:
    told = told_in(1, ["btcusdt@aggTrade", "btcusdt@trade", "btcusdt@bookTicker", "!bookTicker"])
    assert told == {
        "btcusdt@aggTrade": 1000,
        "btcusdt@trade": 1000,
        "btcusdt@bookTicker": 1001,  # one at once
        "!bookTicker": 1001,
    }


def test_of_a_market_that_stands_still_only_the_first_change_and_the_figures_are_told() -> None:
    told = told_in(3, ["btcusdt@depth@100ms", "btcusdt@kline_1m", "btcusdt@aggTrade", "btcusdt@ticker"], moves=False)
    assert told.pop("btcusdt@ticker") in (2, 3)
    assert told == {"btcusdt@depth@100ms": 1}


def test_a_clock_that_was_held_up_tells_once_what_came_due_often() -> None:
    async def scene() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.TimeLapse)
        market = Market(btcusdt(), 60)
        market.start_at_open(Candle(OPEN_MS, 4_200_000, 4_200_000, 4_200_000, 4_200_000, 10), NOW_MS)
        streams = MarketStreams(SYMBOL)
        broadcast = MarketPublisher(market, MarketPayloads(market), streams, lambda: NOW_MS)
        someone, heard = subscriber()
        streams.subscribe(someone, ["btcusdt@markPrice@1s"])
        clock = asyncio.ensure_future(broadcast.by_clock())
        await asyncio.sleep(0.5)
        loop.pass_by(30)
        await asyncio.sleep(0.01)
        clock.cancel()
        return len(heard.texts)

    assert virtual_time.run(scene()) == 1


def test_a_chain_of_changes_ends_with_its_last_follower() -> None:
    market = Market(btcusdt(), 60)
    market.start_at_open(Candle(OPEN_MS, 4_200_000, 4_200_000, 4_200_000, 4_200_000, 10), NOW_MS)
    streams = MarketStreams(SYMBOL)
    MarketPublisher(market, MarketPayloads(market), streams, lambda: NOW_MS)
    (one, _), (other, _) = subscriber(), subscriber()
    for someone in (one, other):
        streams.subscribe(someone, ["btcusdt@depth@100ms"])
    chain = market.book.diff_stream("btcusdt@depth@100ms")
    streams.leave(one)
    assert market.book.diff_stream("btcusdt@depth@100ms") is chain
    streams.leave(other)
    assert market.book.diff_stream("btcusdt@depth@100ms") is not chain


# The user-data stream.


def test_a_listen_key_lives_for_an_hour_from_when_it_was_last_asked_for() -> None:
    now_ms = NOW_MS
    users = UserDataStream("key", lambda: now_ms)
    heard = Heard()
    users.join(cast(Connection, heard))
    assert users.knows("key")
    assert not users.knows("another")
    now_ms += VALID_MS - 1
    assert users.renew()
    now_ms += VALID_MS - 1
    users.expire()
    users.tell([{"e": "ORDER_TRADE_UPDATE"}])
    assert [message["e"] for message in heard.messages] == ["ORDER_TRADE_UPDATE"]
    now_ms += 1
    assert not users.knows("key")
    assert not users.renew()
    users.expire()
    users.expire()
    users.tell([{"e": "ORDER_TRADE_UPDATE"}])
    assert [message["e"] for message in heard.messages[1:]] == ["listenKeyExpired"]
    assert users.issue() == "key"
    assert users.knows("key")
    users.tell([{"e": "ORDER_TRADE_UPDATE"}])
    assert len(heard.messages) == 2  # who was told that it is over stays out


def test_a_listen_key_is_chosen_by_message_as_a_stream_is() -> None:
    users = UserDataStream("key", lambda: NOW_MS)
    streams = MarketStreams(SYMBOL, users)
    who, heard = subscriber(combined=True)

    def ask(method: str, params: Any = None) -> Any:
        streams.heard(who, json.dumps({"method": method, "params": params or [], "id": 1}))
        return heard.messages[-1]

    assert ask("SUBSCRIBE", ["another"])["error"]["code"] == 2
    assert ask("SUBSCRIBE", ["btcusdt@trade", "key"])["result"] is None
    assert ask("LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@trade", "key"]
    users.tell([{"e": "ACCOUNT_UPDATE"}])
    assert heard.messages[-1] == {"stream": "key", "data": {"e": "ACCOUNT_UPDATE"}}
    ask("SET_PROPERTY", ["combined", False])
    users.tell([{"e": "ACCOUNT_UPDATE"}])
    assert heard.messages[-1] == {"e": "ACCOUNT_UPDATE"}
    ask("UNSUBSCRIBE", ["key"])
    told = len(heard.messages)
    users.tell([{"e": "ACCOUNT_UPDATE"}])
    assert len(heard.messages) == told
    assert ask("LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@trade"]
