"""What an account must hold as margin: one asset, crossed, one position.

Orders are counted as Binance does, against the position they would meet. Those of the position's own side add to it:
their notional is needed on top of the position's. Those of the other side first close it, in the order in which the
market would come to them; what is left of them would be a new position, and takes the old one's place. The dearer of
the two cases is needed; what it needs above the position alone is the margin of the open orders, never negative.
Reduce-only orders need none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from opslab.model.messages.ledger_events import Side
from opslab.venue.account.account import ZERO, Account, Holding, money

MAINTENANCE = Decimal("0.004")
"""Of the notional: the first bracket's, which is the only one here."""
MOST_LEVERAGE = 125
MOST_NOTIONAL = Decimal(1_000_000_000)
"""Of position and orders; the venue's brackets in between are not."""


@dataclass(frozen=True, slots=True)
class Resting:
    """What is open of an order."""

    side: Side
    price: Decimal
    quantity: Decimal
    turn: int


@dataclass(frozen=True, slots=True)
class Margin:
    """What the account needs, and what it has left. In the account's asset."""

    position: Decimal
    orders: Decimal
    maintenance: Decimal
    unrealized: Decimal
    balance: Decimal
    """Wallet and unrealized profit."""

    @property
    def initial(self) -> Decimal:
        return self.position + self.orders

    @property
    def available(self) -> Decimal:
        """Negative when the market has eaten into it; the venue then shows 0."""
        return self.balance - self.position - self.orders


def resting(account: Account) -> list[Resting]:
    """The open orders that count."""
    return [
        Resting(order.side, order.price, order.remaining, order.turn)
        for order in account.open.values()
        if order.price is not None and not order.reduce_only
    ]


def margin(holding: Holding, orders: Iterable[Resting], mark: Decimal, leverage: int) -> Margin:
    held = money(abs(holding.position) * mark)
    needed = exposure(holding.position, orders, mark)
    unrealized = holding.unrealized(mark)
    position = money(held / leverage)
    return Margin(
        position=position,
        orders=money(needed / leverage) - position,
        maintenance=money(held * MAINTENANCE),
        unrealized=unrealized,
        balance=holding.wallet + unrealized,
    )


def margin_of(account: Account, mark: Decimal) -> Margin:
    return margin(account.holding, resting(account), mark, account.leverage)


def exposure(position: Decimal, orders: Iterable[Resting], mark: Decimal) -> Decimal:
    """The notional for which margin is needed, of position and open orders together."""
    sides: dict[Side, list[Resting]] = {"BUY": [], "SELL": []}
    for order in orders:
        sides[order.side].append(order)
    bought = _beyond(sides["BUY"], max(ZERO, -position))
    sold = _beyond(sides["SELL"], max(ZERO, position))
    held = money(abs(position) * mark)
    if position > 0:
        return max(held + bought, sold)
    if position < 0:
        return max(held + sold, bought)
    return max(bought, sold)


def _beyond(orders: list[Resting], closing: Decimal) -> Decimal:
    """Notional of what is left of a side's orders when the first `closing` of them have closed the position."""
    if closing:
        orders.sort(key=lambda order: (-order.price if order.side == "BUY" else order.price, order.turn))
    notional = ZERO
    for order in orders:
        closes = min(order.quantity, closing)
        closing -= closes
        notional += order.price * (order.quantity - closes)
    return money(notional)
