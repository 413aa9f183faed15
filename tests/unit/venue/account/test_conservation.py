"""No sequence of orders, cancels, amendments, prices and restarts makes money or quantity, or loses any.

Runs at random for many operations, from fixed seeds; what is checked is computed here, from the events, with nothing
of the account's own arithmetic.
"""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from opslab.model.messages.ledger_events import Side
from opslab.venue.account.audit import audit
from opslab.venue.account.margin import margin_of
from opslab.venue.api_error import ApiError
from tests.fakes.account_at_price import TICK, Market, Scene, opened
from tests.fakes.random_walk import Sums, Walk, again, check

SEEDS = range(10)
OPERATIONS = 10_500
"""Of each seed: 105,000 together."""
SIDES = st.sampled_from(("BUY", "SELL"))


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
