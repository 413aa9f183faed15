"""No sequence of orders, cancels, amendments, prices and restarts creates or loses money or quantity.

Random walks of many operations, from fixed seeds; the expected values are computed from the events, without the
arithmetic of the account.
"""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from opslab.model.messages.ledger_events import OrderSide
from opslab.venue.account.audit import audit
from opslab.venue.account.margin import margin_of
from opslab.venue.api_error import ApiError
from tests.fakes.account_at_price import TICK, Market, Scene, opened
from tests.fakes.random_walk import Sums, Walk, check, replayed

SEEDS = range(6)
OPERATIONS = 10_500
"""Per seed: 63,000 in total."""
SIDES = st.sampled_from(("BUY", "SELL"))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_money_and_no_quantity_is_created_or_lost(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(OPERATIONS):
        walk.step()
    assert replayed(walk.scene) == walk.scene.account
    result = audit(walk.scene.ledger)
    assert [finding.text() for finding in result.findings] == []
    holding = walk.scene.account.holding
    assert (result.wallet, result.position, result.cost) == (holding.wallet, holding.position, holding.cost)
    assert (result.realized, result.fees) == (walk.scene.account.realized, walk.scene.account.fees)
    assert result.open_orders == len(walk.scene.account.open)
    # The walk covered the intended cases.
    assert walk.done["fills"] > 300
    assert walk.done["resting fills"] > 300
    for rejected in ("place -2019", "place -2022", "place -5021", "place -5022", "place -4164", "modify -5027"):
        assert walk.done[rejected] > 0, f"{rejected} did not occur: {walk.done}"


class AnyOrder(RuleBasedStateMachine):
    """The same claims, with sequences that hypothesis searches and shrinks."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene(start=opened("600", 10), market=Market(size=Decimal("0.010"), depth=2))
        self.sums = Sums(self.scene.start.balance)
        self.checked_count = 1

    @rule(
        side=SIDES,
        thousandths=st.integers(1, 60),
        away=st.none() | st.integers(-4, 4),
        time_in_force=st.sampled_from(("GTC", "GTX", "IOC", "FOK")),
        reduce_only=st.booleans(),
    )
    def place(self, side: OrderSide, thousandths: int, away: int | None, time_in_force: str, reduce_only: bool) -> None:
        more: dict[str, object] = {"reduceOnly": "true"} if reduce_only else {}
        price = None if away is None else f"{self.scene.market.bid + away * TICK}"
        if price is not None:
            more["timeInForce"] = time_in_force
        reducible = self.scene.account.holding.reducible(side)
        quantity = Decimal(thousandths) / 1000
        if self.attempt(lambda: self.scene.place(side, f"{quantity}", price, **more)):
            increases = not reduce_only and quantity > reducible
            assert not increases or margin_of(self.scene.account, self.scene.market.mark).available >= 0

    @rule(index=st.integers(0, 20), thousandths=st.integers(1, 60), away=st.integers(-4, 4))
    def modify(self, index: int, thousandths: int, away: int) -> None:
        orders = list(self.scene.account.open.values())
        if orders:
            order = orders[index % len(orders)]
            quantity, price = Decimal(thousandths) / 1000, self.scene.market.bid + away * TICK
            self.attempt(lambda: self.scene.modify(order.order_id, order.side, f"{quantity}", f"{price}"))

    @rule(index=st.integers(0, 20))
    def cancel(self, index: int) -> None:
        order_ids = list(self.scene.account.open)
        if order_ids:
            self.scene.cancel(order_ids[index % len(order_ids)])

    @rule()
    def cancel_all(self) -> None:
        self.scene.cancel_all()
        assert not self.scene.account.open

    @rule(leverage=st.integers(1, 30))
    def leverage(self, leverage: int) -> None:
        self.attempt(lambda: self.scene.leverage(leverage))

    @rule(step=st.integers(-8, 8), trade=st.sampled_from((None, "bid", "ask")), thousandths=st.integers(1, 40))
    def tick(self, step: int, trade: str | None, thousandths: int) -> None:
        bid = self.scene.market.bid + step * TICK
        ask = bid + TICK
        price = {None: None, "bid": f"{bid}", "ask": f"{ask}"}[trade]
        self.scene.tick(f"{bid}", f"{ask}", price, f"{Decimal(thousandths) / 1000}")

    @rule()
    def restart(self) -> None:
        account = replayed(self.scene)
        assert account == self.scene.account
        self.scene.account = account

    def attempt(self, action: Callable[[], object]) -> bool:
        """Whether the action was accepted."""
        try:
            action()
        except ApiError:
            return False
        return True

    @invariant()
    def no_money_and_no_quantity_is_created_or_lost(self) -> None:
        for events in self.scene.ledger[self.checked_count :]:
            for event in events:
                self.sums.add(event)
        self.checked_count = len(self.scene.ledger)
        check(self.scene, self.sums)

    def teardown(self) -> None:
        assert [finding.text() for finding in audit(self.scene.ledger).findings] == []


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40)
