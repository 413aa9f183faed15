"""A transaction in progress: its events so far, and the resulting holding and open orders.

The account itself is not changed. The matching engine adds events, checks the result, and then returns the events or
discards the transaction.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeGuard

from opslab.model.messages.ledger_events import (
    Accepted,
    Amended,
    Canceled,
    Expired,
    ExpireReason,
    Filled,
    LedgerEvent,
    OrderSide,
)
from opslab.venue.account.account import Account, money
from opslab.venue.account.margin import Margin, RestingOrder, exposure, margin
from opslab.venue.account.order_requests import NewOrder


@dataclass(slots=True)
class _OpenOrder:
    """An open order within the transaction."""

    side: OrderSide
    price: Decimal | None
    quantity: Decimal
    """Remaining quantity."""
    reduce_only: bool
    priority: int


class Transaction:
    """Events that are applied together, at one moment."""

    def __init__(self, account: Account, now_ms: int) -> None:
        self._account = account
        self._now_ms = now_ms
        self._open_orders = {
            order_id: _OpenOrder(order.side, order.price, order.remaining, order.reduce_only, order.priority)
            for order_id, order in account.open.items()
        }
        self._trade_id = account.last_trade_id
        self._priority = account.last_priority
        self.holding = account.holding
        self.events: list[LedgerEvent] = []

    def accept(self, new: NewOrder) -> int:
        """Add a new order. Returns its id."""
        order_id = self._account.last_order_id + 1
        self._priority += 1
        self._open_orders[order_id] = _OpenOrder(new.side, new.price, new.quantity, new.reduce_only, self._priority)
        self.events.append(
            Accepted(
                order_id=order_id,
                client_order_id=new.client_order_id or _generated_client_id(self._account, order_id),
                side=new.side,
                type=new.type,
                time_in_force=new.time_in_force,
                quantity=new.quantity,
                price=new.price,
                reduce_only=new.reduce_only,
                time_ms=self._now_ms,
            )
        )
        return order_id

    def amend(self, order_id: int, quantity: Decimal, price: Decimal) -> None:
        """quantity: the total quantity, the executed part included."""
        order, executed = self._open_orders[order_id], self._account.open[order_id].executed
        self._priority += 1
        order.quantity, order.price, order.priority = quantity - executed, price, self._priority
        self.events.append(Amended(order_id=order_id, quantity=quantity, price=price, time_ms=self._now_ms))

    def fill(self, order_id: int, price: Decimal, quantity: Decimal, *, maker: bool) -> None:
        order, opened = self._open_orders[order_id], self._account.opened
        fee = money(price * quantity * (opened.maker_fee if maker else opened.taker_fee))
        self.holding, realized = self.holding.after_trade(order.side, price, quantity, fee)
        self._trade_id += 1
        self.events.append(
            Filled(
                order_id=order_id,
                trade_id=self._trade_id,
                price=price,
                quantity=quantity,
                maker=maker,
                fee=fee,
                realized=realized,
                wallet=self.holding.wallet,
                position=self.holding.position,
                cost=self.holding.cost,
                time_ms=self._now_ms,
            )
        )
        order.quantity -= quantity
        if not order.quantity:
            del self._open_orders[order_id]

    def cancel(self, order_id: int) -> None:
        del self._open_orders[order_id]
        self.events.append(Canceled(order_id=order_id, time_ms=self._now_ms))

    def expire(self, order_id: int, reason: ExpireReason) -> None:
        del self._open_orders[order_id]
        self.events.append(Expired(order_id=order_id, reason=reason, time_ms=self._now_ms))

    def expire_idle_reduce_only(self) -> None:
        """Expire the reduce-only orders that cannot reduce the position any more."""
        idle = [
            order_id
            for order_id, order in self._open_orders.items()
            if order.reduce_only and not self.holding.reducible(order.side)
        ]
        for order_id in idle:
            self.expire(order_id, "reduce_only")

    def is_open(self, order_id: int) -> bool:
        return order_id in self._open_orders

    def margin(self, mark: Decimal) -> Margin:
        return margin(self.holding, self._resting_orders(), mark, self._account.leverage)

    def exposure(self, mark: Decimal) -> Decimal:
        return exposure(self.holding.position, self._resting_orders(), mark)

    def _resting_orders(self) -> list[RestingOrder]:
        return [
            RestingOrder(order.side, order.price, order.quantity, order.priority)
            for order in self._open_orders.values()
            if _has_price(order.price) and not order.reduce_only
        ]


def _has_price(price: Decimal | None) -> TypeGuard[Decimal]:
    return price is not None


def _generated_client_id(account: Account, order_id: int) -> str:
    """A client order id for an order without one."""
    generated = f"venue_{order_id}"
    while generated in account.open_by_client:
        generated += "_"
    return generated
