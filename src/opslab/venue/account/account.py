"""The account: what its events make of it. `Account.apply` is the only way it changes.

Money is exact. A position's cost is what it was bought for, signed; when part of it is closed, the part's share of the
cost is rounded once and the rest stays with the position, so that at every moment

    wallet == start + realized - fees        realized == cost - (everything bought - everything sold)
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import islice
from typing import Literal

from opslab.errors import Corrupt
from opslab.model.messages.ledger_events import (
    MONEY,
    Accepted,
    Amended,
    Canceled,
    Expired,
    ExpireReason,
    Filled,
    LedgerEvent,
    LeverageSet,
    Opened,
    OrderType,
    Side,
    TimeInForce,
)

Status = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"]
ZERO = Decimal(0)
KEPT = 10_000
"""Orders that ended, and trades, that can still be asked for; the ledger has them all."""


def money(amount: Decimal) -> Decimal:
    """Rounded to the smallest amount, half to even."""
    return amount.quantize(MONEY, ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Holding:
    """Wallet and position. `cost` has the sign of `position`; entry price is one by the other."""

    wallet: Decimal
    position: Decimal
    cost: Decimal

    def traded(self, side: Side, price: Decimal, quantity: Decimal, fee: Decimal) -> tuple["Holding", Decimal]:
        """(the holding behind a trade, the profit that it realized)."""
        signed = quantity if side == "BUY" else -quantity
        paid = money(signed * price)
        before = self.position
        position = before + signed
        if before * signed >= 0:
            return Holding(self.wallet - fee, position, self.cost + paid), money(ZERO)
        if abs(signed) <= abs(before):
            closed_paid = paid
            share = self.cost if position == 0 else money(self.cost * quantity / abs(before))
        else:
            closed_paid = money(-before * price)
            share = self.cost
        realized = -closed_paid - share
        return Holding(self.wallet + realized - fee, position, self.cost - share + paid - closed_paid), realized

    @property
    def entry(self) -> Decimal:
        """Average price of the open position; 0 when there is none."""
        return self.cost / self.position if self.position else ZERO

    def unrealized(self, mark: Decimal) -> Decimal:
        return money(self.position * mark) - self.cost

    def reducible(self, side: Side) -> Decimal:
        """How much an order of this side can take off the position."""
        if self.position > 0:
            return self.position if side == "SELL" else ZERO
        return -self.position if side == "BUY" else ZERO


@dataclass(slots=True)
class Order:
    """An order, as it is now."""

    order_id: int
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    price: Decimal | None
    reduce_only: bool
    time_ms: int
    update_ms: int
    turn: int
    """Its place in the queue of its price: orders with a lower one are served first."""
    status: Status = "NEW"
    executed: Decimal = ZERO
    quote: Decimal = ZERO
    """What was paid for the executed quantity."""
    amendments: int = 0
    expired: ExpireReason | None = None

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.executed

    @property
    def average(self) -> Decimal:
        """Average price of what was executed; 0 when nothing was."""
        return self.quote / self.executed if self.executed else ZERO


@dataclass(frozen=True, slots=True)
class Trade:
    trade_id: int
    order_id: int
    side: Side
    price: Decimal
    quantity: Decimal
    maker: bool
    fee: Decimal
    realized: Decimal
    time_ms: int


@dataclass(frozen=True, slots=True)
class Reach:
    """The prices that a market has to come to before an open order can trade; None: no order on that side."""

    highest_buy: Decimal | None
    lowest_sell: Decimal | None


@dataclass(slots=True)
class Account:
    """State of the account. Read it anywhere, change it with `apply` only."""

    opened: Opened
    holding: Holding
    leverage: int
    kept: int = KEPT
    fees: Decimal = ZERO
    realized: Decimal = ZERO
    last_order_id: int = 0
    last_trade_id: int = 0
    last_turn: int = 0
    update_ms: int = 0
    """When the wallet or the position last changed."""
    open: dict[int, Order] = field(default_factory=dict)
    """Open orders by id, oldest first."""
    open_by_client: dict[str, int] = field(default_factory=dict)
    closed: dict[int, Order] = field(default_factory=dict)
    """The last ones that ended, in the order they ended."""
    closed_by_client: dict[str, int] = field(default_factory=dict)
    trades: deque[Trade] = field(default_factory=deque)
    """The last ones, oldest first."""
    _reach: Reach | None = field(default=None, compare=False, repr=False)

    @classmethod
    def begin(cls, opened: Opened, kept: int = KEPT) -> "Account":
        holding = Holding(money(opened.balance), ZERO, money(ZERO))
        return cls(
            opened,
            holding,
            opened.leverage,
            kept,
            fees=money(ZERO),
            realized=money(ZERO),
            update_ms=opened.time_ms,
            trades=deque(maxlen=kept),
        )

    @classmethod
    def replay(cls, events: Iterable[LedgerEvent]) -> "Account":
        """The account that these events made. Raises Corrupt where they do not follow from one another."""
        account: Account | None = None
        for event in events:
            if account is not None:
                account.apply(event)
            elif isinstance(event, Opened):
                account = cls.begin(event)
            else:
                raise Corrupt(f"the ledger begins with {event.kind}")
        if account is None:
            raise Corrupt("the ledger is empty")
        return account

    @property
    def reach(self) -> Reach:
        """Of the open orders: most ticks of a market concern none of them."""
        if self._reach is None:
            prices: dict[Side, list[Decimal]] = {"BUY": [], "SELL": []}
            for order in self.open.values():
                if order.price is not None:
                    prices[order.side].append(order.price)
            self._reach = Reach(max(prices["BUY"], default=None), min(prices["SELL"], default=None))
        return self._reach

    def find(self, order_id: int | None, client_order_id: str | None) -> Order | None:
        """Open, or ended and still remembered. The id counts when both are given."""
        if order_id is not None:
            return self.open.get(order_id) or self.closed.get(order_id)
        if client_order_id is None:
            return None
        found = self.open_by_client.get(client_order_id) or self.closed_by_client.get(client_order_id)
        return None if found is None else self.open.get(found) or self.closed.get(found)

    def orders(self) -> list[Order]:
        """All that are remembered, by id."""
        return sorted([*self.closed.values(), *self.open.values()], key=lambda order: order.order_id)

    def apply(self, event: LedgerEvent) -> None:
        """Raises Corrupt when the event cannot have taken place; the account is then as it was."""
        match event:
            case Filled():
                self._fill(event)
            case Accepted():
                self._accept(event)
            case Canceled():
                self._end(event.order_id, "CANCELED", event.time_ms)
            case Expired():
                self._end(event.order_id, "EXPIRED", event.time_ms, event.reason)
            case Amended():
                self._amend(event)
            case LeverageSet():
                self.leverage = event.leverage
            case Opened():
                raise Corrupt("the ledger opens its account twice")

    def _accept(self, event: Accepted) -> None:
        if event.order_id <= self.last_order_id:
            raise Corrupt(f"order {event.order_id} is accepted after order {self.last_order_id}")
        if event.client_order_id in self.open_by_client:
            raise Corrupt(f"order {event.order_id} has the client's id of an open order")
        self.last_order_id = event.order_id
        self.last_turn += 1
        self.open[event.order_id] = Order(
            order_id=event.order_id,
            client_order_id=event.client_order_id,
            side=event.side,
            type=event.type,
            time_in_force=event.time_in_force,
            quantity=event.quantity,
            price=event.price,
            reduce_only=event.reduce_only,
            time_ms=event.time_ms,
            update_ms=event.time_ms,
            turn=self.last_turn,
        )
        self.open_by_client[event.client_order_id] = event.order_id
        self._reach = None

    def _fill(self, event: Filled) -> None:
        order = self._open(event.order_id)
        holding, realized = self.holding.traded(order.side, event.price, event.quantity, event.fee)
        if (holding.wallet, holding.position, holding.cost, realized) != (
            event.wallet,
            event.position,
            event.cost,
            event.realized,
        ):
            raise Corrupt(f"trade {event.trade_id} does not lead to the wallet and position it states")
        if event.trade_id <= self.last_trade_id or not ZERO < event.quantity <= order.remaining:
            raise Corrupt(f"trade {event.trade_id} cannot follow on what went before")
        self.holding = holding
        self.fees += event.fee
        self.realized += realized
        self.last_trade_id = event.trade_id
        self.update_ms = order.update_ms = event.time_ms
        order.executed += event.quantity
        order.quote += money(event.price * event.quantity)
        order.status = "PARTIALLY_FILLED"
        self.trades.append(
            Trade(
                event.trade_id,
                event.order_id,
                order.side,
                event.price,
                event.quantity,
                event.maker,
                event.fee,
                realized,
                event.time_ms,
            )
        )
        if order.executed == order.quantity:
            self._end(event.order_id, "FILLED", event.time_ms)

    def _amend(self, event: Amended) -> None:
        order = self._open(event.order_id)
        if event.quantity <= order.executed:
            raise Corrupt(f"order {event.order_id} is amended to less than was filled of it")
        order.quantity, order.price, order.update_ms = event.quantity, event.price, event.time_ms
        order.amendments += 1
        self.last_turn += 1
        order.turn = self.last_turn
        self._reach = None

    def _end(self, order_id: int, status: Status, time_ms: int, expired: ExpireReason | None = None) -> None:
        order = self._open(order_id)
        order.status, order.update_ms, order.expired = status, time_ms, expired
        del self.open[order_id]
        del self.open_by_client[order.client_order_id]
        self.closed[order_id] = order
        self.closed_by_client[order.client_order_id] = order_id
        for old in list(islice(self.closed, max(0, len(self.closed) - self.kept))):
            gone = self.closed.pop(old)
            if self.closed_by_client.get(gone.client_order_id) == old:
                del self.closed_by_client[gone.client_order_id]
        self._reach = None

    def _open(self, order_id: int) -> Order:
        order = self.open.get(order_id)
        if order is None:
            raise Corrupt(f"order {order_id} is not open")
        return order
