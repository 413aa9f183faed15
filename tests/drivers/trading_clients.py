"""Clients that trade as quickly as they can until the venue is gone, and remember what they asked and were told."""

import http.client
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.drivers.venue_client import ORDER, Closed, Socket, VenueClient, order

BTC = {"symbol": "BTCUSDT"}
BURST = 4
"""Requests that are sent before the first is answered."""
MANY = 40
"""With so many open orders, one of two steps ends one."""
_GONE = (Closed, OSError, http.client.HTTPException)
_WAYS = ("rest", "rest near", "market", "IOC", "FOK", "GTX", "reduce", "modify", "modify", "cancel", "cancel")


@dataclass(slots=True)
class VenueOptions:
    """One request. `answer` and `refusal` are None as long as nothing came back."""

    what: str
    """`place`, `modify`, `cancel`, `cancel all` or `leverage`."""
    params: dict[str, Any]
    known: frozenset[int] = frozenset()
    """Of `cancel all`: orders of this hand that were acknowledged before."""
    answer: Any = None
    refusal: int | None = None


@dataclass(slots=True)
class Memory:
    """What all hands of a trial asked for, and what was told on streams."""

    asked: list[VenueOptions] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    """Of the account."""
    trades: list[list[int]] = field(default_factory=list)
    """Numbers of the market's trades, one list for each life of the venue."""
    candles: list[dict[str, Any]] = field(default_factory=list)
    """Those that closed."""
    price: float = 0.0
    """Of the last trade."""
    faults: list[str] = field(default_factory=list)
    """What ended a client other than the venue's death."""
    on_ask: Callable[[int], None] = lambda _count: None
    """Called with how often was asked, just before it is again."""


class Hand:
    """One client's steps. The names of its orders are its own."""

    def __init__(self, memory: Memory, name: str, seed: int) -> None:
        self.memory = memory
        self._name = name
        self._dice = random.Random(seed)
        self._open: dict[int, str] = {}
        """Orders that may be open, and their sides."""
        self._placed = 0

    def step(self) -> VenueOptions:
        """What to ask next."""
        dice = self._dice
        way = dice.choice(_WAYS)
        if len(self._open) > MANY and dice.random() < 0.5:
            way = "cancel"
        if way in ("modify", "cancel") and self._open:
            number = dice.choice(list(self._open))
            if way == "cancel":
                return VenueOptions("cancel", {**BTC, "orderId": number})
            side = self._open[number]
            change = {
                "side": side,
                "quantity": self._quantity(),
                "price": self._price(side, dice.uniform(-0.001, 0.02)),
            }
            return VenueOptions("modify", {**BTC, "orderId": number, **change})
        if dice.random() < 0.02:
            return VenueOptions("leverage", {**BTC, "leverage": dice.randint(5, 20)})
        return VenueOptions("place", self._order(way))

    def heard(self, asked: VenueOptions) -> None:
        """Learn from an answer."""
        if asked.what == "place" and asked.answer and asked.params["type"] == "LIMIT":
            self._open[asked.answer["orderId"]] = asked.params["side"]
        elif asked.what == "cancel":
            self._open.pop(asked.params["orderId"], None)
        elif asked.what == "cancel all":
            self._open.clear()
        elif asked.what == "modify" and (asked.refusal == -2013 or (asked.answer or {}).get("status") != "NEW"):
            self._open.pop(asked.params["orderId"], None)

    def cancel_all(self) -> VenueOptions:
        return VenueOptions("cancel all", dict(BTC), known=frozenset(self._open))

    def _order(self, way: str) -> dict[str, Any]:
        dice = self._dice
        side, quantity = dice.choice(("BUY", "SELL")), self._quantity()
        self._placed += 1
        more: dict[str, Any] = {"newClientOrderId": f"{self._name}-{self._placed}"}
        if dice.random() < 0.7:
            more["newOrderRespType"] = "RESULT"
        if way == "market":
            return order(side, quantity, **more)
        if way == "reduce":
            return order(side, quantity, **more, reduceOnly="true")
        if way in ("IOC", "FOK", "GTX"):
            more["timeInForce"] = way
        far = dice.uniform(0.0, 0.0003) if way == "rest near" else dice.uniform(0.001, 0.03)
        return order(
            side, quantity, self._price(side, far if way in ("rest", "rest near", "GTX") else -far / 10), **more
        )

    def _quantity(self) -> str:
        return f"{self._dice.randint(3, 60) / 1000:.3f}"

    def _price(self, side: str, away: float) -> str:
        """away: below the last price for a buy, above for a sell."""
        return f"{self.memory.price * (1 - away if side == 'BUY' else 1 + away):.1f}"


def by_rest(client: VenueClient, hand: Hand) -> Iterator[None]:
    """One request after the other."""
    calls = {"place": ("POST", ORDER), "modify": ("PUT", ORDER), "cancel": ("DELETE", ORDER)}
    calls |= {"cancel all": ("DELETE", "/fapi/v1/allOpenOrders"), "leverage": ("POST", "/fapi/v1/leverage")}
    for turn in range(1, 1 << 30):
        asked = hand.cancel_all() if turn % 60 == 0 else hand.step()
        _note(hand.memory, asked)
        reply = client.sign(*calls[asked.what], **asked.params)
        if reply.status == 200:
            asked.answer = reply.body
        else:
            asked.refusal = reply.body["code"]
        hand.heard(asked)
        yield


def by_socket(client: VenueClient, hand: Hand) -> Iterator[None]:
    """Some requests at once, then their answers."""
    socket = client.trading()
    methods = {"place": "order.place", "modify": "order.modify", "cancel": "order.cancel"}
    while True:
        waiting: dict[str, VenueOptions] = {}
        for _ in range(BURST):
            asked = hand.step()
            if asked.what in methods:
                _note(hand.memory, asked)
                waiting[socket.request(methods[asked.what], **asked.params)] = asked
        while waiting:
            answer = socket.next()
            asked = waiting.pop(answer["id"])
            if answer["status"] == 200:
                asked.answer = answer["result"]
            else:
                asked.refusal = answer["error"]["code"]
            hand.heard(asked)
        yield


def by_user_stream(socket: Socket, memory: Memory) -> Iterator[None]:
    while True:
        memory.told.append(socket.next())
        yield


def by_market(socket: Socket, memory: Memory) -> Iterator[None]:
    trades: list[int] = []
    memory.trades.append(trades)
    while True:
        event = socket.next()
        if event["e"] == "aggTrade":
            trades.append(event["a"])
            memory.price = float(event["p"])
        elif event["k"]["x"]:
            memory.candles.append(event["k"])
        yield


def at_work(memory: Memory, *works: Iterator[None]) -> list[threading.Thread]:
    """Each in a thread of its own, until the venue is gone."""
    threads = [threading.Thread(target=_until_gone, args=(memory, work), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    return threads


def _until_gone(memory: Memory, work: Iterator[None]) -> None:
    try:
        for _ in work:
            pass
    except _GONE:
        return
    except Exception as error:  # noqa: BLE001  (the trial must hear of it, whatever it is)
        memory.faults.append(repr(error))


def _note(memory: Memory, asked: VenueOptions) -> None:
    memory.asked.append(asked)
    memory.on_ask(len(memory.asked))
