"""Clients that trade as fast as they can until the venue ends, and record their requests and the answers."""

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
MAX_OPEN_ORDERS = 40
"""With more open orders, every second step cancels one."""
_CONNECTION_ERRORS = (Closed, OSError, http.client.HTTPException)
_ACTIONS = ("rest", "rest near", "market", "IOC", "FOK", "GTX", "reduce", "modify", "modify", "cancel", "cancel")


@dataclass(slots=True)
class TradingRequest:
    """One request. `answer` and `error_code` are None until the venue has answered."""

    action: str
    """`place`, `modify`, `cancel`, `cancel all` or `leverage`."""
    params: dict[str, Any]
    known: frozenset[int] = frozenset()
    """Of `cancel all`: orders of this trader that were acknowledged before."""
    answer: Any = None
    error_code: int | None = None


@dataclass(slots=True)
class Recording:
    """All requests of a trial's traders, and the messages of its streams."""

    requests: list[TradingRequest] = field(default_factory=list)
    user_events: list[dict[str, Any]] = field(default_factory=list)
    trades: list[list[int]] = field(default_factory=list)
    """Ids of the market's trades, one list for each start of the venue."""
    candles: list[dict[str, Any]] = field(default_factory=list)
    """Closed candles."""
    price: float = 0.0
    """Price of the last trade."""
    failures: list[str] = field(default_factory=list)
    """Exceptions that ended a client, other than the end of the venue."""
    on_request: Callable[[int], None] = lambda _count: None
    """Called before each request, with the number of requests including it."""


class Trader:
    """Decides the requests of one client. The names of its orders are unique."""

    def __init__(self, recording: Recording, name: str, seed: int) -> None:
        self.recording = recording
        self._name = name
        self._generator = random.Random(seed)
        self._open: dict[int, str] = {}
        """Orders that can be open, and their sides."""
        self._placed = 0

    def next_request(self) -> TradingRequest:
        generator = self._generator
        action = generator.choice(_ACTIONS)
        if len(self._open) > MAX_OPEN_ORDERS and generator.random() < 0.5:
            action = "cancel"
        if action in ("modify", "cancel") and self._open:
            order_id = generator.choice(list(self._open))
            if action == "cancel":
                return TradingRequest("cancel", {**BTC, "orderId": order_id})
            side = self._open[order_id]
            change = {
                "side": side,
                "quantity": self._quantity(),
                "price": self._price(side, generator.uniform(-0.001, 0.02)),
            }
            return TradingRequest("modify", {**BTC, "orderId": order_id, **change})
        if generator.random() < 0.02:
            return TradingRequest("leverage", {**BTC, "leverage": generator.randint(5, 20)})
        return TradingRequest("place", self._order(action))

    def handle_answer(self, request: TradingRequest) -> None:
        if request.action == "place" and request.answer and request.params["type"] == "LIMIT":
            self._open[request.answer["orderId"]] = request.params["side"]
        elif request.action == "cancel":
            self._open.pop(request.params["orderId"], None)
        elif request.action == "cancel all":
            self._open.clear()
        elif request.action == "modify" and (
            request.error_code == -2013 or (request.answer or {}).get("status") != "NEW"
        ):
            self._open.pop(request.params["orderId"], None)

    def cancel_all(self) -> TradingRequest:
        return TradingRequest("cancel all", dict(BTC), known=frozenset(self._open))

    def _order(self, action: str) -> dict[str, Any]:
        generator = self._generator
        side, quantity = generator.choice(("BUY", "SELL")), self._quantity()
        self._placed += 1
        params: dict[str, Any] = {"newClientOrderId": f"{self._name}-{self._placed}"}
        if generator.random() < 0.7:
            params["newOrderRespType"] = "RESULT"
        if action == "market":
            return order(side, quantity, **params)
        if action == "reduce":
            return order(side, quantity, **params, reduceOnly="true")
        if action in ("IOC", "FOK", "GTX"):
            params["timeInForce"] = action
        distance = generator.uniform(0.0, 0.0003) if action == "rest near" else generator.uniform(0.001, 0.03)
        return order(
            side,
            quantity,
            self._price(side, distance if action in ("rest", "rest near", "GTX") else -distance / 10),
            **params,
        )

    def _quantity(self) -> str:
        return f"{self._generator.randint(3, 60) / 1000:.3f}"

    def _price(self, side: str, distance: float) -> str:
        """distance: share below the last price for a buy, above for a sell."""
        return f"{self.recording.price * (1 - distance if side == 'BUY' else 1 + distance):.1f}"


def by_rest(client: VenueClient, trader: Trader) -> Iterator[None]:
    """Send requests one after the other."""
    calls = {"place": ("POST", ORDER), "modify": ("PUT", ORDER), "cancel": ("DELETE", ORDER)}
    calls |= {"cancel all": ("DELETE", "/fapi/v1/allOpenOrders"), "leverage": ("POST", "/fapi/v1/leverage")}
    for count in range(1, 1 << 30):
        request = trader.cancel_all() if count % 60 == 0 else trader.next_request()
        _record(trader.recording, request)
        reply = client.signed_request(*calls[request.action], **request.params)
        if reply.status == 200:
            request.answer = reply.body
        else:
            request.error_code = reply.body["code"]
        trader.handle_answer(request)
        yield


def by_socket(client: VenueClient, trader: Trader) -> Iterator[None]:
    """Send several requests at once, then read their answers."""
    socket = client.trading()
    methods = {"place": "order.place", "modify": "order.modify", "cancel": "order.cancel"}
    while True:
        waiting: dict[str, TradingRequest] = {}
        for _ in range(BURST):
            request = trader.next_request()
            if request.action in methods:
                _record(trader.recording, request)
                waiting[socket.send_request(methods[request.action], **request.params)] = request
        while waiting:
            answer = socket.next()
            request = waiting.pop(answer["id"])
            if answer["status"] == 200:
                request.answer = answer["result"]
            else:
                request.error_code = answer["error"]["code"]
            trader.handle_answer(request)
        yield


def by_user_stream(socket: Socket, recording: Recording) -> Iterator[None]:
    while True:
        recording.user_events.append(socket.next())
        yield


def by_market(socket: Socket, recording: Recording) -> Iterator[None]:
    trades: list[int] = []
    recording.trades.append(trades)
    while True:
        event = socket.next()
        if event["e"] == "aggTrade":
            trades.append(event["a"])
            recording.price = float(event["p"])
        elif event["k"]["x"]:
            recording.candles.append(event["k"])
        yield


def start_threads(recording: Recording, *loops: Iterator[None]) -> list[threading.Thread]:
    """Run each loop in its own thread, until the venue ends."""
    threads = [threading.Thread(target=_run_until_end, args=(recording, loop), daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    return threads


def _run_until_end(recording: Recording, loop: Iterator[None]) -> None:
    try:
        for _ in loop:
            pass
    except _CONNECTION_ERRORS:
        return
    except Exception as error:  # noqa: BLE001  (the trial reports any exception)
        recording.failures.append(repr(error))


def _record(recording: Recording, request: TradingRequest) -> None:
    recording.requests.append(request)
    recording.on_request(len(recording.requests))
