"""Account snapshot from the venue's own book: no fault, no rate limit and no clock of clients affects it.

These can be compared with a node's account: positions, open orders, and the total of each balance.

total is the wallet: the deposit, plus realized profit, less fees. NautilusTrader 2.0.0rc7's Binance adapter shows the
same number, to the last digit: at the connect (`/fapi/v2/account`) and after each fill (ACCOUNT_UPDATE).

free and locked cannot be compared, and neither side is wrong. Here locked is the margin of the position and of the open
orders at the current mark price, and free is the rest. A node shows instead (measured):

- From a fill on, until it reconnects: locked 0, free equal to the total, whatever is open. ACCOUNT_UPDATE has the
  wallet only.
- An order placed, amended or canceled, or a change of the mark price, changes neither: the venue sends account updates
  for fills only, and the adapter requests the account at the connect only.
- At the connect the event has free = `availableBalance`, which includes unrealized profit, and locked = the rest of
  the wallet. If there is an open order or a position, the engine then replaces them by a sum of its own: the margins
  that it computes for the instrument's open orders and position, plus the two that the venue sent for the whole
  account. With a position of -0.040 and a resting order over 0.100 at about 42,000 and leverage 10: locked is 244.44
  at the venue and 826.56 at the node, which is 407.40 + 168.00 + 244.44 + 6.72.
"""

from opslab.model.messages.paper_messages import AccountSnapshot, AccountState, BalanceState, OrderState, PositionState
from opslab.model.messages.venue_messages import VenueProgress
from opslab.model.primitives.instant import iso
from opslab.venue.account.account import Account, Order, Status
from opslab.venue.account.margin import margin_of
from opslab.venue.account.number_format import money_text
from opslab.venue.exchange import Exchange

_STATUSES: dict[Status, str] = {"NEW": "ACCEPTED"}
"""The engine's status words, where they differ."""


def account_snapshot(exchange: Exchange, progress: VenueProgress, now_ns: int) -> AccountSnapshot:
    """A flat instrument is not listed. now_ns: the true clock."""
    account = exchange.account
    return AccountSnapshot(
        account=AccountState(
            as_of=iso(now_ns),
            positions=tuple(_positions(exchange)),
            open_orders=tuple(_order(exchange, order) for order in account.open.values()),
            balances=(_balance(exchange),),
        ),
        venue_order_ids={order.client_order_id: str(order.order_id) for order in account.open.values()},
        transactions=exchange.transactions,
        orders=account.last_order_id,
        orders_external=account.external_orders,
        fills=account.last_trade_id,
        replay=progress.state,
        minutes=progress.minutes,
        messages=progress.messages,
        can_flatten=exchange.can_flatten,
    )


def _positions(exchange: Exchange) -> list[PositionState]:
    holding, formats = exchange.account.holding, exchange.number_format
    if not holding.position:
        return []
    return [
        PositionState(
            instrument=formats.symbol,
            side="LONG" if holding.position > 0 else "SHORT",
            signed_quantity=formats.size(holding.position),
            average_entry_price=formats.precise(holding.entry_price),
        )
    ]


def _order(exchange: Exchange, order: Order) -> OrderState:
    formats = exchange.number_format
    return OrderState(
        client_order_id=order.client_order_id,
        instrument=formats.symbol,
        side=order.side,
        type=order.type,
        quantity=formats.size(order.quantity),
        filled_quantity=formats.size(order.executed),
        price=None if order.price is None else formats.price(order.price),
        status=_STATUSES.get(order.status, order.status),
    )


def _balance(exchange: Exchange) -> BalanceState:
    account: Account = exchange.account
    total, locked = account.holding.wallet, margin_of(account, exchange.view.mark).initial
    return BalanceState(
        asset=account.opened.asset,
        total=money_text(total),
        free=money_text(total - locked),
        locked=money_text(locked),
    )
