"""Matching rules: which order fills, at which price, for how much. Pure.

A taker order sweeps the displayed levels, best first. A resting order is filled by the ticks of the market: completely
when the market trades through its price, by at most the size of the trade when the market trades at its price. The
account's orders are first in the queue at their price, and do not match each other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from opslab.model.messages.ledger_events import OrderSide
from opslab.venue.account.account import ZERO, Order

Level = tuple[Decimal, Decimal]
"""Price and size."""


class MarketView(Protocol):
    """The market data that matching needs."""

    @property
    def bid(self) -> Decimal: ...

    @property
    def ask(self) -> Decimal: ...

    @property
    def mark(self) -> Decimal: ...

    @property
    def status(self) -> str:
        """Status of the symbol: orders are accepted while it is `TRADING`."""
        ...

    def levels(self, side: OrderSide) -> Sequence[Level]:
        """Levels that an order of this side can trade with, best first: the displayed book of the other side."""
        ...


@dataclass(frozen=True, slots=True)
class LevelFill:
    """The fill of a taker order at one level."""

    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class RestingFill:
    """The fill of a resting order by the market, at the order's price."""

    order: Order
    quantity: Decimal


def sweep(side: OrderSide, quantity: Decimal, limit: Decimal | None, levels: Iterable[Level]) -> list[LevelFill]:
    """Sweep levels until the quantity is filled, the limit is passed or the levels end. limit: None is any price."""
    fills: list[LevelFill] = []
    for price, size in levels:
        if quantity <= 0 or (limit is not None and not crosses(side, limit, price)):
            break
        if size > 0:
            filled = min(quantity, size)
            fills.append(LevelFill(price, filled))
            quantity -= filled
    return fills


def crosses(side: OrderSide, limit: Decimal, price: Decimal) -> bool:
    """Whether an order with this limit would trade at the price."""
    return price <= limit if side == "BUY" else price >= limit


def match_resting(
    orders: Iterable[Order],
    trade: Decimal | None,
    size: Decimal,
    bid: Decimal,
    ask: Decimal,
    position: Decimal,
) -> list[RestingFill]:
    """Fills of open orders by one tick of the market, in the order of execution.

    trade: price of the tick's trade, None for a quote without a trade. position: the position before the tick; a
    reduce-only order fills at most what then remains of the position.
    """
    fills: list[RestingFill] = []
    available = size
    for order in sorted(orders, key=_priority):
        price = order.price
        if price is None:
            continue
        quantity = order.remaining
        through = _through(order.side, price, trade, bid, ask)
        if not through:
            if trade is None or trade != price:
                continue
            quantity = min(quantity, available)
        if order.reduce_only:
            quantity = min(quantity, _reducible(position, order.side))
        if quantity <= 0:
            continue
        if not through:
            available -= quantity
        position += quantity if order.side == "BUY" else -quantity
        fills.append(RestingFill(order, quantity))
    return fills


def _through(side: OrderSide, price: Decimal, trade: Decimal | None, bid: Decimal, ask: Decimal) -> bool:
    """Whether the market traded or quotes through the price of an order, so that it cannot still rest."""
    if side == "BUY":
        return ask < price or (trade is not None and trade < price)
    return bid > price or (trade is not None and trade > price)


def _reducible(position: Decimal, side: OrderSide) -> Decimal:
    return max(ZERO, -position if side == "BUY" else position)


def _priority(order: Order) -> tuple[Decimal, int]:
    """Best price first, then the oldest order."""
    price = order.price or ZERO
    return (-price if order.side == "BUY" else price, order.priority)
