"""Simulated trading account: as its venue has it, and as a node receives it, in the same order with a latency."""

import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from opslab.model.messages.paper_messages import (
    AccountSnapshot,
    AccountState,
    BalanceState,
    InFlightUpdate,
    NodeSnapshot,
    OrderState,
    PositionState,
)
from opslab.model.primitives.instant import NS_PER_SECOND, iso, parse_iso
from opslab.reconciliation.result import Limits
from opslab.runs.paper.reconciler import FinishedReconciliation, LiveOccasion, LiveReconciler

INSTRUMENT = "BTCUSDT"
BEGIN_NS = parse_iso("2026-01-05T12:00:00.000000Z")
PREFIX = "x-lab-"
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class SimulatedOrder:
    number: int
    side: str
    quantity: Decimal
    price: Decimal
    filled: Decimal = ZERO
    status: str = "ACCEPTED"


@dataclass(frozen=True, slots=True)
class SimulatedAccount:
    orders: dict[int, SimulatedOrder] = field(default_factory=dict)
    position: Decimal = ZERO
    entry: Decimal = ZERO
    wallet: Decimal = Decimal(100_000)

    def opened(self, order: SimulatedOrder) -> "SimulatedAccount":
        return replace(self, orders={**self.orders, order.number: order})

    def closed(self, number: int) -> "SimulatedAccount":
        return replace(self, orders={key: order for key, order in self.orders.items() if key != number})

    def filled(self, number: int, quantity: Decimal) -> "SimulatedAccount":
        order = self.orders[number]
        filled = order.filled + quantity
        after = self.traded(order.side, quantity, order.price)
        if filled >= order.quantity:
            return after.closed(number)
        return after.opened(replace(order, filled=filled, status="PARTIALLY_FILLED"))

    def traded(self, side: str, quantity: Decimal, price: Decimal) -> "SimulatedAccount":
        signed = quantity if side == "BUY" else -quantity
        position = self.position + signed
        wallet = self.wallet - quantity * price / 2000
        if self.position * signed >= 0:
            entry = (self.entry * self.position + price * signed) / position
        elif self.position * position > 0:
            entry = self.entry
        else:
            entry = price if position else ZERO
        if self.position * signed < 0:
            closed = min(abs(signed), abs(self.position))
            wallet += closed * (price - self.entry) * (1 if self.position > 0 else -1)
        return replace(self, position=position, entry=entry, wallet=wallet.quantize(Decimal("1e-8")))


Change = Callable[[SimulatedAccount], SimulatedAccount]


@dataclass(frozen=True, slots=True)
class Step:
    """A transaction at the venue."""

    at_s: float
    change: Change
    number: int | None = None
    """Its order, if the node sent it and waits for the answer."""
    sent_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """Transaction rate, and the range of the latency to the node."""

    per_second: float
    latency_s: tuple[float, float]


NodeError = Literal["lost order", "invented order", "wrong position", "duplicate fill", "lost fill", "wrong wallet"]
NODE_ERRORS: tuple[NodeError, ...] = (
    "lost order", "invented order", "wrong position", "duplicate fill", "lost fill", "wrong wallet",
)  # fmt: skip


class AccountHistory:
    """`seconds` of trading on an account, all of it decided in advance."""

    def __init__(self, seed: int, pace: Pace, seconds: float) -> None:
        self._random = random.Random(seed)
        self.steps: list[Step] = []
        self.venue: list[SimulatedAccount] = [SimulatedAccount()]
        self._number = 0
        at_s = 0.0
        while pace.per_second and at_s < seconds:
            at_s += self._random.expovariate(pace.per_second)
            self._step(at_s)
        self.at_node: list[float] = []
        arrived_s = 0.0
        for step in self.steps:
            arrived_s = max(arrived_s, step.at_s + self._random.uniform(*pace.latency_s))
            self.at_node.append(arrived_s)

    def _step(self, at_s: float) -> None:
        now, random_source = self.venue[-1], self._random
        kind = random_source.random()
        quantity = Decimal(random_source.choice((1, 1, 1, 2, 5))) / 1000
        price = Decimal(random_source.randint(600_000, 600_300)) / 10
        side = random_source.choice(("BUY", "SELL"))
        change: Change
        number: int | None = None
        if now.orders and kind < 0.2:
            closed_number = random_source.choice(list(now.orders))
            change = lambda state: state.closed(closed_number)  # noqa: E731
        elif now.orders and kind < 0.55:
            filled_number = random_source.choice(list(now.orders))
            part = min(quantity, now.orders[filled_number].quantity - now.orders[filled_number].filled)
            change = lambda state: state.filled(filled_number, part)  # noqa: E731
        elif kind < 0.8:
            self._number += 1
            order = SimulatedOrder(self._number, side, quantity * 3, price)
            number = order.number
            change = lambda state: state.opened(order)  # noqa: E731
        else:
            self._number += 1
            number = self._number
            change = lambda state: state.traded(side, quantity, price)  # noqa: E731
        sent_s = at_s - random_source.uniform(0.001, 0.01) if number is not None else None
        self.steps.append(Step(at_s, change, number, sent_s))
        self.venue.append(change(now))

    def transactions_until(self, now_s: float) -> int:
        return bisect_right([step.at_s for step in self.steps], now_s)


class Simulation:
    """A venue, a node, a clock that the test advances, and the reconciler between them."""

    def __init__(
        self,
        history: AccountHistory,
        *,
        node_error: NodeError | None = None,
        error_from_s: float = 0.0,
        answer_latency_s: float = 0.003,
        control_polls: bool = True,
    ) -> None:
        """error_from_s: start of the node's error. control_polls: control reads the venue once a second, too."""
        self.history = history
        self.now_s = 0.0
        self.venue_is_up = self.node_is_up = True
        self._node_error, self._error_from_s = node_error, error_from_s
        self._answer_latency_s = answer_latency_s
        self._control_polls = control_polls
        self._due: list[tuple[float, int]] = []
        self._polled_s = 0.0
        self.requests = 0
        self.external_orders: int | None = 0
        """As the venue counts them; None: it does not."""
        self.reconciler = LiveReconciler(
            "r1", INSTRUMENT, self._request, self.venue_snapshot, self, Limits(max_age_seconds=30, max_apart_seconds=10)
        )

    def now_ns(self) -> int:
        return BEGIN_NS + int(self.now_s * NS_PER_SECOND)

    def monotonic_s(self) -> float:
        return 1000 + self.now_s

    def _request(self, number: int) -> None:
        self.requests += 1
        if self.node_is_up:
            self._due.append((self.now_s + self._answer_latency_s, number))

    def wait(self, seconds: float) -> None:
        """Advance the time while no reconciliation is in progress."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s = min(end_s, self.now_s + 0.25)
            self._poll_venue()

    def run(self, occasion: LiveOccasion) -> FinishedReconciliation:
        """Run one reconciliation to its end."""
        assert self.reconciler.start(occasion)
        for _ in range(5_000):
            finished = self.reconciler.advance()
            if finished:
                return finished
            wait_s = self.reconciler.wait_seconds()
            assert wait_s is not None
            next_s = self.now_s + max(wait_s, 0.001)
            due_s = min((at_s for at_s, _ in self._due), default=next_s)
            self.now_s = min(next_s, max(due_s, self.now_s))
            self._poll_venue()
            for at_s, number in [request for request in self._due if request[0] <= self.now_s]:
                self._due.remove((at_s, number))
                self.reconciler.add_node_snapshot(self.node_snapshot(number, self.now_s - self._answer_latency_s / 2))
        raise AssertionError("the reconciliation does not end")

    def _poll_venue(self) -> None:
        if self._control_polls and self.now_s - self._polled_s >= 1 and (snapshot := self.venue_snapshot()):
            self._polled_s = self.now_s
            self.reconciler.add_venue_snapshot(snapshot)

    def venue_snapshot(self) -> AccountSnapshot | None:
        if not self.venue_is_up:
            return None
        count = self.history.transactions_until(self.now_s)
        state = self.history.venue[count]
        wire_ids = {number: f"{PREFIX}{number}" for number in state.orders}
        return AccountSnapshot(
            account=_account(state, wire_ids, self.now_ns()),
            venue_order_ids={wire_ids[number]: str(number) for number in state.orders},
            transactions=count,
            orders=0,
            orders_external=self.external_orders,
            fills=0,
            replay="replaying",
            minutes=0,
            messages=0,
        )

    def node_snapshot(self, request_number: int, at_s: float) -> NodeSnapshot:
        """The account as the node had it at that time."""
        count = bisect_right(self.history.at_node, at_s)
        state = self._mistaken(self.history.venue[count], count, at_s)
        names = {number: f"O-{number}" for number in state.orders}
        waiting = tuple(
            InFlightUpdate(kind="order", client_order_id=f"O-{step.number}", age_seconds=at_s - step.sent_s)
            for step, arrived_s in zip(self.history.steps, self.history.at_node, strict=True)
            if step.sent_s is not None and step.sent_s <= at_s < arrived_s
        )
        return NodeSnapshot(
            request_number=request_number,
            account=_account(state, names, BEGIN_NS + int(at_s * NS_PER_SECOND), entry_places=11),
            in_flight=waiting,
            venue_order_ids={names[number]: str(number) for number in state.orders if number < INVENTED_ORDER_NUMBER},
        )

    def _mistaken(self, state: SimulatedAccount, count: int, at_s: float) -> SimulatedAccount:
        if self._node_error is None or at_s < self._error_from_s:
            return state
        if self._node_error == "invented order":
            return state.opened(SimulatedOrder(INVENTED_ORDER_NUMBER, "BUY", Decimal("0.003"), Decimal(59_000)))
        if self._node_error == "lost order":  # the order that rests all the time
            return state.closed(RESTING_ORDER_NUMBER)
        if self._node_error == "wrong wallet":
            return replace(state, wallet=state.wallet + Decimal("0.01"))
        if self._node_error == "wrong position":
            return replace(state, position=state.position + Decimal("0.001"), entry=Decimal(60_000))
        fee = Decimal("0.0317") * (1 if self._node_error == "lost fill" else -1)
        signed = Decimal("0.001") * (-1 if self._node_error == "lost fill" else 1)
        position = state.position + signed
        return replace(state, position=position, entry=Decimal(60_001), wallet=state.wallet + fee)


RESTING_ORDER_NUMBER = 0
"""An order that is open all the time."""
INVENTED_ORDER_NUMBER = 1_000_000


def with_resting_order(history: AccountHistory) -> AccountHistory:
    resting = SimulatedOrder(RESTING_ORDER_NUMBER, "BUY", Decimal("0.005"), Decimal(50_000))
    history.venue = [state.opened(resting) for state in history.venue]
    return history


def _account(state: SimulatedAccount, names: dict[int, str], at_ns: int, entry_places: int = 5) -> AccountState:
    position = PositionState(
        instrument=INSTRUMENT,
        side="LONG" if state.position > 0 else "SHORT",
        signed_quantity=f"{state.position:f}",
        average_entry_price=f"{state.entry:.{entry_places}f}",
    )
    orders = tuple(
        OrderState(
            client_order_id=names[order.number],
            instrument=INSTRUMENT,
            side=order.side,
            type="LIMIT",
            quantity=f"{order.quantity:f}",
            filled_quantity=f"{order.filled:f}",
            price=f"{order.price:f}",
            status=order.status,
        )
        for order in state.orders.values()
    )
    free = state.wallet if entry_places > 5 else state.wallet - 1
    balance = BalanceState(asset="USDT", total=f"{state.wallet:f}", free=f"{free:f}", locked=f"{state.wallet - free:f}")
    return AccountState(
        as_of=iso(at_ns), positions=(position,) if state.position else (), open_orders=orders, balances=(balance,)
    )
