"""Who trades with whom, at which price, how much: pure.

An order that takes sweeps the displayed levels, best first. An order that rests is filled by the market's own ticks:
wholly once the market has gone through its price, by no more than a trade's size when the market trades at it. The
account's orders stand first in the queue of their price, and do not meet one another.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from opslab.model.messages.ledger_events import Side
from opslab.venue.account.account import ZERO, Order

Level = tuple[Decimal, Decimal]
"""Price and size."""


class MarketView(Protocol):
    """The market as an order meets it."""

    @property
    def bid(self) -> Decimal: ...

    @property
    def ask(self) -> Decimal: ...

    @property
    def mark(self) -> Decimal: ...

    @property
    def status(self) -> str:
        """Of the symbol: orders are taken while it is `TRADING`."""
        ...

    def levels(self, side: Side) -> Sequence[Level]:
        """What an order of this side can take, best first: the other side's displayed book."""
        ...


@dataclass(frozen=True, slots=True)
class LevelFill:
    """Part of a level, taken by an order."""

    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class RestingFill:
    """A resting order, and how much of it the market has filled at its own price."""

    order: Order
    quantity: Decimal


def take(side: Side, quantity: Decimal, limit: Decimal | None, levels: Iterable[Level]) -> list[LevelFill]:
    """Sweep levels until the quantity is met, the limit is passed or the levels end. limit: None takes any price."""
    taken: list[LevelFill] = []
    for price, size in levels:
        if quantity <= 0 or (limit is not None and not reaches(side, limit, price)):
            break
        if size > 0:
            part = min(quantity, size)
            taken.append(LevelFill(price, part))
            quantity -= part
    return taken


def reaches(side: Side, limit: Decimal, price: Decimal) -> bool:
    """Whether an order with this limit would trade at the price."""
    return price <= limit if side == "BUY" else price >= limit


def rest(
    orders: Iterable[Order],
    trade: Decimal | None,
    size: Decimal,
    bid: Decimal,
    ask: Decimal,
    position: Decimal,
) -> list[RestingFill]:
    """What a tick of the market fills of open orders, in the order in which it does.

    trade: price of the tick's trade, None when it is a quote alone. position: the account's before the tick; a
    reduce-only order is filled by no more than what is then left of it.
    """
    touched: list[RestingFill] = []
    left = size
    for order in sorted(orders, key=_priority):
        price = order.price
        if price is None:
            continue
        quantity = order.remaining
        through = _through(order.side, price, trade, bid, ask)
        if not through:
            if trade is None or trade != price:
                continue
            quantity = min(quantity, left)
        if order.reduce_only:
            quantity = min(quantity, _reducible(position, order.side))
        if quantity <= 0:
            continue
        if not through:
            left -= quantity
        position += quantity if order.side == "BUY" else -quantity
        touched.append(RestingFill(order, quantity))
    return touched


def _through(side: Side, price: Decimal, trade: Decimal | None, bid: Decimal, ask: Decimal) -> bool:
    """Whether the market is beyond an order's price, so that the order cannot still be waiting."""
    if side == "BUY":
        return ask < price or (trade is not None and trade < price)
    return bid > price or (trade is not None and trade > price)


def _reducible(position: Decimal, side: Side) -> Decimal:
    return max(ZERO, -position if side == "BUY" else position)


def _priority(order: Order) -> tuple[Decimal, int]:
    """Best price first, then the one that has waited longest."""
    price = order.price or ZERO
    return (-price if order.side == "BUY" else price, order.turn)
