"""A transaction in the making: the events so far, and the account as they would leave it.

Nothing of the account is touched. A decision drafts what would happen, looks at where that leads, and either hands
the events over or throws the draft away.
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
    Side,
)
from opslab.venue.account.account import Account, money
from opslab.venue.account.margin import Margin, Resting, exposure, margin
from opslab.venue.account.order_requests import NewOrder


@dataclass(slots=True)
class _Working:
    """An open order as the draft has it."""

    side: Side
    price: Decimal | None
    quantity: Decimal
    """What is open of it."""
    reduce_only: bool
    turn: int


class Draft:
    """Events that take place together, at one moment."""

    def __init__(self, account: Account, now_ms: int) -> None:
        self._account = account
        self._now_ms = now_ms
        self._working = {
            number: _Working(order.side, order.price, order.remaining, order.reduce_only, order.turn)
            for number, order in account.open.items()
        }
        self._trade_id = account.last_trade_id
        self._turn = account.last_turn
        self.holding = account.holding
        self.events: list[LedgerEvent] = []

    def accept(self, new: NewOrder) -> int:
        """The order's number."""
        number = self._account.last_order_id + 1
        self._turn += 1
        self._working[number] = _Working(new.side, new.price, new.quantity, new.reduce_only, self._turn)
        self.events.append(
            Accepted(
                order_id=number,
                client_order_id=new.client_order_id or _own_client_id(self._account, number),
                side=new.side,
                type=new.type,
                time_in_force=new.time_in_force,
                quantity=new.quantity,
                price=new.price,
                reduce_only=new.reduce_only,
                time_ms=self._now_ms,
            )
        )
        return number

    def amend(self, number: int, quantity: Decimal, price: Decimal) -> None:
        """quantity: the whole of it, what was filled included."""
        order, executed = self._working[number], self._account.open[number].executed
        self._turn += 1
        order.quantity, order.price, order.turn = quantity - executed, price, self._turn
        self.events.append(Amended(order_id=number, quantity=quantity, price=price, time_ms=self._now_ms))

    def fill(self, number: int, price: Decimal, quantity: Decimal, *, maker: bool) -> None:
        order, opened = self._working[number], self._account.opened
        fee = money(price * quantity * (opened.maker_fee if maker else opened.taker_fee))
        self.holding, realized = self.holding.traded(order.side, price, quantity, fee)
        self._trade_id += 1
        self.events.append(
            Filled(
                order_id=number,
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
            del self._working[number]

    def cancel(self, number: int) -> None:
        del self._working[number]
        self.events.append(Canceled(order_id=number, time_ms=self._now_ms))

    def expire(self, number: int, reason: ExpireReason) -> None:
        del self._working[number]
        self.events.append(Expired(order_id=number, reason=reason, time_ms=self._now_ms))

    def settle(self) -> None:
        """Let reduce-only orders expire that have nothing left to reduce."""
        idle = [
            number
            for number, order in self._working.items()
            if order.reduce_only and not self.holding.reducible(order.side)
        ]
        for number in idle:
            self.expire(number, "reduce_only")

    def is_open(self, number: int) -> bool:
        return number in self._working

    def margin(self, mark: Decimal) -> Margin:
        return margin(self.holding, self._resting(), mark, self._account.leverage)

    def exposure(self, mark: Decimal) -> Decimal:
        return exposure(self.holding.position, self._resting(), mark)

    def _resting(self) -> list[Resting]:
        return [
            Resting(order.side, order.price, order.quantity, order.turn)
            for order in self._working.values()
            if _counts(order.price) and not order.reduce_only
        ]


def _counts(price: Decimal | None) -> TypeGuard[Decimal]:
    return price is not None


def _own_client_id(account: Account, number: int) -> str:
    """For an order whose client gave it none."""
    found = f"venue_{number}"
    while found in account.open_by_client:
        found += "_"
    return found
