"""Faults are combined, started and ended in any order: each works as alone, and nothing remains after its end."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from opslab.errors import NotFound, Usage
from opslab.model.market.candle import Candle
from opslab.model.market.instrument import instrument_of
from opslab.model.messages.ledger_events import Opened
from opslab.ports import Moment
from opslab.resources import exchange_info_symbol
from opslab.venue.account.account import Account
from opslab.venue.api_error import ApiError
from opslab.venue.counters import Counters
from opslab.venue.exchange import Exchange
from opslab.venue.fault_hooks import AnswerWithheld, Call, ConnectionKind, FaultHooks, Message
from opslab.venue.faults import delay_queue
from opslab.venue.faults.controller import (
    MAX_ACTIVE_FAULTS,
    MAX_FAULT_SECONDS,
    ActiveFault,
    FaultController,
    parse_terms,
)
from opslab.venue.faults.fault import FaultTarget
from opslab.venue.faults.kinds.close import CLOSE_SECONDS
from opslab.venue.faults.registry import FAULTS
from opslab.venue.market.market import Market
from opslab.venue.market.payloads import MarketPayloads
from opslab.venue.market_publisher import MarketPublisher
from opslab.venue.transport.market_streams import MarketStreams
from opslab.venue.transport.server import Server
from tests.fakes import virtual_time
from tests.fakes.account_at_price import opened

STACKS = 300
TRADE = '{"e":"aggTrade","E":1,"s":"BTCUSDT","a":%d,"p":"42000.10","q":"0.015","m":true}'
KLINE = '{"e":"kline","E":1,"s":"BTCUSDT","k":{"o":"2.0","c":"2.0","h":"2.5","l":"1.5","x":true,"n":%d}}'
DEPTH = '{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":%d,"u":1,"pu":1,"b":[["1.0","2.0"]],"a":[]}'
FILL = '{"e":"ORDER_TRADE_UPDATE","o":{"x":"TRADE","t":%d,"l":"0.010"}}'
ANSWER = '{"result":null,"id":%d}'
STREAMS = {"btcusdt@aggTrade": TRADE, "btcusdt@kline_1m": KLINE, "btcusdt@depth@0ms": DEPTH}
POST, GET, DEPTH_CALL = (
    Call("POST", "/fapi/v1/order", "rest"),
    Call("GET", "/fapi/v1/time", "rest"),
    Call("GET", "/fapi/v1/depth", "rest"),
)
LASTING = [name for name, fault in FAULTS.items() if not fault.is_immediate]


@dataclass(eq=False)
class Client:
    """Implements `fault_hooks.Receiver`, and the part of a connection that faults use."""

    kind: ConnectionKind
    received: list[tuple[float, str]] = field(default_factory=list)
    close_codes: list[int] = field(default_factory=list)
    answers_close: bool = True
    drop_reason: str | None = None

    def deliver(self, message: Message) -> None:
        self.received.append((asyncio.get_running_loop().time(), message.text))

    def drop(self, reason: str) -> None:
        self.drop_reason = reason

    def reset(self) -> None:
        self.drop_reason = "reset"

    async def close(self, code: int, _reason: str) -> None:
        self.close_codes.append(code)
        if not self.answers_close:
            await asyncio.Event().wait()

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.received]

    def numbers(self, field: str) -> list[int]:
        """The values of a field, in the order in which the messages arrived."""
        return [json.loads(text)[field] for text in self.texts]


@dataclass
class FakeListener:
    pauses: int = 0

    async def stop_listening(self) -> None:
        self.pauses += 1

    async def resume_listening(self) -> None:
        self.pauses -= 1


@dataclass
class FakeServer:
    """The part of a server that faults use."""

    clients: list[Client] = field(default_factory=list)
    listener: FakeListener = field(default_factory=FakeListener)


class Ledger:
    """Implements `ports.Ledger` and stores nothing."""

    transactions = 0

    def append(self, _events: object, _at: Moment) -> None: ...

    def mark(self, _at: Moment) -> None: ...

    def use_reserve(self) -> None: ...


class FaultedVenue:
    """A venue's fault hooks, its fault controller, and clients; on a virtual clock."""

    def __init__(self) -> None:
        self.hooks = FaultHooks()
        self.logged: list[tuple[str, dict[str, Any]]] = []
        self.server = FakeServer([Client("market"), Client("user"), Client("trading")])
        self.exchange = _exchange(self.hooks)
        self.faults = FaultController(
            FaultTarget(self.hooks, cast(Server, self.server), self.exchange), self._log_event
        )
        self._sent = 0

    def _log_event(self, event: str, fields: dict[str, object]) -> None:
        self.logged.append((event, fields))

    @property
    def market(self) -> Client:
        return self.server.clients[0]

    @property
    def user(self) -> Client:
        return self.server.clients[1]

    async def start(self, name: str, seconds: float = 60.0, owner: object | None = None, **terms: Any) -> ActiveFault:
        return await self.faults.start(name, terms, seconds, owner)

    def send(self, text: str, stream: str = "", receiver: Client | None = None) -> None:
        """Send as a connection does."""
        client = receiver or self.market
        for message in self.hooks.pass_through(Message(client, client.kind, stream, text)):
            message.receiver.deliver(message)

    def trades(self, first: int, count: int, receiver: Client | None = None) -> None:
        for number in range(first, first + count):
            self.send(TRADE % number, "btcusdt@aggTrade", receiver)

    def traffic(self) -> list[str]:
        """Send a message of each kind to each client; the texts sent, in the order of the clients."""
        sent = []
        for client in self.server.clients:
            for stream, text in STREAMS.items() if client.kind == "market" else [("", FILL), ("", ANSWER)]:
                self._sent += 1
                sent.append(text % self._sent)
                self.send(sent[-1], stream, client)
        return sent

    async def request(self, call: Call = POST) -> object:
        """Run a request through the hooks as the request pipeline does; what the client gets."""
        reply = await self.hooks.before_request(call)
        if reply is not None:
            return reply.status
        try:
            if call.method != "GET":
                for hook in list(self.hooks.orders):
                    hook(call)
            answer = self.hooks.change_answer(call, {"lastUpdateId": 5_000_000})
            await self.hooks.after_request(call)
        except ApiError as refusal:
            return refusal.code
        except AnswerWithheld:
            return None
        return answer

    def assert_no_fault_remains(self) -> None:
        """Assert that the venue behaves as if no fault had ever been active."""
        assert self.hooks == FaultHooks()
        assert self.server.listener.pauses == 0
        assert self.faults.active_faults() == []
        assert self.exchange.view.status == "TRADING"
        assert [event for event, _ in self.logged if event == "bug"] == []
        begun = [fields["number"] for event, fields in self.logged if event == "fault_started"]
        ended = [fields["number"] for event, fields in self.logged if event == "fault_ended"]
        assert begun == list(range(1, len(begun) + 1))
        assert sorted(ended) == begun
        for client in self.server.clients:
            client.received.clear()
        sent = self.traffic()
        assert [text for client in self.server.clients for text in client.texts] == sent


def _exchange(hooks: FaultHooks) -> Exchange:
    market = Market(instrument_of(exchange_info_symbol("BTCUSDT")), 30)
    market.start_at_open(Candle(0, 4_200_000, 4_200_000, 4_200_000, 4_200_000, 1_000), 0)
    publisher = MarketPublisher(market, MarketPayloads(market), MarketStreams("BTCUSDT"), lambda: 0)
    account: Opened = opened()
    return Exchange(
        market, Account.from_opened(account), Ledger(), publisher, lambda: 1, Moment(0, 0), hooks, Counters()
    )


def run(scenario: Callable[[FaultedVenue], Awaitable[None]]) -> None:
    async def with_timeout() -> None:
        await asyncio.wait_for(scenario(FaultedVenue()), 1e6)

    virtual_time.run(with_timeout())


@contextmanager
def refused(text: str) -> Iterator[None]:
    with pytest.raises(Usage) as error:
        yield
    assert text in error.value.message


# The end of a fault.


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_remains_of_a_fault_that_has_ended(name: str) -> None:
    async def scenario(venue: FaultedVenue) -> None:
        for reason in ("stopped", "expired", "client_disconnected", "everything is stopped"):
            owner = object()
            if name in ("forced-close", "margin-call"):  # they need a position
                await venue.start("external-trade")
            active = await venue.start(name, 5.0, owner)
            waiting = [asyncio.ensure_future(venue.request(call)) for call in (POST, GET, DEPTH_CALL)]
            venue.traffic()
            await asyncio.sleep(0.01)
            if FAULTS[name].is_immediate:
                reason = "immediate"
            elif reason == "stopped":
                await venue.faults.stop(active.number)
            elif reason == "client_disconnected":
                await venue.faults.stop_owned_by(owner)
            elif reason == "everything is stopped":
                assert await venue.faults.stop_all(reason) == 1
            else:
                await asyncio.sleep(5.0)
            assert venue.logged[-1] == ("fault_ended", {"fault": name, "number": active.number, "reason": reason})
            await asyncio.wait_for(asyncio.gather(*waiting), 0.1)
            venue.assert_no_fault_remains()
            assert await venue.request() == {"lastUpdateId": 5_000_000}
            with pytest.raises(NotFound):
                await venue.faults.stop(active.number)

    run(scenario)


def test_nothing_remains_of_any_stack_of_faults_ended_in_any_order() -> None:
    async def stack(venue: FaultedVenue, generator: random.Random) -> None:
        owner, started, waiting = object(), [], []
        for _ in range(generator.randint(2, 6)):
            seconds, fault_owner = generator.choice((0.05, 60.0)), generator.choice((owner, None))
            with suppress(Usage):  # a trade while the symbol is halted
                started.append(await venue.start(generator.choice(list(FAULTS)), seconds, fault_owner))
            for _ in range(generator.randint(0, 3)):
                venue.traffic()
                waiting.append(asyncio.ensure_future(venue.request(generator.choice((POST, GET, DEPTH_CALL)))))
                await asyncio.sleep(generator.choice((0.0, 0.01, 0.3)))
        generator.shuffle(started)
        for active in started:
            venue.traffic()
            choice = generator.random()
            if choice < 0.1:
                await venue.faults.stop_owned_by(owner)
            elif choice < 0.2:
                await asyncio.sleep(60.0)
            if active in venue.faults.active_faults():
                await venue.faults.stop(active.number)
        await asyncio.wait_for(asyncio.gather(*waiting), 0.1)
        await asyncio.sleep(0.001)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        venue.assert_no_fault_remains()

    for seed in range(STACKS):
        generator = random.Random(seed)
        run(lambda venue, generator=generator: stack(venue, generator))  # type: ignore[misc]


def test_many_overlapping_faults_on_one_venue() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        generator = random.Random(0)
        faults: list[ActiveFault] = []
        for _ in range(2_000):
            faults = [active for active in faults if active in venue.faults.active_faults()]
            if len(faults) < 6 and generator.random() < 0.5:
                faults.append(await venue.start(generator.choice(LASTING)))
            elif faults:
                await venue.faults.stop(faults.pop(generator.randrange(len(faults))).number)
            venue.traffic()
            if generator.random() < 0.1:
                await asyncio.sleep(0.1)
        await venue.faults.stop_all("the end")
        venue.assert_no_fault_remains()

    run(scenario)


def test_equal_faults_are_distinguished() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        first = await venue.start("halt", status="HALT")
        second = await venue.start("halt", status="BREAK")
        third = await venue.start("halt", status="HALT")
        assert venue.exchange.view.status == "HALT"
        await venue.faults.stop(third.number)
        assert venue.exchange.view.status == "BREAK"
        await venue.faults.stop(first.number)
        assert venue.exchange.view.status == "BREAK"
        await venue.faults.stop(second.number)
        venue.assert_no_fault_remains()

    run(scenario)


def test_a_fault_that_fails_to_start_is_logged_as_ended() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        halt = await venue.start("halt")
        with refused("the venue rejects the trade"):
            await venue.start("external-trade")
        await venue.faults.stop(halt.number)
        with refused("the venue rejects the trade: -2019"):
            await venue.start("external-trade", quantity="9.000")
        assert venue.logged[-1][1]["reason"] == "failed_to_start"
        venue.assert_no_fault_remains()

    run(scenario)


def test_the_duration_and_the_number_of_faults_are_limited() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        for seconds in (0, -1, MAX_FAULT_SECONDS + 1, float("nan"), float("inf")):
            with refused("a fault lasts more than 0"):
                await venue.start("drop", seconds)
        for _ in range(MAX_ACTIVE_FAULTS):
            await venue.start("drop", MAX_FAULT_SECONDS)
        with refused("100 faults are active already"):
            await venue.start("drop")
        await venue.faults.stop_all("the end")
        venue.assert_no_fault_remains()

    run(scenario)


# Faults combined.


def test_delays_add_up_and_duplicates_are_made_between_them() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        await venue.start("delay", ms=500)
        await venue.start("duplicate")
        await venue.start("delay", ms=300)
        venue.trades(1, 3)
        await asyncio.sleep(1)
        assert venue.market.numbers("a") == [1, 1, 2, 2, 3, 3]
        assert {round(at, 3) for at, _ in venue.market.received} == {0.8}
        await venue.faults.stop_all("the end")
        venue.assert_no_fault_remains()

    run(scenario)


def test_delayed_messages_are_released_in_order_when_the_fault_ends() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        for name in ("delay", "jitter"):
            venue.market.received.clear()
            active = await venue.start(name, ms=600_000)
            venue.trades(1, 50)
            await asyncio.sleep(0.001)
            await venue.faults.stop(active.number)
            assert venue.market.numbers("a") == list(range(1, 51))
            venue.assert_no_fault_remains()

    run(scenario)


def test_no_message_overtakes_another_of_its_connection() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        await venue.start("jitter", ms=1_000)
        await venue.start("delay", ms=100, stream="btcusdt@depth@0ms")
        sent = 0
        for _ in range(200):
            for stream in STREAMS:
                sent += 1
                venue.send(json.dumps({"n": sent}), stream)
            await asyncio.sleep(0.01)
        await asyncio.sleep(2)
        assert venue.market.numbers("n") == list(range(1, sent + 1))
        assert len({at for at, _ in venue.market.received}) > 20

    run(scenario)


def test_other_connections_are_not_delayed() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        await venue.start("delay", ms=5_000, which="user")
        venue.send(FILL % 1, receiver=venue.user)
        venue.trades(1, 1)
        assert (len(venue.market.received), len(venue.user.received)) == (1, 0)

    run(scenario)


def test_a_released_message_passes_the_faults_that_started_later() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        for name, terms in {"delay": {"ms": 500}, "reorder": {}, "late-fill": {"ms": 500}}.items():
            client = venue.user if name == "late-fill" else venue.market
            client.received.clear()
            active = await venue.start(name, **terms)
            silence = await venue.start("silence")
            venue.send(FILL % 1, "a", client)
            await venue.faults.stop(active.number)
            assert client.received == []
            await venue.faults.stop(silence.number)
            venue.assert_no_fault_remains()

    run(scenario)


@pytest.mark.parametrize("envelope", ["%s", '{"stream":"k","data":%s}'])
def test_a_fill_is_recognized_by_its_content_on_any_connection(envelope: str) -> None:
    """A connection to the market streams can subscribe to a listen key by message."""
    new_order = '{"e":"ORDER_TRADE_UPDATE","o":{"x":"NEW","t":0}}'
    others = [envelope % text for text in (TRADE % 1, new_order, '{"e":"TRADE_LITE","x":"TRADE"}')]
    fill = envelope % FILL % 2

    async def scenario(venue: FaultedVenue) -> None:
        for client in (venue.market, venue.user):
            duplicate = await venue.start("duplicate-fill")
            for text in (fill, *others):
                venue.send(text, receiver=client)
            assert client.texts == [fill, fill, *others]
            await venue.faults.stop(duplicate.number)
            client.received.clear()
            late = await venue.start("late-fill", ms=500)
            for text in (fill, *others):
                venue.send(text, receiver=client)
            assert client.texts == others
            await asyncio.sleep(0.6)
            assert client.texts == [*others, fill]
            await venue.faults.stop(late.number)
            client.received.clear()
        venue.assert_no_fault_remains()

    run(scenario)


def test_the_delayed_bytes_of_a_connection_are_limited() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        await venue.start("delay", ms=600_000)
        text = "x" * (1 << 20)
        for number in range((delay_queue.MAX_DELAYED_BYTES >> 20) + 1):
            assert venue.market.drop_reason is None, number
            venue.send(text)
        assert venue.market.drop_reason == "too many delayed bytes"
        await venue.faults.stop_all("the end")
        assert venue.market.received == []

    run(scenario)


def test_one_stream_is_silent_and_the_others_are_delayed() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        await venue.start("silence", stream="btcusdt@aggTrade")
        await venue.start("delay", ms=100)
        venue.trades(1, 1)
        venue.send(KLINE % 7, "btcusdt@kline_1m")
        assert venue.market.received == []
        await asyncio.sleep(0.2)
        assert venue.market.texts == [KLINE % 7]

    run(scenario)


def test_two_refusals_last_until_both_have_ended() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        first, second = await venue.start("refuse"), await venue.start("refuse")
        await venue.faults.stop(first.number)
        assert venue.server.listener.pauses == 1
        await venue.faults.stop(second.number)
        assert venue.server.listener.pauses == 0
        first, second = await venue.start("refuse", which="user"), await venue.start("refuse", which="user")
        await venue.faults.stop(second.number)
        assert [hook("user") for hook in venue.hooks.refused] == [True]
        assert not any(hook("market") for hook in venue.hooks.refused)
        await venue.faults.stop(first.number)
        venue.assert_no_fault_remains()

    run(scenario)


def test_clock_offsets_add_up() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        first = await venue.start("clock-skew", ms=1_000)
        await venue.start("clock-skew", ms=-300)
        assert venue.hooks.skew_ms == 700
        await venue.faults.stop(first.number)
        assert venue.hooks.skew_ms == -300

    run(scenario)


def test_two_faults_can_change_the_same_message() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        for first, second in (("wrong-types", "broken-ohlc"), ("broken-ohlc", "wrong-types")):
            venue.market.received.clear()
            await venue.start(first)
            await venue.start(second)
            venue.send(KLINE % 1, "btcusdt@kline_1m")
            kline = json.loads(venue.market.texts[0])["k"]
            assert kline["h"] == 0.5 < kline["l"]
            assert isinstance(kline["n"], str)
            await venue.faults.stop_all("the end")
        for first, second in (("wrong-types", "zero-quantity"), ("zero-quantity", "wrong-types")):
            venue.market.received.clear()
            await venue.start(first)
            await venue.start(second)
            venue.trades(1, 1)
            assert json.loads(venue.market.texts[0])["q"] == 0
            await venue.faults.stop_all("the end")
        venue.assert_no_fault_remains()

    run(scenario)


def test_a_text_that_is_not_json_is_not_changed_further() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        garbage = await venue.start("garbage")
        await venue.start("wrong-types")
        venue.trades(1, 1)
        assert venue.market.texts == ['{"e":"bookTicker",']
        await venue.faults.stop(garbage.number)
        venue.trades(2, 1)
        assert json.loads(venue.market.texts[1])["a"] == "2"

    run(scenario)


def test_a_released_request_meets_the_faults_active_at_that_time() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        hang, http = await venue.start("hang"), await venue.start("http")
        waiting = asyncio.ensure_future(venue.request(GET))
        await asyncio.sleep(1)
        await venue.faults.stop(http.number)
        await venue.faults.stop(hang.number)
        assert await waiting == {"lastUpdateId": 5_000_000}
        hang = await venue.start("hang")
        waiting = asyncio.ensure_future(venue.request(GET))
        await asyncio.sleep(1)
        await venue.start("http")
        await venue.faults.stop(hang.number)
        assert await waiting == 503

    run(scenario)


def test_a_client_that_sends_no_close_frame_is_reset() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        venue.market.answers_close = False
        await venue.start("close", code=1012)
        assert asyncio.get_running_loop().time() == CLOSE_SECONDS
        assert [client.close_codes for client in venue.server.clients] == [[1012]] * 3
        assert [client.drop_reason for client in venue.server.clients] == ["closed on demand", None, None]

    run(scenario)


# Selection of messages.


@pytest.mark.parametrize(
    "name", ["drop", "duplicate", "reorder", "garbage", "wrong-types", "silence", "delay", "jitter"]
)
def test_the_selection_depends_on_the_seed_only(name: str) -> None:
    terms: dict[str, Any] = {"count": 1_000_000} if name == "drop" else {}

    def received(seed: int, others: int, first: int = 1) -> list[tuple[float, str]]:
        outcome: list[tuple[float, str]] = []

        async def scenario(venue: FaultedVenue) -> None:
            venue.server.clients += [Client("market") for _ in range(others)]
            await venue.start(name, share=0.5, seed=seed, **terms)
            for number in range(first, 200):
                venue.trades(number, 1)
                venue.send(KLINE % number, "btcusdt@kline_1m")
                for client in venue.server.clients[3:]:
                    venue.trades(number, 1, client)
                    venue.trades(number, 1, client)
                await asyncio.sleep(0.01)
            await asyncio.sleep(2)
            outcome.extend((round(at, 6), text) for at, text in venue.market.received)

        run(scenario)
        return outcome

    assert received(1, 0) == received(1, 0) == received(1, 3)
    assert received(1, 0) != received(2, 0)
    assert received(1, 0, first=2)[:5] != received(1, 0)[:5]  # by position, not by content


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_of_messages_is_as_given(share: float) -> None:
    async def scenario(venue: FaultedVenue) -> None:
        await venue.start("silence", share=share, seed=3)
        venue.trades(1, 2_000)
        assert abs(len(venue.market.received) / 2_000 - (1 - share)) < 0.04

    run(scenario)


def test_depth_pushes_are_dropped_per_connection() -> None:
    async def scenario(venue: FaultedVenue) -> None:
        other = Client("market")
        venue.server.clients.append(other)
        await venue.start("depth-gap", count=2)
        for number in range(1, 6):
            for client in (venue.market, other):
                venue.send(DEPTH % number, "btcusdt@depth", client)
        assert venue.market.numbers("U") == other.numbers("U") == [3, 4, 5]

    run(scenario)


# Arbitrary messages.


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "{", "NaN", "1e999", '"x"', "[" * 5_000, '{"e":"kline","x":true}', "\x00"),
        *('{"e":"kline","k":null}', '{"e":"kline","k":{"x":true}}', '{"e":"kline","k":{"x":true,"l":"x"}}'),
        *('{"e":"kline","k":{"x":true,"l":[]}}', '{"e":"kline","k":{"x":true,"l":"NaN"}}', '{"a":"\u00b2"}'),
        *('{"data":5,"e":"kline"}', '{"e":"aggTrade","q":[]}', '{"e":"aggTrade","q":"."}', '{"q":"1","e":"trade"}'),
        *('{"e":"depthUpdate"}', '{"x":"TRADE"}', '{"a":"' + "9" * 9_000 + '"}', '{"a":' + "9" * 4_400 + "}"),
    ],
)
def test_no_text_breaks_a_fault(text: str) -> None:
    async def scenario(venue: FaultedVenue) -> None:
        await venue.start("garbage", text=text)
        for name in LASTING:
            if name not in ("silence", "drop", "garbage"):
                await venue.start(name)
        for _ in range(3):
            venue.traffic()
        await asyncio.sleep(10)
        await venue.faults.stop_all("the end")
        venue.assert_no_fault_remains()

    run(scenario)


# Terms.


@pytest.mark.parametrize(
    ("name", "terms", "message"),
    [
        ("clsoe", {}, "did you mean close"),
        ("", {}, "unknown fault"),
        ("close", {"which": "some"}, "fault close: which:"),
        ("close", {"code": 999}, "fault close: code:"),
        ("close", {"code": True}, "fault close: code:"),
        ("close", {"ms": 1}, "fault close has no term 'ms'"),
        ("delay", {"ms": 0}, "fault delay: ms:"),
        ("delay", {"ms": 1.5}, "fault delay: ms:"),
        ("delay", {"ms": "500"}, "fault delay: ms:"),
        ("delay", {"ms": 600_001}, "fault delay: ms:"),
        ("delay", {"share": 0}, "fault delay: share:"),
        ("delay", {"share": 1.1}, "fault delay: share:"),
        ("delay", {"share": float("nan")}, "fault delay: share:"),
        ("drop", {"count": -1}, "fault drop: count:"),
        ("drop", {"stream": "btcusdt@aggtrade"}, "fault drop: stream 'btcusdt@aggtrade' is not served"),
        ("drop", {"stream": ""}, "fault drop: stream '' is not served"),
        ("http", {"status": 200}, "fault http: status:"),
        ("http", {"retry_after": 3601}, "fault http: retry_after:"),
        ("http", {"method": "get"}, "fault http: method:"),
        ("garbage", {"text": "x" * 10_001}, "fault garbage: text:"),
        ("garbage", {"text": None}, "fault garbage: text:"),
        ("external-trade", {"quantity": "1e3"}, "fault external-trade: quantity:"),
        ("external-trade", {"quantity": "-1"}, "fault external-trade: quantity:"),
        ("external-trade", {"quantity": "0"}, "the venue rejects the trade"),
        ("reject-orders", {"code": -1}, "fault reject-orders: code:"),
        ("clock-skew", {"ms": 86_400_001}, "fault clock-skew: ms:"),
        ("halt", {"status": "TRADING"}, "fault halt: status:"),
    ],
)
def test_invalid_terms_are_refused(name: str, terms: dict[str, Any], message: str) -> None:
    async def scenario(venue: FaultedVenue) -> None:
        with refused(message):
            await venue.start(name, **terms)
        venue.assert_no_fault_remains()

    run(scenario)


def test_terms_given_as_text_are_converted() -> None:
    expected = {"status": 429, "path": "/fapi/", "method": "POST", "retry_after": 2, "count": None}
    assert parse_terms("http", {"status": "429", "retry_after": "2", "method": "POST"}) == expected
    assert parse_terms("silence", {"pongs": "false", "share": "0.5"})["pongs"] is False
    assert parse_terms("garbage", {"text": "123"})["text"] == "123"
    with refused("fault delay: ms:"):
        parse_terms("delay", {"ms": "soon"})
    for texts in ({"text": "\udcff"}, {"\udcff": "x"}):
        with refused("not UTF-8"):
            parse_terms("garbage", texts)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_a_summary_and_described_terms_with_defaults(name: str) -> None:
    fault = FAULTS[name]
    assert (fault.name, fault.summary) == (name, fault.summary.strip(" ."))
    assert all(field.description for field in fault.terms.model_fields.values())
    fault.terms()  # every term has a default
