"""Margin requirement of an account: one asset, cross margin, one position.

Open orders count as at Binance, relative to the position. Orders on the side of the position add their notional to the
notional of the position. Orders on the other side first close the position, in the order in which the market would
reach them; their remainder would open a new position that replaces the old one. The larger of the two cases is
required; its excess over the position alone is the margin of the open orders, never negative. Reduce-only orders
require no margin.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from opslab.model.messages.ledger_events import OrderSide
from opslab.venue.account.account import ZERO, Account, Holding, money

MAINTENANCE = Decimal("0.004")
"""Maintenance margin rate, as a fraction of the notional: that of the first bracket, the only one here."""
MAX_LEVERAGE = 125
MAX_NOTIONAL = Decimal(1_000_000_000)
"""Maximum notional of position and orders; Binance's brackets between are not simulated."""


@dataclass(frozen=True, slots=True)
class RestingOrder:
    """The open quantity of an order."""

    side: OrderSide
    price: Decimal
    quantity: Decimal
    priority: int


@dataclass(frozen=True, slots=True)
class Margin:
    """Required and available margin, in the asset of the account."""

    position: Decimal
    orders: Decimal
    maintenance: Decimal
    unrealized: Decimal
    balance: Decimal
    """Wallet plus unrealized profit."""

    @property
    def initial(self) -> Decimal:
        return self.position + self.orders

    @property
    def available(self) -> Decimal:
        """Negative after a loss on the position that exceeds the free margin; the venue then shows 0."""
        return self.balance - self.position - self.orders


def resting_orders(account: Account) -> list[RestingOrder]:
    """The open orders that require margin."""
    return [
        RestingOrder(order.side, order.price, order.remaining, order.priority)
        for order in account.open.values()
        if order.price is not None and not order.reduce_only
    ]


def margin(holding: Holding, orders: Iterable[RestingOrder], mark: Decimal, leverage: int) -> Margin:
    position_notional = money(abs(holding.position) * mark)
    required = exposure(holding.position, orders, mark)
    unrealized = holding.unrealized(mark)
    position = money(position_notional / leverage)
    return Margin(
        position=position,
        orders=money(required / leverage) - position,
        maintenance=money(position_notional * MAINTENANCE),
        unrealized=unrealized,
        balance=holding.wallet + unrealized,
    )


def margin_of(account: Account, mark: Decimal) -> Margin:
    return margin(account.holding, resting_orders(account), mark, account.leverage)


def exposure(position: Decimal, orders: Iterable[RestingOrder], mark: Decimal) -> Decimal:
    """The notional of position and open orders together that requires margin."""
    sides: dict[OrderSide, list[RestingOrder]] = {"BUY": [], "SELL": []}
    for order in orders:
        sides[order.side].append(order)
    bought = _opening_notional(sides["BUY"], max(ZERO, -position))
    sold = _opening_notional(sides["SELL"], max(ZERO, position))
    position_notional = money(abs(position) * mark)
    if position > 0:
        return max(position_notional + bought, sold)
    if position < 0:
        return max(position_notional + sold, bought)
    return max(bought, sold)


def _opening_notional(orders: list[RestingOrder], closing: Decimal) -> Decimal:
    """Notional of the orders of one side after the first `closing` of their quantity closed the position."""
    if closing:
        orders.sort(key=lambda order: (-order.price if order.side == "BUY" else order.price, order.priority))
    notional = ZERO
    for order in orders:
        closes = min(order.quantity, closing)
        closing -= closes
        notional += order.price * (order.quantity - closes)
    return money(notional)
