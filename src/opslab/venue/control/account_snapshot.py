"""What the venue says of the account, from its own book: no fault, no limit and no clock of clients comes in between.

Of this and of what a node says, these can be compared: positions, open orders, and of balances the total.

total is the wallet: what was paid in, with realized profit and less fees. NautilusTrader 2.0.0rc7's Binance adapter
shows that very number, to the last digit: at the connect (`/fapi/v2/account`) and after each fill (ACCOUNT_UPDATE).

free and locked cannot be compared, and none of the two is wrong. Here locked is the margin of the position and of open
orders, at the mark price as it stands, and free is the rest. What a node shows instead, measured:

- From a fill on, until it connects anew: locked 0, free all of the total, whatever is open. ACCOUNT_UPDATE names the
  wallet alone.
- An order placed, changed or canceled, and a mark price that moves, change neither: nothing but a fill is told of the
  account, and the account is asked for at the connect alone.
- At the connect the event has free = `availableBalance`, which unrealized profit is part of, and locked = the rest of
  the wallet. When there is an open order or a position, the engine then puts a sum of its own in their place: the
  margins that it computes for the instrument's open orders and position, and on top of them the two that the venue
  told of the whole account. With a position of -0.040 and a resting order over 0.100 at about 42,000 and leverage 10:
  of the venue 244.44 locked, of the node 826.56, which is 407.40 + 168.00 + 244.44 + 6.72.
"""

from opslab.model.messages.paper_messages import AccountState, AccountSnapshot, BalanceState, OrderState, PositionState
from opslab.model.messages.venue_messages import VenueProgress
from opslab.model.primitives.instant import iso
from opslab.venue.account.account import Account, Order, Status
from opslab.venue.account.margin import margin_of
from opslab.venue.account.number_format import money_text
from opslab.venue.exchange import Exchange

_STATUSES: dict[Status, str] = {"NEW": "ACCEPTED"}
"""In the engine's words, where they are others."""


def statement(exchange: Exchange, progress: VenueProgress, now_ns: int) -> AccountSnapshot:
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
        fills=account.last_trade_id,
        replay=progress.state,
        minutes=progress.minutes,
        messages=progress.messages,
    )


def _positions(exchange: Exchange) -> list[PositionState]:
    holding, texts = exchange.account.holding, exchange.texts
    if not holding.position:
        return []
    return [
        PositionState(
            instrument=texts.symbol,
            side="LONG" if holding.position > 0 else "SHORT",
            signed_quantity=texts.size(holding.position),
            average_entry_price=texts.fine(holding.entry),
        )
    ]


def _order(exchange: Exchange, order: Order) -> OrderState:
    texts = exchange.texts
    return OrderState(
        client_order_id=order.client_order_id,
        instrument=texts.symbol,
        side=order.side,
        type=order.type,
        quantity=texts.size(order.quantity),
        filled_quantity=texts.size(order.executed),
        price=None if order.price is None else texts.price(order.price),
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
