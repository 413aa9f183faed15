"""An account that moves, as its venue has it and as a node learns of it: in the same order, a while later."""

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
class Order:
    number: int
    side: str
    quantity: Decimal
    price: Decimal
    filled: Decimal = ZERO
    status: str = "ACCEPTED"


@dataclass(frozen=True, slots=True)
class State:
    orders: dict[int, Order] = field(default_factory=dict)
    position: Decimal = ZERO
    entry: Decimal = ZERO
    wallet: Decimal = Decimal(100_000)

    def opened(self, order: Order) -> "State":
        return replace(self, orders={**self.orders, order.number: order})

    def closed(self, number: int) -> "State":
        return replace(self, orders={key: one for key, one in self.orders.items() if key != number})

    def filled(self, number: int, quantity: Decimal) -> "State":
        order = self.orders[number]
        filled = order.filled + quantity
        after = self.traded(order.side, quantity, order.price)
        if filled >= order.quantity:
            return after.closed(number)
        return after.opened(replace(order, filled=filled, status="PARTIALLY_FILLED"))

    def traded(self, side: str, quantity: Decimal, price: Decimal) -> "State":
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


Change = Callable[[State], State]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that took place at the venue."""

    at_s: float
    change: Change
    number: int | None = None
    """The order that it is of, when the node sent it and waits."""
    sent_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How much goes on, and how long it is on its way to the node."""

    per_second: float
    latency_s: tuple[float, float]


Wrong = Literal["lost order", "invented order", "wrong position", "duplicate fill", "lost fill", "wrong wallet"]
WRONGS: tuple[Wrong, ...] = (
    "lost order", "invented order", "wrong position", "duplicate fill", "lost fill", "wrong wallet",
)  # fmt: skip


class History:
    """`seconds` of an account that somebody trades on, all of it decided beforehand."""

    def __init__(self, seed: int, pace: Pace, seconds: float) -> None:
        self._dice = random.Random(seed)
        self.steps: list[Step] = []
        self.venue: list[State] = [State()]
        self._number = 0
        at_s = 0.0
        while pace.per_second and at_s < seconds:
            at_s += self._dice.expovariate(pace.per_second)
            self._step(at_s)
        self.at_node: list[float] = []
        arrived_s = 0.0
        for step in self.steps:
            arrived_s = max(arrived_s, step.at_s + self._dice.uniform(*pace.latency_s))
            self.at_node.append(arrived_s)

    def _step(self, at_s: float) -> None:
        now, dice = self.venue[-1], self._dice
        kind = dice.random()
        quantity = Decimal(dice.choice((1, 1, 1, 2, 5))) / 1000
        price = Decimal(dice.randint(600_000, 600_300)) / 10
        side = dice.choice(("BUY", "SELL"))
        change: Change
        number: int | None = None
        if now.orders and kind < 0.2:
            taken = dice.choice(list(now.orders))
            change = lambda state: state.closed(taken)  # noqa: E731
        elif now.orders and kind < 0.55:
            hit = dice.choice(list(now.orders))
            part = min(quantity, now.orders[hit].quantity - now.orders[hit].filled)
            change = lambda state: state.filled(hit, part)  # noqa: E731
        elif kind < 0.8:
            self._number += 1
            order = Order(self._number, side, quantity * 3, price)
            number = order.number
            change = lambda state: state.opened(order)  # noqa: E731
        else:
            self._number += 1
            number = self._number
            change = lambda state: state.traded(side, quantity, price)  # noqa: E731
        sent_s = at_s - dice.uniform(0.001, 0.01) if number is not None else None
        self.steps.append(Step(at_s, change, number, sent_s))
        self.venue.append(change(now))

    def moved(self, now_s: float) -> int:
        return bisect_right([step.at_s for step in self.steps], now_s)


class Scene:
    """A venue, a node, a clock that goes on when it is told to, and the reconciler between them."""

    def __init__(
        self,
        history: History,
        *,
        wrong: Wrong | None = None,
        wrong_s: float = 0.0,
        answer_s: float = 0.003,
        hears: bool = True,
    ) -> None:
        """wrong_s: from when on the node has it wrong. hears: control asks the venue once a second, too."""
        self.history = history
        self.now_s = 0.0
        self.venue_is_up = self.node_is_up = True
        self._wrong, self._wrong_s = wrong, wrong_s
        self._answer_s = answer_s
        self._hears = hears
        self._due: list[tuple[float, int]] = []
        self._heard_s = 0.0
        self.asked = 0
        self.reconciler = LiveReconciler(
            "r1", INSTRUMENT, self._ask, self.statement, self, Limits(max_age_seconds=30, max_apart_seconds=10)
        )

    def now_ns(self) -> int:
        return BEGIN_NS + int(self.now_s * NS_PER_SECOND)

    def monotonic_s(self) -> float:
        return 1000 + self.now_s

    def _ask(self, number: int) -> None:
        self.asked += 1
        if self.node_is_up:
            self._due.append((self.now_s + self._answer_s, number))

    def wait(self, seconds: float) -> None:
        """Time goes by, and nothing is under way."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s = min(end_s, self.now_s + 0.25)
            self._hear()

    def run(self, occasion: LiveOccasion) -> FinishedReconciliation:
        """From begin to end."""
        assert self.reconciler.start(occasion)
        for _ in range(5_000):
            finished = self.reconciler.advance()
            if finished:
                return finished
            wait_s = self.reconciler.wait_seconds()
            assert wait_s is not None
            wanted_s = self.now_s + max(wait_s, 0.001)
            due_s = min((at_s for at_s, _ in self._due), default=wanted_s)
            self.now_s = min(wanted_s, max(due_s, self.now_s))
            self._hear()
            for at_s, number in [one for one in self._due if one[0] <= self.now_s]:
                self._due.remove((at_s, number))
                self.reconciler.add_snapshot(self.node(number, self.now_s - self._answer_s / 2))
        raise AssertionError("it never ends")

    def _hear(self) -> None:
        if self._hears and self.now_s - self._heard_s >= 1 and (said := self.statement()):
            self._heard_s = self.now_s
            self.reconciler.add_statement(said)

    def statement(self) -> AccountSnapshot | None:
        if not self.venue_is_up:
            return None
        count = self.history.moved(self.now_s)
        state = self.history.venue[count]
        wire = {number: f"{PREFIX}{number}" for number in state.orders}
        return AccountSnapshot(
            account=_account(state, wire, self.now_ns()),
            venue_order_ids={wire[number]: str(number) for number in state.orders},
            transactions=count,
            orders=0,
            fills=0,
            replay="replaying",
            minutes=0,
            messages=0,
        )

    def node(self, ask: int, at_s: float) -> NodeSnapshot:
        """What the node believed then."""
        count = bisect_right(self.history.at_node, at_s)
        state = self._mistaken(self.history.venue[count], count, at_s)
        names = {number: f"O-{number}" for number in state.orders}
        waiting = tuple(
            InFlightUpdate(kind="order", client_order_id=f"O-{step.number}", age_seconds=at_s - step.sent_s)
            for step, arrived_s in zip(self.history.steps, self.history.at_node, strict=True)
            if step.sent_s is not None and step.sent_s <= at_s < arrived_s
        )
        return NodeSnapshot(
            request_number=ask,
            account=_account(state, names, BEGIN_NS + int(at_s * NS_PER_SECOND), entry_places=11),
            in_flight=waiting,
            venue_order_ids={names[number]: str(number) for number in state.orders if number < INVENTED},
        )

    def _mistaken(self, state: State, count: int, at_s: float) -> State:
        if self._wrong is None or at_s < self._wrong_s:
            return state
        if self._wrong == "invented order":
            return state.opened(Order(INVENTED, "BUY", Decimal("0.003"), Decimal(59_000)))
        if self._wrong == "lost order":  # the oldest that has been there all the time
            return state.closed(KEPT)
        if self._wrong == "wrong wallet":
            return replace(state, wallet=state.wallet + Decimal("0.01"))
        if self._wrong == "wrong position":
            return replace(state, position=state.position + Decimal("0.001"), entry=Decimal(60_000))
        fee = Decimal("0.0317") * (1 if self._wrong == "lost fill" else -1)
        signed = Decimal("0.001") * (-1 if self._wrong == "lost fill" else 1)
        position = state.position + signed
        return replace(state, position=position, entry=Decimal(60_001), wallet=state.wallet + fee)


KEPT = 0
"""An order that rests all the time."""
INVENTED = 1_000_000


def with_kept_order(history: History) -> History:
    kept = Order(KEPT, "BUY", Decimal("0.005"), Decimal(50_000))
    history.venue = [state.opened(kept) for state in history.venue]
    return history


def _account(state: State, names: dict[int, str], at_ns: int, entry_places: int = 5) -> AccountState:
    position = PositionState(
        instrument=INSTRUMENT,
        side="LONG" if state.position > 0 else "SHORT",
        signed_quantity=f"{state.position:f}",
        average_entry_price=f"{state.entry:.{entry_places}f}",
    )
    orders = tuple(
        OrderState(
            client_order_id=names[one.number],
            instrument=INSTRUMENT,
            side=one.side,
            type="LIMIT",
            quantity=f"{one.quantity:f}",
            filled_quantity=f"{one.filled:f}",
            price=f"{one.price:f}",
            status=one.status,
        )
        for one in state.orders.values()
    )
    free = state.wallet if entry_places > 5 else state.wallet - 1
    balance = BalanceState(asset="USDT", total=f"{state.wallet:f}", free=f"{free:f}", locked=f"{state.wallet - free:f}")
    return AccountState(
        as_of=iso(at_ns), positions=(position,) if state.position else (), open_orders=orders, balances=(balance,)
    )
