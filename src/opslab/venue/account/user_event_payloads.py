"""What the user-data stream says of an event: `ORDER_TRADE_UPDATE`, `ACCOUNT_UPDATE`, `ACCOUNT_CONFIG_UPDATE`."""

from decimal import Decimal
from typing import Any

from opslab.model.messages.ledger_events import Accepted, Amended, Canceled, Expired, Filled, LedgerEvent, LeverageSet
from opslab.venue.account.account import ZERO, Account, Order
from opslab.venue.account.number_format import NumberFormat, money_text

Payload = dict[str, Any]
_EXECUTION = {
    "accepted": "NEW",
    "filled": "TRADE",
    "canceled": "CANCELED",
    "expired": "EXPIRED",
    "amended": "AMENDMENT",
}
_EXPIRE_REASON = {None: "0", "ioc": "2", "reduce_only": "4", "market": "9"}


def pushes(account: Account, event: LedgerEvent, mark: Decimal, now_ms: int, texts: NumberFormat) -> list[Payload]:
    """What to push of an event, in this order, once the account has it and before it has the next one."""
    match event:
        case Filled():
            return [_account_update(account, event, mark, now_ms, texts), _order_update(account, event, now_ms, texts)]
        case Accepted() | Canceled() | Expired() | Amended():
            return [_order_update(account, event, now_ms, texts)]
        case LeverageSet():
            config = {"s": texts.symbol, "l": event.leverage}
            return [{"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": event.time_ms, "ac": config}]
        case _:
            return []


def _order_update(
    account: Account, event: Accepted | Filled | Canceled | Expired | Amended, now_ms: int, texts: NumberFormat
) -> Payload:
    order = account.open.get(event.order_id) or account.closed[event.order_id]
    fill = event if isinstance(event, Filled) else None
    row: Payload = {
        "s": texts.symbol,
        "c": order.client_order_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": texts.size(order.quantity),
        "p": texts.price(order.price or ZERO),
        "ap": texts.fine(order.average),
        "sp": texts.price(ZERO),
        "x": _EXECUTION[event.kind],
        "X": order.status,
        "i": order.order_id,
        "l": texts.size(fill.quantity if fill else ZERO),
        "z": texts.size(order.executed),
        "L": texts.price(fill.price if fill else ZERO),
        "T": event.time_ms,
        "t": fill.trade_id if fill else 0,
        "b": _notional(account, "BUY", texts),
        "a": _notional(account, "SELL", texts),
        "m": fill.maker if fill else False,
        "R": order.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": order.type,
        "ps": "BOTH",
        "cp": False,
        "rp": money_text(fill.realized if fill else ZERO),
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "NONE",
        "pm": "NONE",
        "gtd": 0,
        "er": _EXPIRE_REASON[order.expired],
    }
    if fill:
        row |= {"N": account.opened.asset, "n": money_text(fill.fee)}
    return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": event.time_ms, "o": row}


def _account_update(account: Account, event: Filled, mark: Decimal, now_ms: int, texts: NumberFormat) -> Payload:
    holding = account.holding
    wallet = money_text(holding.wallet)
    position = {
        "s": texts.symbol,
        "pa": texts.size(holding.position),
        "ep": texts.fine(holding.entry),
        "bep": "0",
        "cr": money_text(account.realized),
        "up": money_text(holding.unrealized(mark)),
        "mt": "cross",
        "iw": "0",
        "ps": "BOTH",
        "ma": account.opened.asset,
    }
    balance = {"a": account.opened.asset, "wb": wallet, "cw": wallet, "bc": "0"}
    return {
        "e": "ACCOUNT_UPDATE",
        "E": now_ms,
        "T": event.time_ms,
        "a": {"m": "ORDER", "B": [balance], "P": [position]},
    }


def _notional(account: Account, side: str, texts: NumberFormat) -> str:
    """Of the account's open orders of a side."""
    open_of_side = (order for order in account.open.values() if order.side == side)
    return texts.fine(sum((_open_notional(order) for order in open_of_side), ZERO))


def _open_notional(order: Order) -> Decimal:
    return order.remaining * (order.price or ZERO)
