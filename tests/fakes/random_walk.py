"""A random client and a random market from a seed, and sums of the events to compare the account with."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from opslab.model.messages.ledger_events import (
    Accepted,
    Amended,
    Filled,
    LedgerEvent,
    OrderSide,
    event_fields,
    parse_event,
)
from opslab.venue.account.account import Account, Order
from opslab.venue.account.margin import margin_of
from opslab.venue.api_error import ApiError
from tests.fakes.account_at_price import TICK, Market, Scene, opened

FIRST = Decimal("30000.00")


@dataclass
class Sums:
    """Sums computed from the events."""

    start: Decimal
    net_traded: Decimal = Decimal(0)
    """Signed quantity."""
    paid: Decimal = Decimal(0)
    """Value of all buys minus value of all sells."""
    realized: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    sides: dict[int, str] = field(default_factory=dict)
    reducing: set[int] = field(default_factory=set)
    quantity: dict[int, Decimal] = field(default_factory=dict)
    filled: dict[int, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def add(self, event: LedgerEvent) -> None:
        if isinstance(event, Accepted):
            self.sides[event.order_id] = event.side
            self.quantity[event.order_id] = event.quantity
            if event.reduce_only:
                self.reducing.add(event.order_id)
        elif isinstance(event, Amended):
            self.quantity[event.order_id] = event.quantity
        elif isinstance(event, Filled):
            signed = event.quantity if self.sides[event.order_id] == "BUY" else -event.quantity
            if event.order_id in self.reducing:
                assert self.net_traded * signed < 0, "a reduce-only order filled without a position to reduce"
                assert abs(signed) <= abs(self.net_traded), "a reduce-only order reversed the position"
            self.net_traded += signed
            self.paid += signed * event.price
            self.realized += event.realized
            self.fees += event.fee
            self.filled[event.order_id] += event.quantity
            assert self.filled[event.order_id] <= self.quantity[event.order_id], (
                "more was filled than the order quantity"
            )


class Walk:
    """A random client and a random market."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        market = Market(size=Decimal("0.013"), depth=self.random.choice((1, 3, 8)))
        self.scene = Scene(start=opened("2500", self.random.choice((1, 3, 20))), market=market)
        self.sums = Sums(self.scene.start.balance)
        self.done: Counter[str] = Counter()
        self.checked_count = 1

    def step(self) -> None:
        scene = self.scene
        scene.now_ms += self.random.randrange(3)
        name, action = self.random.choices(self._ACTIONS, self._WEIGHTS)[0]
        previous = scene.account.holding
        try:
            action(self)
        except ApiError as error:
            self.done[f"{name} {error.code}"] += 1
            assert len(scene.ledger) == self.checked_count, "a rejected request has an event"
            assert scene.account.holding == previous
        else:
            self.done[name] += 1
        for events in scene.ledger[self.checked_count :]:
            for event in events:
                self.sums.add(event)
        self.checked_count = len(scene.ledger)
        check(scene, self.sums)

    def place(self) -> None:
        random, scene, account = self.random, self.scene, self.scene.account
        side: OrderSide = random.choice(("BUY", "SELL"))
        quantity = f"0.{random.choice((1, 4, 8, 25, 90, 300)) + random.randrange(5):03}"
        extra: dict[str, object] = {"reduceOnly": "true"} if random.random() < 0.3 else {}
        price = None
        if random.random() < 0.75:
            away = random.choice((0, 0, 1, 2, 5, 30))
            passive = random.random() < 0.6
            best = scene.market.bid if (side == "BUY") == passive else scene.market.ask
            price = f"{best - away * TICK if (side == 'BUY') == passive else best + away * TICK}"
            extra["timeInForce"] = random.choices(("GTC", "GTX", "IOC", "FOK"), (5, 2, 1, 1))[0]
        reducible = account.holding.reducible(side)
        events = scene.place(side, quantity, price, **extra)
        if "reduceOnly" not in extra and Decimal(quantity) > reducible:
            margin = margin_of(account, scene.market.mark)
            assert margin.available >= 0, "an order was accepted without sufficient margin"
        self.done["fills"] += sum(event.kind == "filled" for event in events)

    def modify(self) -> None:
        random, scene = self.random, self.scene
        order = self._any_open()
        if order is None or order.price is None:
            return
        price = order.price + random.choice((-40, -3, -1, 0, 1, 3, 40)) * TICK
        quantity = max(Decimal("0.001"), order.quantity + Decimal(random.randrange(-20, 21)) / 1000)
        scene.modify(order.order_id, order.side, f"{quantity}", f"{price}")

    def cancel(self) -> None:
        order = self._any_open()
        if order is not None:
            self.scene.cancel(order.order_id)

    def cancel_closed(self) -> None:
        if self.scene.account.closed:
            self.scene.cancel(self.random.choice(list(self.scene.account.closed)[-50:]))

    def cancel_all(self) -> None:
        self.scene.cancel_all()

    def leverage(self) -> None:
        self.scene.leverage(self.random.choice((0, 1, 2, 3, 5, 10, 20, 50, 126)))

    def tick(self) -> None:
        random, market = self.random, self.scene.market
        far = 400 if random.random() < 0.02 else 6
        bid = market.bid + random.randrange(-far, far + 1) * TICK
        bid = min(max(bid, FIRST * Decimal("0.8")), FIRST * Decimal("1.25"))
        ask = bid + random.choice((1, 1, 1, 4)) * TICK
        trade = None if random.random() < 0.2 else random.choice((bid, ask))
        events = self.scene.tick(
            f"{bid}", f"{ask}", None if trade is None else f"{trade}", f"0.{random.randrange(1, 40):03}"
        )
        self.done["resting fills"] += sum(event.kind == "filled" for event in events)

    def restart(self) -> None:
        """Replace the account by a replay of its ledger, read again from text."""
        self.scene.account = replayed(self.scene)

    def _any_open(self) -> Order | None:
        orders = self.scene.account.open
        return orders[self.random.choice(list(orders))] if orders else None

    _ACTIONS = tuple(
        (action.__name__, action)
        for action in (place, tick, modify, cancel, cancel_closed, cancel_all, leverage, restart)
    )
    _WEIGHTS = (40, 40, 12, 5, 0.5, 0.7, 1, 0.02)


def replayed(scene: Scene) -> Account:
    return Account.replay(parse_event(event_fields(event)) for event in scene.events())


def check(scene: Scene, sums: Sums) -> None:
    account = scene.account
    holding = account.holding
    assert holding.position == sums.net_traded
    assert holding.wallet == sums.start + sums.realized - sums.fees
    assert holding.cost == sums.paid + sums.realized
    assert (account.realized, account.fees) == (sums.realized, sums.fees)
    assert holding.position or not holding.cost
    for order in account.open.values():
        assert order.remaining > 0
        assert not order.reduce_only or holding.reducible(order.side) > 0
    margin = margin_of(account, scene.market.mark)
    assert margin.position >= 0
    assert margin.orders >= 0
    assert len(account.open) == len(account.open_by_client) <= 200
