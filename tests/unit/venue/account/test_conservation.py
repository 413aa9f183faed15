"""No sequence of orders, cancels, amendments, prices and restarts makes money or quantity, or loses any.

Runs at random for many operations, from fixed seeds; what is checked is computed here, from the events, with nothing
of the account's own arithmetic.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from opslab.model.messages.ledger_events import Accepted, Amended, Filled, LedgerEvent, Side, event_of, written
from opslab.venue.account.account import Account, Order
from opslab.venue.account.audit import audit
from opslab.venue.account.margin import margin_of
from opslab.venue.api_error import ApiError
from tests.fakes.account_at_price import TICK, Market, Scene, opened

SEEDS = range(10)
OPERATIONS = 10_500
"""Of each seed: 105,000 together."""
FIRST = Decimal("30000.00")
SIDES = st.sampled_from(("BUY", "SELL"))


@dataclass
class Sums:
    """What the events say, added up."""

    start: Decimal
    traded: Decimal = Decimal(0)
    """Signed quantity."""
    paid: Decimal = Decimal(0)
    """For what was bought, less what was got for what was sold."""
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
                assert self.traded * signed < 0, "a reduce-only order met no position of the other side"
                assert abs(signed) <= abs(self.traded), "a reduce-only order went through the position"
            self.traded += signed
            self.paid += signed * event.price
            self.realized += event.realized
            self.fees += event.fee
            self.filled[event.order_id] += event.quantity
            assert self.filled[event.order_id] <= self.quantity[event.order_id], "more was filled than ordered"


class Walk:
    """A random client and a random market."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        market = Market(size=Decimal("0.013"), depth=self.random.choice((1, 3, 8)))
        self.scene = Scene(start=opened("2500", self.random.choice((1, 3, 20))), market=market)
        self.sums = Sums(self.scene.start.balance)
        self.done: Counter[str] = Counter()
        self.told = 1

    def step(self) -> None:
        scene = self.scene
        scene.now_ms += self.random.randrange(3)
        name, act = self.random.choices(self._ACTS, self._WEIGHTS)[0]
        before = scene.account.holding
        try:
            act(self)
        except ApiError as refusal:
            self.done[f"{name} {refusal.code}"] += 1
            assert len(scene.ledger) == self.told, "a refusal left something behind"
            assert scene.account.holding == before
        else:
            self.done[name] += 1
        for events in scene.ledger[self.told :]:
            for event in events:
                self.sums.add(event)
        self.told = len(scene.ledger)
        check(scene, self.sums)

    def place(self) -> None:
        random, scene, account = self.random, self.scene, self.scene.account
        side: Side = random.choice(("BUY", "SELL"))
        quantity = f"0.{random.choice((1, 4, 8, 25, 90, 300)) + random.randrange(5):03}"
        more: dict[str, object] = {"reduceOnly": "true"} if random.random() < 0.3 else {}
        price = None
        if random.random() < 0.75:
            away = random.choice((0, 0, 1, 2, 5, 30))
            passive = random.random() < 0.6
            best = scene.market.bid if (side == "BUY") == passive else scene.market.ask
            price = f"{best - away * TICK if (side == 'BUY') == passive else best + away * TICK}"
            more["timeInForce"] = random.choices(("GTC", "GTX", "IOC", "FOK"), (5, 2, 1, 1))[0]
        reducible = account.holding.reducible(side)
        events = scene.place(side, quantity, price, **more)
        if "reduceOnly" not in more and Decimal(quantity) > reducible:
            found = margin_of(account, scene.market.mark)
            assert found.available >= 0, "an order was accepted that the account cannot bear"
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

    def cancel_ended(self) -> None:
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
        """The account is what its ledger says, read again from text."""
        self.scene.account = again(self.scene)

    def _any_open(self) -> Order | None:
        found = self.scene.account.open
        return found[self.random.choice(list(found))] if found else None

    _ACTS = tuple(
        (act.__name__, act) for act in (place, tick, modify, cancel, cancel_ended, cancel_all, leverage, restart)
    )
    _WEIGHTS = (40, 40, 12, 5, 0.5, 0.7, 1, 0.02)


def again(scene: Scene) -> Account:
    return Account.replay(event_of(written(event)) for event in scene.events())


def check(scene: Scene, sums: Sums) -> None:
    account = scene.account
    holding = account.holding
    assert holding.position == sums.traded
    assert holding.wallet == sums.start + sums.realized - sums.fees
    assert holding.cost == sums.paid + sums.realized
    assert (account.realized, account.fees) == (sums.realized, sums.fees)
    assert holding.position or not holding.cost
    for order in account.open.values():
        assert order.remaining > 0
        assert not order.reduce_only or holding.reducible(order.side) > 0
    found = margin_of(account, scene.market.mark)
    assert found.position >= 0
    assert found.orders >= 0
    assert len(account.open) == len(account.open_by_client) <= 200


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_made_and_nothing_is_lost(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(OPERATIONS):
        walk.step()
    assert again(walk.scene) == walk.scene.account
    found = audit(walk.scene.ledger)
    assert [finding.text() for finding in found.findings] == []
    holding = walk.scene.account.holding
    assert (found.wallet, found.position, found.cost) == (holding.wallet, holding.position, holding.cost)
    assert (found.realized, found.fees) == (walk.scene.account.realized, walk.scene.account.fees)
    assert found.open_orders == len(walk.scene.account.open)
    # The walk went where it was meant to go.
    assert walk.done["fills"] > 300
    assert walk.done["resting fills"] > 300
    for refused in ("place -2019", "place -2022", "place -5021", "place -5022", "place -4164", "modify -5027"):
        assert walk.done[refused] > 0, f"{refused} never happened: {walk.done}"


class AnyOrder(RuleBasedStateMachine):
    """The same claims, with sequences that hypothesis looks for and makes short."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene(start=opened("600", 10), market=Market(size=Decimal("0.010"), depth=2))
        self.sums = Sums(self.scene.start.balance)
        self.told = 1

    @rule(
        side=SIDES,
        thousandths=st.integers(1, 60),
        away=st.none() | st.integers(-4, 4),
        in_force=st.sampled_from(("GTC", "GTX", "IOC", "FOK")),
        reduce_only=st.booleans(),
    )
    def place(self, side: Side, thousandths: int, away: int | None, in_force: str, reduce_only: bool) -> None:
        more: dict[str, object] = {"reduceOnly": "true"} if reduce_only else {}
        price = None if away is None else f"{self.scene.market.bid + away * TICK}"
        if price is not None:
            more["timeInForce"] = in_force
        reducible = self.scene.account.holding.reducible(side)
        quantity = Decimal(thousandths) / 1000
        if self.tried(lambda: self.scene.place(side, f"{quantity}", price, **more)):
            increases = not reduce_only and quantity > reducible
            assert not increases or margin_of(self.scene.account, self.scene.market.mark).available >= 0

    @rule(which=st.integers(0, 20), thousandths=st.integers(1, 60), away=st.integers(-4, 4))
    def modify(self, which: int, thousandths: int, away: int) -> None:
        found = list(self.scene.account.open.values())
        if found:
            order = found[which % len(found)]
            quantity, price = Decimal(thousandths) / 1000, self.scene.market.bid + away * TICK
            self.tried(lambda: self.scene.modify(order.order_id, order.side, f"{quantity}", f"{price}"))

    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        found = list(self.scene.account.open)
        if found:
            self.scene.cancel(found[which % len(found)])

    @rule()
    def cancel_all(self) -> None:
        self.scene.cancel_all()
        assert not self.scene.account.open

    @rule(leverage=st.integers(1, 30))
    def leverage(self, leverage: int) -> None:
        self.tried(lambda: self.scene.leverage(leverage))

    @rule(step=st.integers(-8, 8), trade=st.sampled_from((None, "bid", "ask")), thousandths=st.integers(1, 40))
    def tick(self, step: int, trade: str | None, thousandths: int) -> None:
        bid = self.scene.market.bid + step * TICK
        ask = bid + TICK
        price = {None: None, "bid": f"{bid}", "ask": f"{ask}"}[trade]
        self.scene.tick(f"{bid}", f"{ask}", price, f"{Decimal(thousandths) / 1000}")

    @rule()
    def restart(self) -> None:
        account = again(self.scene)
        assert account == self.scene.account
        self.scene.account = account

    def tried(self, act: Callable[[], object]) -> bool:
        """Whether it was not refused."""
        try:
            act()
        except ApiError:
            return False
        return True

    @invariant()
    def nothing_is_made_and_nothing_is_lost(self) -> None:
        for events in self.scene.ledger[self.told :]:
            for event in events:
                self.sums.add(event)
        self.told = len(self.scene.ledger)
        check(self.scene, self.sums)

    def teardown(self) -> None:
        assert [finding.text() for finding in audit(self.scene.ledger).findings] == []


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
