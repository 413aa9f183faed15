"""Faults hold together and end one by one: whatever is begun and ended, in any order, nothing is left behind."""

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
from opslab.venue.exchange import Exchange
from opslab.venue.fault_hooks import AnswerWithheld, Call, ConnectionKind, FaultHooks, Message
from opslab.venue.faults import delay_queue as lane
from opslab.venue.faults.controller import MAX_HELD, MAX_SECONDS, ActiveFault, FaultController, parse_terms
from opslab.venue.faults.fault import FaultTarget
from opslab.venue.faults.kinds.close import GOODBYE_SECONDS
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
    """Implements `seams.Receiver`, and as much of a connection as faults take hold of."""

    kind: ConnectionKind
    got: list[tuple[float, str]] = field(default_factory=list)
    goodbyes: list[int] = field(default_factory=list)
    polite: bool = True
    cut: str | None = None

    def deliver(self, message: Message) -> None:
        self.got.append((asyncio.get_running_loop().time(), message.text))

    def drop(self, why: str) -> None:
        self.cut = why

    def reset(self) -> None:
        self.cut = "reset"

    async def close(self, code: int, _reason: str) -> None:
        self.goodbyes.append(code)
        if not self.polite:
            await asyncio.Event().wait()

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.got]

    def numbers(self, field: str) -> list[int]:
        """Of the messages that can be read, in the order in which they came."""
        return [json.loads(text)[field] for text in self.texts]


@dataclass
class Listener:
    deaf: int = 0

    async def stop_listening(self) -> None:
        self.deaf += 1

    async def resume_listening(self) -> None:
        self.deaf -= 1


@dataclass
class House:
    """As much of a server as faults take hold of."""

    clients: list[Client] = field(default_factory=list)
    listener: Listener = field(default_factory=Listener)


class Ledger:
    """Implements `ports.Ledger`, and keeps nothing."""

    transactions = 0

    def append(self, _events: object, _at: Moment) -> None: ...

    def mark(self, _at: Moment) -> None: ...

    def use_last_room(self) -> None: ...


class Scene:
    """A venue's seams, its faults, and clients; on a clock that jumps."""

    def __init__(self) -> None:
        self.hooks = FaultHooks()
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.house = House([Client("market"), Client("user"), Client("trading")])
        self.exchange = _exchange(self.hooks)
        self.faults = FaultController(FaultTarget(self.hooks, cast(Server, self.house), self.exchange), self._say)
        self._sent = 0

    def _say(self, what: str, more: dict[str, object]) -> None:
        self.said.append((what, more))

    @property
    def market(self) -> Client:
        return self.house.clients[0]

    @property
    def user(self) -> Client:
        return self.house.clients[1]

    async def start(self, name: str, seconds: float = 60.0, owner: object | None = None, **terms: Any) -> ActiveFault:
        return await self.faults.start(name, terms, seconds, owner)

    def send(self, text: str, stream: str = "", to: Client | None = None) -> None:
        """As a connection sends."""
        client = to or self.market
        for message in self.hooks.pass_through(Message(client, client.kind, stream, text)):
            message.to.deliver(message)

    def trades(self, first: int, count: int, to: Client | None = None) -> None:
        for number in range(first, first + count):
            self.send(TRADE % number, "btcusdt@aggTrade", to)

    def traffic(self) -> list[str]:
        """A message of each kind to everybody; what was sent, in order of the clients."""
        sent = []
        for client in self.house.clients:
            for stream, text in STREAMS.items() if client.kind == "market" else [("", FILL), ("", ANSWER)]:
                self._sent += 1
                sent.append(text % self._sent)
                self.send(sent[-1], stream, client)
        return sent

    async def request(self, call: Call = POST) -> object:
        """As the gate asks the seams; what the client gets."""
        reply = await self.hooks.before(call)
        if reply is not None:
            return reply.status
        try:
            if call.method != "GET":
                for hook in list(self.hooks.orders):
                    hook(call)
            found = self.hooks.answered(call, {"lastUpdateId": 5_000_000})
            await self.hooks.behind(call)
        except ApiError as refusal:
            return refusal.code
        except AnswerWithheld:
            return None
        return found

    def assert_clean(self) -> None:
        """As if there had never been a fault."""
        assert self.hooks == FaultHooks()
        assert self.house.listener.deaf == 0
        assert self.faults.held() == []
        assert self.exchange.view.status == "TRADING"
        assert [what for what, _ in self.said if what == "bug"] == []
        begun = [more["number"] for what, more in self.said if what == "fault begun"]
        ended = [more["number"] for what, more in self.said if what == "fault ended"]
        assert begun == list(range(1, len(begun) + 1))
        assert sorted(ended) == begun
        for client in self.house.clients:
            client.got.clear()
        sent = self.traffic()
        assert [text for client in self.house.clients for text in client.texts] == sent


def _exchange(hooks: FaultHooks) -> Exchange:
    market = Market(instrument_of(exchange_info_symbol("BTCUSDT")), 30)
    market.start_at_open(Candle(0, 4_200_000, 4_200_000, 4_200_000, 4_200_000, 1_000), 0)
    broadcast = MarketPublisher(market, MarketPayloads(market), MarketStreams("BTCUSDT"), lambda: 0)
    account: Opened = opened()
    return Exchange(market, Account.begin(account), Ledger(), broadcast, lambda: 1, Moment(0, 0), hooks)


def play(scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def parse_integer() -> None:
        await asyncio.wait_for(scene(Scene()), 1e6)

    virtual_time.run(parse_integer())


@contextmanager
def refused(text: str) -> Iterator[None]:
    with pytest.raises(Usage) as found:
        yield
    assert text in found.value.message


# Ending.


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_has_ended_leaves_nothing_behind(name: str) -> None:
    async def scene(scene: Scene) -> None:
        for why in ("stopped", "its time is over", "who asked is gone", "everything is stopped"):
            owner = object()
            held = await scene.start(name, 5.0, owner)
            waiting = [asyncio.ensure_future(scene.request(call)) for call in (POST, GET, DEPTH_CALL)]
            scene.traffic()
            await asyncio.sleep(0.01)
            if FAULTS[name].is_immediate:
                why = "it is over at once"
            elif why == "stopped":
                await scene.faults.stop(held.number)
            elif why == "who asked is gone":
                await scene.faults.leave(owner)
            elif why == "everything is stopped":
                assert await scene.faults.stop_all(why) == 1
            else:
                await asyncio.sleep(5.0)
            assert scene.said[-1] == ("fault ended", {"fault": name, "number": held.number, "reason": why})
            await asyncio.wait_for(asyncio.gather(*waiting), 0.1)
            scene.assert_clean()
            assert await scene.request() == {"lastUpdateId": 5_000_000}
            with pytest.raises(NotFound):
                await scene.faults.stop(held.number)

    play(scene)


def test_any_stack_of_faults_ended_in_any_order_leaves_nothing_behind() -> None:
    async def stack(scene: Scene, dice: random.Random) -> None:
        owner, mine, waiting = object(), [], []
        for _ in range(dice.randint(2, 6)):
            seconds, who = dice.choice((0.05, 60.0)), dice.choice((owner, None))
            with suppress(Usage):  # a trade while the symbol is halted
                mine.append(await scene.start(dice.choice(list(FAULTS)), seconds, who))
            for _ in range(dice.randint(0, 3)):
                scene.traffic()
                waiting.append(asyncio.ensure_future(scene.request(dice.choice((POST, GET, DEPTH_CALL)))))
                await asyncio.sleep(dice.choice((0.0, 0.01, 0.3)))
        dice.shuffle(mine)
        for held in mine:
            scene.traffic()
            way = dice.random()
            if way < 0.1:
                await scene.faults.leave(owner)
            elif way < 0.2:
                await asyncio.sleep(60.0)
            if held in scene.faults.held():
                await scene.faults.stop(held.number)
        await asyncio.wait_for(asyncio.gather(*waiting), 0.1)
        await asyncio.sleep(0.001)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        scene.assert_clean()

    for seed in range(STACKS):
        dice = random.Random(seed)
        play(lambda scene, dice=dice: stack(scene, dice))  # type: ignore[misc]


def test_many_stacks_one_after_another_on_one_venue() -> None:
    async def scene(scene: Scene) -> None:
        dice = random.Random(0)
        held: list[ActiveFault] = []
        for _ in range(2_000):
            held = [one for one in held if one in scene.faults.held()]
            if len(held) < 6 and dice.random() < 0.5:
                held.append(await scene.start(dice.choice(LASTING)))
            elif held:
                await scene.faults.stop(held.pop(dice.randrange(len(held))).number)
            scene.traffic()
            if dice.random() < 0.1:
                await asyncio.sleep(0.1)
        await scene.faults.stop_all("the end")
        scene.assert_clean()

    play(scene)


def test_equal_faults_are_told_apart() -> None:
    async def scene(scene: Scene) -> None:
        one = await scene.start("halt", status="HALT")
        two = await scene.start("halt", status="BREAK")
        three = await scene.start("halt", status="HALT")
        assert scene.exchange.view.status == "HALT"
        await scene.faults.stop(three.number)
        assert scene.exchange.view.status == "BREAK"
        await scene.faults.stop(one.number)
        assert scene.exchange.view.status == "BREAK"
        await scene.faults.stop(two.number)
        scene.assert_clean()

    play(scene)


def test_a_fault_that_cannot_begin_has_ended() -> None:
    async def scene(scene: Scene) -> None:
        halt = await scene.start("halt")
        with refused("the venue refuses the trade"):
            await scene.start("external-trade")
        await scene.faults.stop(halt.number)
        with refused("the venue refuses the trade: -2019"):
            await scene.start("external-trade", quantity="9.000")
        assert scene.said[-1][1]["reason"] == "it could not begin"
        scene.assert_clean()

    play(scene)


def test_how_long_and_how_many() -> None:
    async def scene(scene: Scene) -> None:
        for seconds in (0, -1, MAX_SECONDS + 1, float("nan"), float("inf")):
            with refused("a fault lasts above 0"):
                await scene.start("drop", seconds)
        for _ in range(MAX_HELD):
            await scene.start("drop", MAX_SECONDS)
        with refused("100 faults are held already"):
            await scene.start("drop")
        await scene.faults.stop_all("the end")
        scene.assert_clean()

    play(scene)


# Together.


def test_delays_add_up_and_duplicates_come_behind_them() -> None:
    async def scene(scene: Scene) -> None:
        await scene.start("delay", ms=500)
        await scene.start("duplicate")
        await scene.start("delay", ms=300)
        scene.trades(1, 3)
        await asyncio.sleep(1)
        assert scene.market.numbers("a") == [1, 1, 2, 2, 3, 3]
        assert {round(at, 3) for at, _ in scene.market.got} == {0.8}
        await scene.faults.stop_all("the end")
        scene.assert_clean()

    play(scene)


def test_what_is_held_back_comes_at_once_when_the_fault_ends_in_its_order() -> None:
    async def scene(scene: Scene) -> None:
        for name in ("delay", "jitter"):
            scene.market.got.clear()
            held = await scene.start(name, ms=600_000)
            scene.trades(1, 50)
            await asyncio.sleep(0.001)
            await scene.faults.stop(held.number)
            assert scene.market.numbers("a") == list(range(1, 51))
            scene.assert_clean()

    play(scene)


def test_no_message_overtakes_another_of_its_connection() -> None:
    async def scene(scene: Scene) -> None:
        await scene.start("jitter", ms=1_000)
        await scene.start("delay", ms=100, stream="btcusdt@depth@0ms")
        sent = 0
        for _ in range(200):
            for stream in STREAMS:
                sent += 1
                scene.send(json.dumps({"n": sent}), stream)
            await asyncio.sleep(0.01)
        await asyncio.sleep(2)
        assert scene.market.numbers("n") == list(range(1, sent + 1))
        assert len({at for at, _ in scene.market.got}) > 20

    play(scene)


def test_other_connections_do_not_wait() -> None:
    async def scene(scene: Scene) -> None:
        await scene.start("delay", ms=5_000, which="user")
        scene.send(FILL % 1, to=scene.user)
        scene.trades(1, 1)
        assert (len(scene.market.got), len(scene.user.got)) == (1, 0)

    play(scene)


def test_what_is_held_back_meets_the_faults_that_began_later() -> None:
    async def scene(scene: Scene) -> None:
        for name, terms in {"delay": {"ms": 500}, "reorder": {}, "late-fill": {"ms": 500}}.items():
            client = scene.user if name == "late-fill" else scene.market
            client.got.clear()
            held = await scene.start(name, **terms)
            silence = await scene.start("silence")
            scene.send(FILL % 1, "a", client)
            await scene.faults.stop(held.number)
            assert client.got == []
            await scene.faults.stop(silence.number)
            scene.assert_clean()

    play(scene)


@pytest.mark.parametrize("envelope", ["%s", '{"stream":"k","data":%s}'])
def test_word_of_a_fill_is_known_by_what_it_says_on_whatever_connection(envelope: str) -> None:
    """A listen key can be chosen by message, on a connection to the market streams."""
    new_order = '{"e":"ORDER_TRADE_UPDATE","o":{"x":"NEW","t":0}}'
    others = [envelope % text for text in (TRADE % 1, new_order, '{"e":"TRADE_LITE","x":"TRADE"}')]
    fill = envelope % FILL % 2

    async def scene(scene: Scene) -> None:
        for client in (scene.market, scene.user):
            twice = await scene.start("duplicate-fill")
            for text in (fill, *others):
                scene.send(text, to=client)
            assert client.texts == [fill, fill, *others]
            await scene.faults.stop(twice.number)
            client.got.clear()
            late = await scene.start("late-fill", ms=500)
            for text in (fill, *others):
                scene.send(text, to=client)
            assert client.texts == others
            await asyncio.sleep(0.6)
            assert client.texts == [*others, fill]
            await scene.faults.stop(late.number)
            client.got.clear()
        scene.assert_clean()

    play(scene)


def test_what_a_fault_holds_back_is_bounded() -> None:
    async def scene(scene: Scene) -> None:
        await scene.start("delay", ms=600_000)
        text = "x" * (1 << 20)
        for number in range((lane.MAX_BYTES >> 20) + 1):
            assert scene.market.cut is None, number
            scene.send(text)
        assert scene.market.cut == "too much was held back"
        await scene.faults.stop_all("the end")
        assert scene.market.got == []

    play(scene)


def test_one_stream_is_silent_and_the_others_are_late() -> None:
    async def scene(scene: Scene) -> None:
        await scene.start("silence", stream="btcusdt@aggTrade")
        await scene.start("delay", ms=100)
        scene.trades(1, 1)
        scene.send(KLINE % 7, "btcusdt@kline_1m")
        assert scene.market.got == []
        await asyncio.sleep(0.2)
        assert scene.market.texts == [KLINE % 7]

    play(scene)


def test_two_that_refuse_refuse_until_both_have_ended() -> None:
    async def scene(scene: Scene) -> None:
        one, two = await scene.start("refuse"), await scene.start("refuse")
        await scene.faults.stop(one.number)
        assert scene.house.listener.deaf == 1
        await scene.faults.stop(two.number)
        assert scene.house.listener.deaf == 0
        one, two = await scene.start("refuse", which="user"), await scene.start("refuse", which="user")
        await scene.faults.stop(two.number)
        assert [hook("user") for hook in scene.hooks.refused] == [True]
        assert not any(hook("market") for hook in scene.hooks.refused)
        await scene.faults.stop(one.number)
        scene.assert_clean()

    play(scene)


def test_clocks_that_are_off_add_up() -> None:
    async def scene(scene: Scene) -> None:
        one = await scene.start("clock-skew", ms=1_000)
        await scene.start("clock-skew", ms=-300)
        assert scene.hooks.skew_ms == 700
        await scene.faults.stop(one.number)
        assert scene.hooks.skew_ms == -300

    play(scene)


def test_what_is_broken_twice_is_broken_twice() -> None:
    async def scene(scene: Scene) -> None:
        for first, second in (("wrong-types", "broken-ohlc"), ("broken-ohlc", "wrong-types")):
            scene.market.got.clear()
            await scene.start(first)
            await scene.start(second)
            scene.send(KLINE % 1, "btcusdt@kline_1m")
            kline = json.loads(scene.market.texts[0])["k"]
            assert kline["h"] == 0.5 < kline["l"]
            assert isinstance(kline["n"], str)
            await scene.faults.stop_all("the end")
        for first, second in (("wrong-types", "zero-quantity"), ("zero-quantity", "wrong-types")):
            scene.market.got.clear()
            await scene.start(first)
            await scene.start(second)
            scene.trades(1, 1)
            assert json.loads(scene.market.texts[0])["q"] == 0
            await scene.faults.stop_all("the end")
        scene.assert_clean()

    play(scene)


def test_half_a_document_stays_half_a_document() -> None:
    async def scene(scene: Scene) -> None:
        garbage = await scene.start("garbage")
        await scene.start("wrong-types")
        scene.trades(1, 1)
        assert scene.market.texts == ['{"e":"bookTicker",']
        await scene.faults.stop(garbage.number)
        scene.trades(2, 1)
        assert json.loads(scene.market.texts[1])["a"] == "2"

    play(scene)


def test_a_request_meets_the_faults_that_hold_when_it_is_let_go() -> None:
    async def scene(scene: Scene) -> None:
        hang, http = await scene.start("hang"), await scene.start("http")
        waiting = asyncio.ensure_future(scene.request(GET))
        await asyncio.sleep(1)
        await scene.faults.stop(http.number)
        await scene.faults.stop(hang.number)
        assert await waiting == {"lastUpdateId": 5_000_000}
        hang = await scene.start("hang")
        waiting = asyncio.ensure_future(scene.request(GET))
        await asyncio.sleep(1)
        await scene.start("http")
        await scene.faults.stop(hang.number)
        assert await waiting == 503

    play(scene)


def test_who_says_no_goodbye_is_cut_off() -> None:
    async def scene(scene: Scene) -> None:
        scene.market.polite = False
        await scene.start("close", code=1012)
        assert asyncio.get_running_loop().time() == GOODBYE_SECONDS
        assert [client.goodbyes for client in scene.house.clients] == [[1012]] * 3
        assert [client.cut for client in scene.house.clients] == ["closed on demand", None, None]

    play(scene)


# What is chosen.


@pytest.mark.parametrize(
    "name", ["drop", "duplicate", "reorder", "garbage", "wrong-types", "silence", "delay", "jitter"]
)
def test_the_seed_decides_and_nothing_else(name: str) -> None:
    more: dict[str, Any] = {"count": 1_000_000} if name == "drop" else {}

    def found(seed: int, others: int, first: int = 1) -> list[tuple[float, str]]:
        outcome: list[tuple[float, str]] = []

        async def scene(scene: Scene) -> None:
            scene.house.clients += [Client("market") for _ in range(others)]
            await scene.start(name, share=0.5, seed=seed, **more)
            for number in range(first, 200):
                scene.trades(number, 1)
                scene.send(KLINE % number, "btcusdt@kline_1m")
                for client in scene.house.clients[3:]:
                    scene.trades(number, 1, client)
                    scene.trades(number, 1, client)
                await asyncio.sleep(0.01)
            await asyncio.sleep(2)
            outcome.extend((round(at, 6), text) for at, text in scene.market.got)

        play(scene)
        return outcome

    assert found(1, 0) == found(1, 0) == found(1, 3)
    assert found(1, 0) != found(2, 0)
    assert found(1, 0, first=2)[:5] != found(1, 0)[:5]  # by place, not by what is in the message


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_is_the_share(share: float) -> None:
    async def scene(scene: Scene) -> None:
        await scene.start("silence", share=share, seed=3)
        scene.trades(1, 2_000)
        assert abs(len(scene.market.got) / 2_000 - (1 - share)) < 0.04

    play(scene)


def test_each_connection_loses_its_own_pushes_of_depth() -> None:
    async def scene(scene: Scene) -> None:
        other = Client("market")
        scene.house.clients.append(other)
        await scene.start("depth-gap", count=2)
        for number in range(1, 6):
            for client in (scene.market, other):
                scene.send(DEPTH % number, "btcusdt@depth", client)
        assert scene.market.numbers("U") == other.numbers("U") == [3, 4, 5]

    play(scene)


# Whatever comes along.


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
    async def scene(scene: Scene) -> None:
        await scene.start("garbage", text=text)
        for name in LASTING:
            if name not in ("silence", "drop", "garbage"):
                await scene.start(name)
        for _ in range(3):
            scene.traffic()
        await asyncio.sleep(10)
        await scene.faults.stop_all("the end")
        scene.assert_clean()

    play(scene)


# Terms.


@pytest.mark.parametrize(
    ("name", "terms", "message"),
    [
        ("clsoe", {}, "did you mean close"),
        ("", {}, "is not known"),
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
        ("external-trade", {"quantity": "0"}, "the venue refuses the trade"),
        ("reject-orders", {"code": -1}, "fault reject-orders: code:"),
        ("clock-skew", {"ms": 86_400_001}, "fault clock-skew: ms:"),
        ("halt", {"status": "TRADING"}, "fault halt: status:"),
    ],
)
def test_terms_that_are_refused(name: str, terms: dict[str, Any], message: str) -> None:
    async def scene(scene: Scene) -> None:
        with refused(message):
            await scene.start(name, **terms)
        scene.assert_clean()

    play(scene)


def test_terms_given_as_text_become_what_they_are() -> None:
    wanted = {"status": 429, "path": "/fapi/", "method": "POST", "retry_after": 2, "count": None}
    assert parse_terms("http", {"status": "429", "retry_after": "2", "method": "POST"}) == wanted
    assert parse_terms("silence", {"pongs": "false", "share": "0.5"})["pongs"] is False
    assert parse_terms("garbage", {"text": "123"})["text"] == "123"
    with refused("fault delay: ms:"):
        parse_terms("delay", {"ms": "soon"})
    for texts in ({"text": "\udcff"}, {"\udcff": "x"}):
        with refused("not UTF-8"):
            parse_terms("garbage", texts)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_says_what_it_is(name: str) -> None:
    fault = FAULTS[name]
    assert (fault.name, fault.summary) == (name, fault.summary.strip(" ."))
    assert all(field.description for field in fault.terms.model_fields.values())
    fault.terms()  # every term has a default
