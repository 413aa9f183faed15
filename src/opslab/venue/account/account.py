"""The account state, computed from ledger events. Only `Account.apply` changes it.

Money is exact. The cost of a position is its signed purchase value. When a part is closed, the cost share of that part
is rounded once and the remainder stays with the position, so that at every moment

    wallet == start + realized - fees        realized == cost - (everything bought - everything sold)
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import islice
from typing import Literal, Self

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
    OrderSide,
    OrderType,
    TimeInForce,
)
from opslab.model.messages.order_ids import is_external

Status = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"]
ZERO = Decimal(0)
MAX_HISTORY = 10_000
"""Closed orders, and trades, kept for queries; the ledger has all of them."""


def money(amount: Decimal) -> Decimal:
    """Round to the smallest amount, half to even."""
    return amount.quantize(MONEY, ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Holding:
    """Wallet and position. `cost` has the sign of `position`; the entry price is cost divided by position."""

    wallet: Decimal
    position: Decimal
    cost: Decimal

    def after_trade(
        self, side: OrderSide, price: Decimal, quantity: Decimal, fee: Decimal
    ) -> tuple["Holding", Decimal]:
        """Return (the holding after a trade, the profit that the trade realized)."""
        signed = quantity if side == "BUY" else -quantity
        value = money(signed * price)
        previous = self.position
        position = previous + signed
        if previous * signed >= 0:
            return Holding(self.wallet - fee, position, self.cost + value), money(ZERO)
        if abs(signed) <= abs(previous):
            closed_value = value
            closed_cost = self.cost if position == 0 else money(self.cost * quantity / abs(previous))
        else:
            closed_value = money(-previous * price)
            closed_cost = self.cost
        realized = -closed_value - closed_cost
        return Holding(self.wallet + realized - fee, position, self.cost - closed_cost + value - closed_value), realized

    @property
    def entry_price(self) -> Decimal:
        """Average price of the open position; 0 without a position."""
        return self.cost / self.position if self.position else ZERO

    def unrealized(self, mark: Decimal) -> Decimal:
        return money(self.position * mark) - self.cost

    def reducible(self, side: OrderSide) -> Decimal:
        """The quantity by which an order of this side can reduce the position."""
        if self.position > 0:
            return self.position if side == "SELL" else ZERO
        return -self.position if side == "BUY" else ZERO


@dataclass(slots=True)
class Order:
    """The current state of an order."""

    order_id: int
    client_order_id: str
    side: OrderSide
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    price: Decimal | None
    reduce_only: bool
    time_ms: int
    update_ms: int
    priority: int
    """Time priority at its price: a lower number is filled first."""
    status: Status = "NEW"
    executed: Decimal = ZERO
    quote: Decimal = ZERO
    """Value of the executed quantity."""
    amendments: int = 0
    expire_reason: ExpireReason | None = None

    @classmethod
    def accepted(cls, event: Accepted, priority: int) -> Self:
        """The order before any fill."""
        return cls(
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
            priority=priority,
        )

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.executed

    @property
    def average_price(self) -> Decimal:
        """Average price of the executed quantity; 0 if nothing was executed."""
        return self.quote / self.executed if self.executed else ZERO


@dataclass(frozen=True, slots=True)
class Trade:
    trade_id: int
    order_id: int
    side: OrderSide
    price: Decimal
    quantity: Decimal
    maker: bool
    fee: Decimal
    realized: Decimal
    time_ms: int


@dataclass(frozen=True, slots=True)
class OpenOrderPrices:
    """The best prices of the open orders: the market must reach one before an order fills; None: no order."""

    highest_buy: Decimal | None
    lowest_sell: Decimal | None


@dataclass(slots=True)
class Account:
    """State of the account. Read it anywhere, change it only with `apply`."""

    opened: Opened
    holding: Holding
    leverage: int
    max_history: int = MAX_HISTORY
    fees: Decimal = ZERO
    realized: Decimal = ZERO
    last_order_id: int = 0
    external_orders: int = 0
    """Accepted orders that neither an engine, nor the lab, nor the exchange placed."""
    last_trade_id: int = 0
    last_priority: int = 0
    update_ms: int = 0
    """Time of the last change of wallet or position."""
    open: dict[int, Order] = field(default_factory=dict)
    """Open orders by id, oldest first."""
    open_by_client: dict[str, int] = field(default_factory=dict)
    closed: dict[int, Order] = field(default_factory=dict)
    """The last `max_history` closed orders, in the order they closed."""
    closed_by_client: dict[str, int] = field(default_factory=dict)
    trades: deque[Trade] = field(default_factory=deque)
    """The last `max_history` trades, oldest first."""
    _open_order_prices: OpenOrderPrices | None = field(default=None, compare=False, repr=False)

    @classmethod
    def from_opened(cls, opened: Opened, max_history: int = MAX_HISTORY) -> "Account":
        holding = Holding(money(opened.balance), ZERO, money(ZERO))
        return cls(
            opened,
            holding,
            opened.leverage,
            max_history,
            fees=money(ZERO),
            realized=money(ZERO),
            update_ms=opened.time_ms,
            trades=deque(maxlen=max_history),
        )

    @classmethod
    def replay(cls, events: Iterable[LedgerEvent]) -> "Account":
        """Rebuild the account from its events. Raises Corrupt for an event that does not follow from those before."""
        account: Account | None = None
        for event in events:
            if account is not None:
                account.apply(event)
            elif isinstance(event, Opened):
                account = cls.from_opened(event)
            else:
                raise Corrupt(f"the ledger starts with {event.kind}")
        if account is None:
            raise Corrupt("the ledger is empty")
        return account

    @property
    def open_order_prices(self) -> OpenOrderPrices:
        """Cached: most ticks of the market reach none of them."""
        if self._open_order_prices is None:
            prices: dict[OrderSide, list[Decimal]] = {"BUY": [], "SELL": []}
            for order in self.open.values():
                if order.price is not None:
                    prices[order.side].append(order.price)
            self._open_order_prices = OpenOrderPrices(
                max(prices["BUY"], default=None), min(prices["SELL"], default=None)
            )
        return self._open_order_prices

    def find(self, order_id: int | None, client_order_id: str | None) -> Order | None:
        """Find an open order, or a closed one that is still kept. With both ids given, `order_id` decides."""
        if order_id is not None:
            return self.open.get(order_id) or self.closed.get(order_id)
        if client_order_id is None:
            return None
        known_id = self.open_by_client.get(client_order_id) or self.closed_by_client.get(client_order_id)
        return None if known_id is None else self.open.get(known_id) or self.closed.get(known_id)

    def orders(self) -> list[Order]:
        """Open and kept closed orders, by id."""
        return sorted([*self.closed.values(), *self.open.values()], key=lambda order: order.order_id)

    def apply(self, event: LedgerEvent) -> None:
        """Apply one event. Raises Corrupt for an impossible event; the account is then unchanged."""
        match event:
            case Filled():
                self._fill(event)
            case Accepted():
                self._accept(event)
            case Canceled():
                self._close_order(event.order_id, "CANCELED", event.time_ms)
            case Expired():
                self._close_order(event.order_id, "EXPIRED", event.time_ms, event.reason)
            case Amended():
                self._amend(event)
            case LeverageSet():
                self.leverage = event.leverage
            case Opened():
                raise Corrupt("the ledger opens the account twice")

    def _accept(self, event: Accepted) -> None:
        if event.order_id <= self.last_order_id:
            raise Corrupt(f"order {event.order_id} is accepted after order {self.last_order_id}")
        if event.client_order_id in self.open_by_client:
            raise Corrupt(f"order {event.order_id} has the client order id of an open order")
        self.last_order_id = event.order_id
        self.external_orders += is_external(event.client_order_id)
        self.last_priority += 1
        self.open[event.order_id] = Order.accepted(event, self.last_priority)
        self.open_by_client[event.client_order_id] = event.order_id
        self._open_order_prices = None

    def _fill(self, event: Filled) -> None:
        order = self._open_order(event.order_id)
        holding, realized = self.holding.after_trade(order.side, event.price, event.quantity, event.fee)
        if (holding.wallet, holding.position, holding.cost, realized) != (
            event.wallet,
            event.position,
            event.cost,
            event.realized,
        ):
            raise Corrupt(f"trade {event.trade_id} does not result in the wallet and position it states")
        if event.trade_id <= self.last_trade_id or not ZERO < event.quantity <= order.remaining:
            raise Corrupt(f"trade {event.trade_id} does not follow from the events before")
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
            self._close_order(event.order_id, "FILLED", event.time_ms)

    def _amend(self, event: Amended) -> None:
        order = self._open_order(event.order_id)
        if event.quantity <= order.executed:
            raise Corrupt(f"order {event.order_id} is amended to less than its executed quantity")
        order.quantity, order.price, order.update_ms = event.quantity, event.price, event.time_ms
        order.amendments += 1
        self.last_priority += 1
        order.priority = self.last_priority
        self._open_order_prices = None

    def _close_order(self, order_id: int, status: Status, time_ms: int, reason: ExpireReason | None = None) -> None:
        order = self._open_order(order_id)
        order.status, order.update_ms, order.expire_reason = status, time_ms, reason
        del self.open[order_id]
        del self.open_by_client[order.client_order_id]
        self.closed[order_id] = order
        self.closed_by_client[order.client_order_id] = order_id
        for oldest_id in list(islice(self.closed, max(0, len(self.closed) - self.max_history))):
            dropped = self.closed.pop(oldest_id)
            if self.closed_by_client.get(dropped.client_order_id) == oldest_id:
                del self.closed_by_client[dropped.client_order_id]
        self._open_order_prices = None

    def _open_order(self, order_id: int) -> Order:
        order = self.open.get(order_id)
        if order is None:
            raise Corrupt(f"order {order_id} is not open")
        return order
